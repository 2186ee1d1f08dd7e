"""Paths below a root that may be hostile: openat2(2), then descriptors only.

RESOLVE_IN_ROOT makes absolute links and ".." stay below the directory, RESOLVE_NO_MAGICLINKS refuses
/proc/*/fd and the like. What is returned is a descriptor, so nothing can be swapped afterwards.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from trine.linux.syscalls import syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(directory: int, path: str, flags: int, mode: int = 0, resolve: int = _IN_ROOT) -> int:
    """Open ``path`` below ``directory``; return a descriptor, always close-on-exec. Raises OSError."""
    how = _OpenHow((flags | os.O_CLOEXEC) & 0xFFFFFFFF, mode, resolve)
    encoded = path.encode("utf-8", "surrogateescape") or b"."
    for _ in range(64):
        try:
            return syscall("openat2", directory, encoded, how, ctypes.sizeof(how), path=path)
        except BlockingIOError:  # EAGAIN: a rename or mount raced with ".."; the man page says try again
            continue
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def open_path(root: int, path: str, *, follow: bool = True) -> int:
    """Return an O_PATH descriptor of ``path`` in ``root``; a last link is followed unless told not to."""
    return openat2(root, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))


def read_file(root: int, path: str, limit: int) -> bytes | None:
    """Return the content of a regular file in ``root``, at most ``limit`` bytes; None when it is none.

    A FIFO, device or missing file gives None at once: it is opened without blocking and checked
    before it is read.
    """
    try:
        descriptor = openat2(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        chunks: list[bytes] = []
        left = limit
        while left > 0 and (chunk := os.read(descriptor, min(left, 1 << 20))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def make_directories(root: int, path: str, mode: int = 0o755, owner: tuple[int, int] | None = None) -> int:
    """Make the missing directories of ``path`` in ``root``; return an O_PATH descriptor of the last.

    Existing links are followed inside the root. Raises OSError (ENOTDIR when a part is a file).
    """
    try:
        return openat2(root, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    return _make(root, path, mode, owner, 40)


def _make(root: int, path: str, mode: int, owner: tuple[int, int] | None, depth: int) -> int:
    if not depth:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    done = ""
    for part in [p for p in path.split("/") if p and p != "."]:
        done = f"{done}/{part}"
        try:
            os.close(openat2(root, done, os.O_PATH | os.O_DIRECTORY))
            continue
        except FileNotFoundError:
            pass
        if part == "..":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        parent = openat2(root, done[: -len(part) - 1] or "/", os.O_PATH | os.O_DIRECTORY)
        try:
            try:
                os.mkdir(part, mode, dir_fd=parent)
            except FileExistsError:
                # A dangling link: make what it points to, inside the root.
                target = os.readlink(part, dir_fd=parent)
                where = target if target.startswith("/") else f"{done[: -len(part) - 1]}/{target}"
                os.close(_make(root, where, mode, owner, depth - 1))
            else:
                if owner is not None:
                    os.chown(part, *owner, dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)
    return openat2(root, path, os.O_PATH | os.O_DIRECTORY)


def make_file(root: int, path: str, mode: int = 0o644) -> int:
    """Make an empty file at ``path`` in ``root`` when there is nothing; return an O_PATH descriptor.

    Raises OSError.
    """
    try:
        return openat2(root, path, os.O_PATH)
    except FileNotFoundError:
        pass
    parent, _, name = path.rstrip("/").rpartition("/")
    os.close(make_directories(root, parent or "/"))
    # O_EXCL would refuse a dangling link; O_CREAT in-root follows it inside the root.
    os.close(openat2(root, f"{parent}/{name}", os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY, mode))
    return openat2(root, path, os.O_PATH)
