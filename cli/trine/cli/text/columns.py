"""Cells in columns, as docker's tabwriter sets them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Columns = dict[str, tuple[str, Callable[[Any], Any]]]  # name -> (head, function of a row)

_MINIMUM, _PADDING = 10, 3  # of a column (docker's tabwriter)


_PARSING = "template parsing error"


class Style:
    """What is particular to a listing: its rows' Go type, its raw form, how it tells of a wrong template."""

    def __init__(
        self,
        kind: str = "row",
        raw: tuple[tuple[str, str], ...] = (),
        words: tuple[str, str] = (_PARSING, _PARSING),
    ) -> None:
        """Describe one.

        Args:
            kind: what Go calls the type of a row.
            raw: name and column of each line of --format raw; (): there is no such form.
            words: what begins an error of parsing a template, and of executing one.
        """
        self.kind = kind
        self.raw = raw
        self.words = words


PLAIN = Style()


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
