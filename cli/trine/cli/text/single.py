"""--format of a single object (version, info, inspect)."""

from __future__ import annotations

import sys

from trine.cli.failure import Failure
from trine.cli.text import templates
from trine.cli.text.values import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def render(form: str, value: Any, name: str = "") -> None:
    """Print a value by a template, "json" for the whole of it; raises Failure for a wrong one.

    What was printed before an error stays, as in Docker; ``name`` is what Go's errors call the template.
    """
    source = "{{json .}}" if form == "json" else form
    try:
        template = templates.parse(source.replace("\\n", "\n").replace("\\t", "\t"), name)
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", 64) from None
    try:
        sys.stdout.write(template.render(value) + "\n")
    except TemplateError as error:
        sys.stdout.write(error.written + "\n")
        sys.stdout.flush()
        raise Failure(str(error)) from None
