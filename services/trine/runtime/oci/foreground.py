"""Waiting for a process that runs in front of the caller: its terminal, its signals, its exit status."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import termios
import tty as raw

from trine.linux import tty
from trine.runtime.failure import ContainerError

_FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGTSTP,
)
_CHUNK = 64 << 10


def send_master(path: str, master: int) -> None:
    """Pass a terminal's master to whoever listens at a console socket (unix(7), SCM_RIGHTS).

    Raises:
        ContainerError: nobody does.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(path)
            socket.send_fds(connection, [b"/dev/ptmx"], [master])
    except OSError as error:
        raise ContainerError(f"console socket {path}: {(error.strerror or str(error)).lower()}") from None


class Foreground:
    """Takes signals from before the process is there, so that none is lost."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in (*_FORWARDED, signal.SIGCHLD, signal.SIGWINCH):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def wait(self, pid: int, master: int = -1) -> int:
        """Serve until the process has ended; return its exit status (128 + n for signal n).

        Args:
            pid: a child of ours.
            master: its terminal, which is joined to ours; -1: it has our streams.
        """
        saved = None
        if master >= 0:
            os.set_blocking(master, False)
            if os.isatty(0):
                saved = termios.tcgetattr(0)
                raw.setraw(0)
            self._resize(master)
        try:
            return self._serve(pid, master)
        finally:
            if saved is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)

    def _serve(self, pid: int, master: int) -> int:
        sources = [self._reader, *([master, 0] if master >= 0 else [])]
        code = _ended(pid)
        while code is None:
            try:
                ready, _, _ = select.select(sources, [], [])
            except InterruptedError:
                continue
            if self._reader in ready:
                for number in os.read(self._reader, 256):
                    self._take(number, pid, master)
                code = _ended(pid)
            if master in ready and _copy(master, 1) < 0:
                sources.remove(master)
            if 0 in ready and master >= 0 and _copy(0, master) < 0:
                sources.remove(0)
        while master >= 0 and _copy(master, 1) > 0:
            pass  # what it wrote last
        return code

    def _take(self, number: int, pid: int, master: int) -> None:
        if number == signal.SIGWINCH and master >= 0:
            self._resize(master)
        elif number in _FORWARDED:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _resize(self, master: int) -> None:
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(0)
            tty.set_size(master, size.lines, size.columns)


def _ended(pid: int) -> int | None:
    """Reap what has ended (orphans too, we are a subreaper); return our process's status when it did."""
    code = None
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not found:
            return code
        if found == pid:
            result = os.waitstatus_to_exitcode(status)
            code = result if result >= 0 else 128 - result


def _copy(source: int, target: int) -> int:
    """Copy what is there; return how many bytes, 0 when there is nothing now, -1 at the end."""
    try:
        data = os.read(source, _CHUNK)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno == errno.EIO:
            return -1  # nobody has the terminal open any more
        raise
    copied = len(data)
    while data:
        try:
            data = data[os.write(target, data) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:
            return -1
    return copied or -1
