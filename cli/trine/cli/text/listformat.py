"""--format of listings, other than the usual table: templates and JSON."""

from __future__ import annotations

from trine.cli.failure import Failure
from trine.cli.text import templates
from trine.cli.text.columns import aligned
from trine.cli.text.values import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.text.columns import Columns, Style


class _Row:
    """Fields of one row, worked out when a template asks for them."""

    is_row = True

    def __init__(self, columns: Columns, row: Any, kind: str) -> None:
        self._columns = columns
        self._row = row
        self.kind = kind

    def field(self, name: str) -> Any:
        """Return a column's text; raises KeyError."""
        return self._columns[name][1](self._row)

    def json(self) -> Any:
        """Return all columns but those that take an argument, sorted by name."""
        values = {name: column[1](self._row) for name, column in sorted(self._columns.items())}
        return {name: value for name, value in values.items() if not callable(value)}


class _Heads:
    """The heads of a table as a template's data."""

    def __init__(self, columns: Columns, kind: str) -> None:
        self._columns = columns
        self.kind = kind

    def field(self, name: str) -> Any:
        """Return a column's head; raises KeyError."""
        head = self._columns[name][0]
        return head if head else (lambda argument: argument)

    def json(self) -> Any:
        """Return all heads."""
        return {name: column[0] for name, column in self._columns.items()}


def render(form: str, columns: Columns, rows: list[Any], style: Style) -> str:
    """Return the text for a --format that is "json", "raw", "table TEMPLATE" or a template."""
    if form == "json":
        form = "{{json .}}"
    if form == "raw" and style.raw:
        form = "".join(f"{name}: {{{{.{column}}}}}\n" for name, column in style.raw)
    heads = form.startswith("table")
    source = form[len("table") :].strip() if heads else form
    source = source.replace("\\t", "\t").replace("\\n", "\n")
    parsing, executing = style.words
    try:
        template = templates.parse(source)
    except TemplateError as error:
        raise Failure(f"{parsing}: {error}") from None
    try:
        lines = [template.render(_Row(columns, row, style.kind)) for row in rows]
        if not heads:
            return "".join(line + "\n" for line in lines)
        lines.insert(0, template.render(_Heads(columns, style.kind)))
    except TemplateError as error:
        raise Failure(f"{executing}: {error}") from None
    return aligned([part.split("\t") for line in lines for part in line.split("\n")])
