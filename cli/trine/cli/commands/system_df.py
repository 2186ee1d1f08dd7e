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
    from trine.cli.text.table import write_listing
    from trine.cli.views import disk

    answer = app.client.call("SystemService.GetDiskUsage")
    if values["verbose"]:
        if values["format"]:
            from trine.cli.failure import Failure

            raise Failure("the verbose and the format options conflict")
        sys.stdout.write(disk.verbose(answer))
        return 0
    write_listing(values["format"], disk.COLUMNS, list(disk.COLUMNS), disk.summary(answer))
    return 0
