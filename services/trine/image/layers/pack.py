"""Directories become tars: a layer of an overlay upper directory, or the flat view of a stack.

What the runtime made only to mount something on it is left out of layers (see MOUNT_POINTS).
Standard library only: runs in the lean worker.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from trine.image.layers import merged, tarformat
from trine.image.layers.tarformat import Entry

_CHUNK = 1024 * 1024
_KINDS = {
    stat.S_IFREG: tarformat.REGULAR,
    stat.S_IFLNK: tarformat.SYMLINK,
    stat.S_IFDIR: tarformat.DIRECTORY,
    stat.S_IFCHR: tarformat.CHARACTER,
    stat.S_IFBLK: tarformat.BLOCK_DEVICE,
    stat.S_IFIFO: tarformat.FIFO,
}
# Made by the runtime in the writable layer where the image has none, so that there is something to
# mount on; a container cannot write to them (they are covered), so they are never its changes.
# Docker keeps them in an "-init" layer of their own.
MOUNT_POINT_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv", "dev/console"})
MOUNT_POINT_DIRECTORIES = frozenset({"dev", "proc", "sys", "dev/pts", "dev/shm", "dev/mqueue"})
_MOUNT_PARENTS = frozenset({"etc", "dev"})

Write = Callable[[bytes], object]


def is_mount_point(path: str, disk: str, found: os.stat_result, lower: Sequence[str]) -> bool:
    """Whether something in an upper directory is only there to be mounted on."""
    if path in MOUNT_POINT_FILES:
        return stat.S_ISREG(found.st_mode) and found.st_size == 0
    if not stat.S_ISDIR(found.st_mode) or path not in MOUNT_POINT_DIRECTORIES | _MOUNT_PARENTS:
        return False
    if merged.is_opaque(disk):
        return False
    with os.scandir(disk) as entries:
        for entry in entries:
            inner = entry.stat(follow_symlinks=False)
            if not is_mount_point(f"{path}/{entry.name}", entry.path, inner, lower):
                return False
    below = _lower(lower, path)
    if below is None:
        return path in MOUNT_POINT_DIRECTORIES
    # A directory copied up only to hold a mount point differs from the one below in nothing but times.
    return (below.st_mode, below.st_uid, below.st_gid) == (found.st_mode, found.st_uid, found.st_gid)


def _lower(lower: Sequence[str], path: str) -> os.stat_result | None:
    stack: list[str] = list(lower)
    found: os.stat_result | None = None
    for name in path.split("/"):
        found, stack = merged.stack_below(stack, name)
        if found is None:
            return None
    return found


def make_entry(path: str, disk: str, found: os.stat_result) -> Entry | None:
    """Return the tar member of something on disk; None for sockets, which tars cannot hold."""
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    entry = Entry()
    entry.name = os.fsencode(path) + (b"/" if kind == tarformat.DIRECTORY else b"")
    entry.type = kind
    entry.mode = stat.S_IMODE(found.st_mode)
    entry.uid, entry.gid = found.st_uid, found.st_gid
    entry.mtime_ns = found.st_mtime_ns
    if kind == tarformat.REGULAR:
        entry.size = entry.stored = found.st_size
    elif kind == tarformat.SYMLINK:
        entry.link = os.fsencode(os.readlink(disk))
    elif kind in (tarformat.CHARACTER, tarformat.BLOCK_DEVICE):
        entry.device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    if kind in (tarformat.REGULAR, tarformat.DIRECTORY):
        try:
            for key in os.listxattr(disk, follow_symlinks=False):
                if key == "security.capability" or (
                    key.startswith("user.") and not key.startswith("user.overlay.")
                ):
                    entry.xattrs[key.encode()] = os.getxattr(disk, key, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENODATA):
                raise
    return entry


class _Links:
    """Remembers files with several names, so that the second becomes a hard link."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], bytes] = {}

    def apply(self, entry: Entry, found: os.stat_result) -> None:
        if found.st_nlink < 2 or entry.type == tarformat.DIRECTORY:
            return
        first = self._seen.setdefault((found.st_dev, found.st_ino), entry.name)
        if first != entry.name:
            entry.type, entry.link = tarformat.HARD_LINK, first
            entry.size = entry.stored = 0
            entry.xattrs = {}


def _write_member(write: Write, entry: Entry, disk: str) -> None:
    write(tarformat.header(entry))
    if not entry.stored:
        return
    left = entry.stored
    descriptor = os.open(disk, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        while left:
            data = os.read(descriptor, min(left, _CHUNK))
            if not data:
                # It shrank meanwhile (a running container): fill up, as Docker's archiver refuses to.
                data = bytes(min(left, _CHUNK))
            write(data)
            left -= len(data)
    finally:
        os.close(descriptor)
    write(tarformat.padding(entry.stored))


def _upper_members(
    upper: str, lower: Sequence[str], skipped: list[str], with_mount_points: bool
) -> Iterator[tuple[str, str, os.stat_result]]:
    pending = [""]
    while pending:
        prefix = pending.pop()
        below: list[str] = []
        with os.scandir(f"{upper}/{prefix}") as scanned:
            children = sorted(scanned, key=lambda entry: entry.name)
        for child in children:
            path = f"{prefix}/{child.name}" if prefix else child.name
            disk = f"{upper}/{path}"
            try:
                found = os.lstat(disk)
            except FileNotFoundError:
                continue  # a running container removed it
            if not with_mount_points and is_mount_point(path, disk, found, lower):
                skipped.append(path)
                continue
            if child.name.startswith(".wh."):
                # In a layer that name deletes something (layer.md): a container must not forge it.
                skipped.append(path)
                continue
            yield path, disk, found
            if stat.S_ISDIR(found.st_mode):
                below.append(path)
        pending.extend(reversed(below))


def pack_upper(
    upper: str, lower: Sequence[str], write: Write, *, with_mount_points: bool = False
) -> tuple[int, list[str]]:
    """Write the layer tar of an upper directory; return the size of its files and what was left out.

    Whiteout devices become ".wh." files, opaque directories get ".wh..wh..opq" (layer.md). An empty
    directory gives the empty tar, whose digest is spec.EMPTY_DIFF_ID. Raises OSError.
    """
    links = _Links()
    skipped: list[str] = []
    size = 0
    for path, disk, found in _upper_members(upper, lower, skipped, with_mount_points):
        if merged.is_whiteout(found):
            marker = Entry()
            parent, _, name = path.rpartition("/")
            marker.name = os.fsencode(f"{parent}/.wh.{name}" if parent else f".wh.{name}")
            marker.mode, marker.mtime_ns = 0, found.st_mtime_ns
            write(tarformat.header(marker))
            continue
        entry = make_entry(path, disk, found)
        if entry is None:
            continue
        links.apply(entry, found)
        size += entry.size
        _write_member(write, entry, disk)
        if entry.type == tarformat.DIRECTORY and merged.is_opaque(disk):
            marker = Entry()
            marker.name, marker.mode = entry.name + b".wh..wh..opq", 0
            marker.mtime_ns = found.st_mtime_ns
            write(tarformat.header(marker))
    write(tarformat.END)
    return size, skipped


def pack_merged(directories: Sequence[str], write: Write) -> None:
    """Write the tar of the merged view of a stack, topmost first (docker export). Raises OSError."""
    links = _Links()
    for path, disk, found in merged.walk(directories):
        entry = make_entry(path, disk, found)
        if entry is None:
            continue
        links.apply(entry, found)
        _write_member(write, entry, disk)
    write(tarformat.END)
