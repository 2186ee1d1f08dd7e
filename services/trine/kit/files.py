"""Directories that are durable, and locks that die with their owner."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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
