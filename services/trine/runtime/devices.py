"""Device nodes and device cgroup rules of a container.

The tables and ``parse_rule`` are pure; ``scan`` looks at the host's /dev and is handed to
``spec.oci_spec`` as a function, so that the spec itself stays free of system calls.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from typing import Any, NamedTuple


class DeviceError(ValueError):
    """A device or rule that cannot be used; the text is for the user."""


class DeviceNode(NamedTuple):
    """One device node: where it is and what it stands for."""

    path: str
    kind: str  # "c", "b" or "p" (a FIFO)
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0

    def as_oci(self) -> dict[str, Any]:
        """Return an entry of linux.devices (runtime-spec config-linux.md, "Devices")."""
        return {
            "path": self.path,
            "type": self.kind,
            "major": self.major,
            "minor": self.minor,
            "fileMode": self.mode,
            "uid": self.uid,
            "gid": self.gid,
        }

    def as_rule(self, access: str) -> dict[str, Any]:
        """Return the rule that allows this device (an entry of linux.resources.devices)."""
        return rule(self.kind, self.major, self.minor, access)


def number(path: str) -> tuple[int, int]:
    """Return major and minor of a device node on the host; raises DeviceError with Docker's text."""
    try:
        found = os.stat(path).st_rdev
    except OSError as error:
        raise DeviceError(f"stat {path}: {(error.strerror or '').lower()}") from None
    return os.major(found), os.minor(found)


DEFAULT_NODES: tuple[DeviceNode, ...] = (
    DeviceNode("/dev/null", "c", 1, 3),
    DeviceNode("/dev/zero", "c", 1, 5),
    DeviceNode("/dev/full", "c", 1, 7),
    DeviceNode("/dev/random", "c", 1, 8),
    DeviceNode("/dev/urandom", "c", 1, 9),
    DeviceNode("/dev/tty", "c", 5, 0),
)
"""What every container has (runtime-spec config-linux.md, "Default Devices"); init makes them."""

_SKIPPED_BELOW_DEV = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")
_ACCESS = re.compile(r"[rwm]{1,3}")


def rule(kind: str, major: int | None, minor: int | None, access: str, allow: bool = True) -> dict[str, Any]:
    """Return an entry of linux.resources.devices; None is the wildcard."""
    entry: dict[str, Any] = {"allow": allow, "type": kind, "access": access}
    if major is not None:
        entry["major"] = major
    if minor is not None:
        entry["minor"] = minor
    return entry


DENY_ALL: dict[str, Any] = {"allow": False, "access": "rwm"}
ALLOW_ALL: dict[str, Any] = {"allow": True, "access": "rwm"}

DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    DENY_ALL,
    rule("c", None, None, "m"),
    rule("b", None, None, "m"),
    rule("c", 1, 3, "rwm"),
    rule("c", 1, 5, "rwm"),
    rule("c", 1, 7, "rwm"),
    rule("c", 1, 8, "rwm"),
    rule("c", 1, 9, "rwm"),
    rule("c", 5, 0, "rwm"),
    rule("c", 5, 1, "rwm"),
    rule("c", 5, 2, "rwm"),
    rule("c", 136, None, "rwm"),
    rule("c", 10, 200, "rwm"),
)
"""What runc makes of Docker's default: nodes may be made, only harmless ones and PTYs be opened.

/dev/net/tun (10:200) is among them: without CAP_NET_ADMIN it makes no device, with it a VPN runs."""


def parse_rule(text: str) -> dict[str, Any]:
    """Return the rule of --device-cgroup-rule "c 13:* rwm".

    Raises:
        DeviceError: in Docker's words, when it is not of that form.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise DeviceError(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = match.groups()
    return rule(
        kind,
        None if major == "*" else int(major),
        None if minor == "*" else int(minor),
        access,
    )


def check_access(access: str) -> str:
    """Return the permissions of a --device, "rwm" when empty.

    Raises:
        DeviceError: in Docker's words, when a letter is not r, w or m.
    """
    if access and not _ACCESS.fullmatch(access):
        raise DeviceError(f"invalid device mode: {access}")
    return access or "rwm"


def node_at(path: str, shown_as: str = "") -> DeviceNode:
    """Return the device node at a host path.

    Args:
        path: on the host; symbolic links are followed.
        shown_as: path in the container, ``path`` when empty.

    Raises:
        DeviceError: "not a device node"; OSError: as stat(2).
    """
    found = os.stat(path)
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        raise DeviceError("not a device node")
    return DeviceNode(
        shown_as or path,
        kind,
        os.major(found.st_rdev),
        os.minor(found.st_rdev),
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
    )


def scan(path: str, shown_as: str = "") -> list[DeviceNode]:
    """Return the node at ``path``, or all nodes below when it is a directory (as --device does).

    Raises:
        DeviceError: in Docker's words, when there is none.
    """
    shown = shown_as or path
    try:
        if not os.path.isdir(path):
            return [node_at(path, shown)]
        nodes = list(_below(path, shown))
        if not nodes:
            raise DeviceError("not a device node")
        return nodes
    except (OSError, DeviceError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise DeviceError(
            f'error gathering device information while adding custom device "{path}": {reason}'
        ) from None


def _below(path: str, shown: str) -> Iterable[DeviceNode]:
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name in _SKIPPED_BELOW_DEV or entry.name == "console" or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, f"{shown}/{entry.name}")
                continue
            try:
                yield node_at(entry.path, f"{shown}/{entry.name}")
            except (OSError, DeviceError):
                continue  # a file, a socket, or gone meanwhile
