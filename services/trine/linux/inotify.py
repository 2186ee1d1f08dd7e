"""Changes of files: inotify(7)."""

from __future__ import annotations

import os

from trine.linux.syscalls import syscall

IN_MODIFY = 0x02
IN_ATTRIB = 0x04
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_MOVE_SELF = 0x800
IN_DELETE_SELF = 0x400


def open_inotify() -> int:
    """Return a non-blocking inotify descriptor. Raises OSError (EMFILE: fs.inotify.max_user_instances)."""
    return syscall("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)


def add_watch(descriptor: int, path: str, events: int) -> int:
    """Watch a path for IN_* events; return the watch's number. Raises OSError."""
    return syscall("inotify_add_watch", descriptor, os.fsencode(path), events, path=path)


def remove_watch(descriptor: int, number: int) -> None:
    """End a watch; one that ended by itself (its directory is gone) is no error."""
    try:
        syscall("inotify_rm_watch", descriptor, number)
    except OSError:
        pass
