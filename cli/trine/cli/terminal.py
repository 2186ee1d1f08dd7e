"""The user's terminal: raw mode, size, detach keys."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DETACH_KEYS = "ctrl-p,ctrl-q"


def is_terminal(descriptor: int) -> bool:
    """Tell whether a descriptor is a terminal."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def size(descriptor: int = 1) -> tuple[int, int]:
    """Return rows and columns of a terminal, (0, 0) when it has none."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return rows, columns


class RawMode:
    """Raw mode of a terminal while a block runs; always put back."""

    def __init__(self, descriptor: int) -> None:
        """Keep the descriptor; nothing changes yet."""
        self._descriptor = descriptor
        self._saved: list[Any] | None = None

    def __enter__(self) -> RawMode:
        """Switch to raw mode as cfmakeraw(3), but with output processing as moby/term leaves it."""
        import termios

        saved = termios.tcgetattr(self._descriptor)
        mode: list[Any] = [list(part) if isinstance(part, list) else part for part in saved]
        mode[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN] = 1
        mode[6][termios.VTIME] = 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)
        self._saved = saved
        return self

    def __exit__(self, *_: object) -> None:
        """Put the terminal back."""
        self.restore()

    def restore(self) -> None:
        """Put the terminal back; twice does no harm."""
        if self._saved is not None:
            import termios

            saved, self._saved = self._saved, None
            try:
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, saved)
            except (termios.error, OSError):
                pass  # the terminal has gone


def parse_keys(text: str) -> bytes:
    """Return the octets of a detach sequence, "ctrl-p,ctrl-q" or "a,ctrl-@".

    Raises ValueError with moby/term's text.
    """
    out = bytearray()
    for part in text.split(","):
        if len(part) == 1 and part.isascii():
            out += part.encode()
            continue
        head, _, key = part.partition("ctrl-")
        if head or len(key) != 1:
            raise ValueError(f"Unknown character: '{part}'")
        if "a" <= key <= "z":
            out.append(ord(key) - ord("a") + 1)
        elif key in "@[\\]^_":
            out.append(ord(key) - ord("@"))
        else:
            raise ValueError(f"Unknown character: '{part}'")
    return bytes(out)


class EscapeProxy:
    """Finds the detach sequence in what is typed (moby/term's proxy).

    A beginning of it is held back until it is clear what follows: a single Ctrl-P reaches the process
    together with the next key.
    """

    def __init__(self, keys: bytes) -> None:
        """Look for ``keys``; nothing is found when they are empty."""
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what is to be passed on, and whether the sequence was completed."""
        keys = self._keys
        if not keys:
            return data, False
        out = bytearray()
        for octet in data:
            while self._held and octet != keys[self._held]:
                # Not the sequence: the first held key goes on, the rest may begin it anew.
                held = keys[: self._held]
                out.append(held[0])
                rest = held[1:]
                while rest and rest != keys[: len(rest)]:
                    out.append(rest[0])
                    rest = rest[1:]
                self._held = len(rest)
            if octet == keys[self._held]:
                self._held += 1
                if self._held == len(keys):
                    self._held = 0
                    return bytes(out), True
            else:
                out.append(octet)
        return bytes(out), False
