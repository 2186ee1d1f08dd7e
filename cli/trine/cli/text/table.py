"""Tables, and --format for whatever is listed.

A listing is a ``Columns``: name -> (head, function of a row). Docker's four forms of --format work on it:
"" or "table" (the usual columns), "table TEMPLATE", "json" and "TEMPLATE".
"""

from __future__ import annotations

import sys

from trine.cli.text.columns import PLAIN, Style, aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from trine.cli.text.columns import Columns


def write_listing(
    form: str, columns: Columns, usual: Sequence[str], rows: Iterable[Any], style: Style = PLAIN
) -> None:
    """Print rows in the form --format asks for; raises Failure for a template that is wrong."""
    sys.stdout.write(listing(form, columns, usual, rows, style))


def listing(
    form: str, columns: Columns, usual: Sequence[str], rows: Iterable[Any], style: Style = PLAIN
) -> str:
    """Return rows in the form --format asks for; raises Failure for a template that is wrong."""
    if form in ("", "table"):
        cells: list[list[str]] = [[columns[name][0] for name in usual]]
        functions = [columns[name][1] for name in usual]
        for row in rows:
            cells.append([str(function(row)) for function in functions])
        return aligned(cells)
    from trine.cli.text import listformat

    return listformat.render(form, columns, list(rows), style)
