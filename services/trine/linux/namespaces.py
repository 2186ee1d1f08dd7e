"""Namespaces: namespaces(7), setns(2), unshare(2)."""

from __future__ import annotations

from trine.linux.syscalls import syscall

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# OCI runtime-spec, linux.namespaces[].type
FLAGS = {
    "mount": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
}


def setns(descriptor: int, kind: int = 0) -> None:
    """Join the namespace of an open /proc/<pid>/ns/* file or of a pidfd (setns(2)). Raises OSError.

    CLONE_NEWPID changes only where children are made.
    """
    syscall("setns", descriptor, kind)


def unshare(flags: int) -> None:
    """Leave the shared namespaces for fresh ones (unshare(2)). Raises OSError."""
    syscall("unshare", flags)
