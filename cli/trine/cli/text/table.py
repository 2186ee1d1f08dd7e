"""Tables, and --format for whatever is listed.

A listing is a ``Columns``: name -> (head, function of a row). Docker's four forms of --format work on it:
"" or "table" (the usual columns), "table TEMPLATE", "json" and "TEMPLATE".
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Columns = dict[str, tuple[str, Callable[[Any], Any]]]

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


def write_listing(form: str, columns: Columns, usual: Sequence[str], rows: Iterable[Any]) -> None:
    """Print rows in the form --format asks for; raises Failure for a template that is wrong."""
    sys.stdout.write(listing(form, columns, usual, rows))


def listing(form: str, columns: Columns, usual: Sequence[str], rows: Iterable[Any]) -> str:
    """Return rows in the form --format asks for; raises Failure for a template that is wrong."""
    if form in ("", "table"):
        cells: list[list[str]] = [[columns[name][0] for name in usual]]
        functions = [columns[name][1] for name in usual]
        for row in rows:
            cells.append([str(function(row)) for function in functions])
        return aligned(cells)
    from trine.cli.text import listformat

    return listformat.render(form, columns, list(rows))
