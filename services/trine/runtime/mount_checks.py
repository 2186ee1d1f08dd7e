"""Which bind mounts over or below /proc are refused: init and the masks rely on what is there. Lean."""

from __future__ import annotations

import os

from trine.linux import mount
from trine.runtime.failure import quote

_PROC_SUPER_MAGIC = 0x9FA0
_REPLACEABLE = frozenset(
    (
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo",
        "/proc/net/dev",
        "/proc/sys/kernel/ns_last_pid",
    )
)
"""Files that lxcfs and CRIU mount over, as in runc."""


def refusal(root: int, target: int, source: int, destination: str) -> str:
    """Return why a bind mount must not be, in runc's words, or "".

    Args:
        root: the container's root directory.
        target: the place resolved in it, so that no link of the image hides where it is.
        source: the tree to be mounted.
        destination: what the user asked for.

    Raises OSError.
    """
    top = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
    below = os.readlink(f"/proc/self/fd/{target}").removeprefix(top)
    if below == "/proc":
        if is_procfs(source):
            return ""
        return f"{quote(destination)} cannot be mounted because it is not of type proc"
    if is_procfs(target) and below not in _REPLACEABLE:
        return f"{quote(destination)} cannot be mounted because it is inside /proc"
    return ""


def is_procfs(descriptor: int) -> bool:
    """Tell whether a descriptor is on procfs (fstatfs(2), statfs.f_type)."""
    return mount.filesystem_type(descriptor) == _PROC_SUPER_MAGIC
