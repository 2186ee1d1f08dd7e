"""Files that are whole or not there: atomic writes, and locks that die with their owner."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write ``content`` to ``path`` so that a reader, or the next boot, sees the old or the new whole.

    Temporary file in the same directory, fsync, rename, fsync of the directory (rename(2), fsync(2)).
    Raises OSError; the temporary file is removed then.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_file(path: Path) -> int | None:
    """Take the exclusive lock of a file and write our pid into it; return its descriptor, or None if held.

    The kernel drops the lock when the process ends however it ends, so a stale file never blocks a
    start. The descriptor must stay open as long as the lock is wanted.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def make_directory(path: Path, mode: int = 0o700, group_id: int = -1) -> None:
    """Make a directory and its parents, with exactly that mode (and group, when not -1)."""
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, mode)
    if group_id >= 0:
        os.chown(path, -1, group_id)
