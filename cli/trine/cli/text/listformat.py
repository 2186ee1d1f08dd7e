"""--format of listings, other than the usual table: templates and JSON."""

from __future__ import annotations

from trine.cli.failure import Failure
from trine.cli.text import templates
from trine.cli.text.columns import aligned
from trine.cli.text.values import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.text.columns import Columns


class _Row:
    """Fields of one row, worked out when a template asks for them."""

    is_row = True

    def __init__(self, columns: Columns, row: Any) -> None:
        self._columns = columns
        self._row = row

    def field(self, name: str) -> Any:
        """Return a column's text; raises KeyError."""
        return self._columns[name][1](self._row)

    def json(self) -> Any:
        """Return all columns but those that take an argument, sorted by name."""
        values = {name: column[1](self._row) for name, column in sorted(self._columns.items())}
        return {name: value for name, value in values.items() if not callable(value)}


class _Heads:
    """The heads of a table as a template's data."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def field(self, name: str) -> Any:
        """Return a column's head; raises KeyError."""
        head = self._columns[name][0]
        return head if head else (lambda argument: argument)

    def json(self) -> Any:
        """Return all heads."""
        return {name: column[0] for name, column in self._columns.items()}


def render(form: str, columns: Columns, rows: list[Any]) -> str:
    """Return the text for a --format that is "json", "table TEMPLATE" or a template."""
    if form == "json":
        form = "{{json .}}"
    heads = form.startswith("table")
    source = form[len("table") :].strip() if heads else form
    source = source.replace("\\t", "\t").replace("\\n", "\n")
    try:
        template = templates.parse(source)
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", 64 if heads else 1) from None
    try:
        lines = [template.render(_Row(columns, row)) for row in rows]
        if not heads:
            return "".join(line + "\n" for line in lines)
        lines.insert(0, template.render(_Heads(columns)))
    except TemplateError as error:
        raise Failure(f"failed to execute template: {error}") from None
    return aligned([part.split("\t") for line in lines for part in line.split("\n")])
