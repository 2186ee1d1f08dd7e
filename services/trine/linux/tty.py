"""Pseudo-terminals: pty(7), ioctl_tty(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios

TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


def pair_of(master: int) -> tuple[int, int]:
    """Return (master, slave) of a just opened PTY multiplexer, which is closed on failure.

    The slave comes from the master itself (TIOCGPTPEER), not from a path that could be anything.
    Raises OSError; ENOTTY when the descriptor is no PTY multiplexer.
    """
    try:
        status = os.fstat(master)
        if not stat.S_ISCHR(status.st_mode) or (os.major(status.st_rdev), os.minor(status.st_rdev)) != (5, 2):
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        return master, int(slave)
    except BaseException:
        os.close(master)
        raise


def set_size(descriptor: int, rows: int, columns: int) -> None:
    """Set the window size; the foreground process group gets SIGWINCH (TIOCSWINSZ). Raises OSError."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows & 0xFFFF, columns & 0xFFFF, 0, 0))


def take_control(descriptor: int) -> None:
    """Make a terminal the controlling one of our (new) session (TIOCSCTTY). Raises OSError."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
