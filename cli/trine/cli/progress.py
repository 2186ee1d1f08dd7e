"""Progress of layers: live bars on a terminal, plain lines elsewhere (moby's jsonmessage)."""

from __future__ import annotations

import os
import sys

from trine.cli.text.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from trine.cli.wire import Message

_BAR_FROM_WIDTH = 110
# Statuses that only carry numbers: of no use where lines cannot be written over.
_NUMBERS_ONLY = ("Downloading", "Extracting", "Pushing", "Waiting")


def bar(current: int, total: int, width: int) -> str:
    """Return "[=====>   ]  12.3MB/50MB" for a terminal of that width; only the numbers on a narrow one."""
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{human_size(current):>8}"
    done = min(int(current / total * 100) // 2, 50)
    box = f"[{'=' * done}>{' ' * (50 - done)}] " if width > _BAR_FROM_WIDTH else ""
    if current > total:
        return f"{box}{human_size(current):>8}"
    return f"{box}{human_size(current):>8}/{human_size(total)}"


class Progress:
    """Shows lines and the progress of layers on one stream."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Write to ``out``, standard output when it is not given."""
        self._out = out or sys.stdout
        self._live = self._out.isatty() and os.environ.get("TERM", "") != "dumb"
        self._rows: dict[str, int] = {}
        self._last: dict[str, str] = {}

    def line(self, text: str) -> None:
        """Show a line; layers that follow start a new block."""
        self._rows.clear()
        self._out.write(text.rstrip("\n") + "\n")
        self._out.flush()

    def layer(self, layer: Message) -> None:
        """Show what a layer's progress is now."""
        identifier, status = layer.id, layer.status
        if not self._live:
            if status in _NUMBERS_ONLY or self._last.get(identifier) == status:
                return
            self._last[identifier] = status
            self._out.write(f"{identifier}: {status}\n")
            self._out.flush()
            return
        try:
            width = os.get_terminal_size(self._out.fileno()).columns
        except OSError:
            width = 80
        shown = bar(layer.current_bytes, layer.total_bytes, width) if status in _NUMBERS_ONLY else ""
        text = f"{identifier}: {status} {shown}".rstrip()[: max(width - 1, 20)]
        row = self._rows.get(identifier)
        if row is None:
            self._rows[identifier] = len(self._rows)
            self._out.write(f"{text}\n")
        else:
            up = len(self._rows) - row
            self._out.write(f"\x1b[{up}A\x1b[2K\r{text}\r\x1b[{up}B")
        self._out.flush()
