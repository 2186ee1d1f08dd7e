"""A command on a pseudo-terminal, driven like a person drives it: read, type, resize."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType


class Terminal:
    """A running command whose terminal we hold the other end of (pty(7))."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], rows: int = 24, columns: int = 80
    ):
        """Start ``command`` as the leader of a session with a new terminal of that size."""
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        # setsid -c: a new session whose controlling terminal is stdin; no code of ours runs after a fork.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm"},
            close_fds=True,
        )
        os.close(slave)
        self.text = ""
        self._mark = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def resize(self, rows: int, columns: int) -> None:
        """Change the window size; the kernel sends SIGWINCH (tty_ioctl(4))."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text: str | bytes) -> None:
        """Type."""
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, wanted: str, timeout: float = 20.0) -> str:
        """Read until ``wanted`` appears after what was expected before; return the text up to its end.

        Raises AssertionError with all that was read when it does not come.
        """
        deadline = time.monotonic() + timeout
        while (position := self.text.find(wanted, self._mark)) < 0:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(min(left, 0.5)):
                raise AssertionError(f"{wanted!r} did not appear in {self.text[self._mark :]!r}")
        seen = self.text[self._mark : position + len(wanted)]
        self._mark = position + len(wanted)
        return seen

    def wait(self, timeout: float = 20.0) -> int:
        """Read all that is still printed, wait for the end, return the exit status."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {timeout} s; it printed {self.text!r}")
            self._read(0.05)
        while True:
            before = len(self.text)
            if not self._read(0.05) or len(self.text) == before:
                return self.process.returncode

    def close(self) -> None:
        """End the command if it runs, give the terminal back."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self.master)
