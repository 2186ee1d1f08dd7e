"""``trine system df``: show disk usage."""

from __future__ import annotations

import sys

from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Show trine disk usage",
    "[OPTIONS]",
    (
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("v", "verbose", "", "Show detailed information on space usage"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Show disk usage; returns the exit status, raises Failure."""
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing
    from trine.cli.views import disk

    answer = app.client.call("SystemService.GetDiskUsage")
    if values["verbose"]:
        if values["format"] in ("", "table"):
            sys.stdout.write(disk.verbose(answer))
            return 0
        from trine.cli.failure import Failure
        from trine.cli.text import templates
        from trine.cli.text.values import TemplateError

        form = "{{json .}}" if values["format"] == "json" else values["format"]
        try:
            template = templates.parse(form.replace("\\n", "\n").replace("\\t", "\t"))
        except TemplateError as error:
            raise Failure(f"template parsing error: {error}") from None
        try:
            sys.stdout.write(template.render(disk.Everything(answer)))
        except TemplateError as error:
            raise Failure(str(error)) from None
        return 0
    style = Style(
        "*formatter.diskUsageImagesContext",
        (
            ("type", "Type"),
            ("total", "TotalCount"),
            ("active", "Active"),
            ("size", "Size"),
            ("reclaimable", "Reclaimable"),
        ),
    )
    write_listing(values["format"], disk.COLUMNS, list(disk.COLUMNS), disk.summary(answer), style)
    return 0
