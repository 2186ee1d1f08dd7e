"""Cells in columns, as docker's tabwriter sets them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Columns = dict[str, tuple[str, Callable[[Any], Any]]]  # name -> (head, function of a row)

_MINIMUM, _PADDING = 10, 3  # of a column (docker's tabwriter)


def aligned(rows: Iterable[Sequence[str]], *, minimum: int = _MINIMUM) -> str:
    """Return rows of cells as lines with aligned columns; the last cell of a row is not padded.

    As Go's text/tabwriter, a column is a run of lines that have a cell there.
    """
    lines = [list(row) for row in rows]
    depth = max((len(line) for line in lines), default=0)
    for column in range(depth - 1):
        at = 0
        while at < len(lines):
            if len(lines[at]) <= column + 1:
                at += 1
                continue
            end = at
            widest = 0
            while end < len(lines) and len(lines[end]) > column + 1:
                widest = max(widest, len(lines[end][column]))
                end += 1
            size = max(minimum, widest + _PADDING)
            for line in lines[at:end]:
                line[column] = line[column].ljust(size)
            at = end
    return "".join("".join(line) + "\n" for line in lines)
