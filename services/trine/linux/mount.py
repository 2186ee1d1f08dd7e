"""Mounts: the calls of mount_namespaces(7), old (mount(2)) and new (fsopen(2), open_tree(2)); no policy.

The new calls give a mount as a descriptor, so that it is attached to a directory that was resolved
once (openat2) and cannot be swapped by a symbolic link meanwhile.
"""

from __future__ import annotations

import ctypes
import os

from trine.linux.syscalls import syscall

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
AT_RECURSIVE = 0x8000

# mount(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2

# open_tree(2), move_mount(2), fsmount(2)
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

# mount_setattr(2), fsmount(2)
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR__ATIME = 0x70


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError."""
    syscall(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        flags,
        data.encode() if data else None,
        path=target,
    )


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2). Raises OSError."""
    syscall("umount2", target.encode(), flags, path=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2). Raises OSError."""
    syscall("pivot_root", new_root.encode(), put_old.encode(), path=new_root)


def new_filesystem(kind: str, options: list[tuple[str, str | None]], attributes: int = 0) -> int:
    """Make a file system and return its detached mount (fsopen, fsconfig, fsmount).

    ``options`` are (name, value), value None for a flag; ("source", …) names the source. A value
    longer than 255 bytes is refused by the kernel (fsconfig(2)). Raises OSError.
    """
    context = syscall("fsopen", kind.encode(), FSOPEN_CLOEXEC, path=kind)
    try:
        for name, value in options:
            if value is None:
                syscall("fsconfig", context, FSCONFIG_SET_FLAG, name.encode(), None, 0, path=name)
            else:
                syscall(
                    "fsconfig",
                    context,
                    FSCONFIG_SET_STRING,
                    name.encode(),
                    value.encode("utf-8", "surrogateescape"),
                    0,
                    path=f"{name}={value}",
                )
        syscall("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0, path=kind)
        return syscall("fsmount", context, FSMOUNT_CLOEXEC, attributes, path=kind)
    finally:
        os.close(context)


def open_tree(directory: int, path: str, *, clone: bool = True, recursive: bool = True) -> int:
    """Return a descriptor of the mount at ``path``; with ``clone`` a detached copy (a bind mount to be).

    An empty path means ``directory`` itself. Raises OSError.
    """
    flags = OPEN_TREE_CLOEXEC
    if clone:
        flags |= OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0)
    if not path:
        flags |= AT_EMPTY_PATH
    return syscall("open_tree", directory, path.encode("utf-8", "surrogateescape"), flags, path=path)


def attach(tree: int, target: int) -> None:
    """Attach a detached mount over an open directory or file (move_mount(2)). Raises OSError."""
    syscall("move_mount", tree, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def set_attributes(
    mount_descriptor: int,
    *,
    set_bits: int = 0,
    clear_bits: int = 0,
    propagation: int = 0,
    recursive: bool = False,
) -> None:
    """Change attributes (MOUNT_ATTR_*) or propagation (MS_PRIVATE, …) of an open mount (mount_setattr(2)).

    Raises OSError.
    """
    attributes = _MountAttr(set_bits, clear_bits, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", mount_descriptor, b"", flags, attributes, ctypes.sizeof(attributes))


def filesystem_type(descriptor: int) -> int:
    """Return the magic number of the file system an open file is on (fstatfs(2), f_type). Raises OSError."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes; f_type comes first
    syscall("fstatfs", descriptor, buffer)
    return ctypes.c_long.from_buffer(buffer).value
