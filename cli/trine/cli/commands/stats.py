"""``trine stats``: live resource usage of containers."""

from __future__ import annotations

import sys

from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

_REFRESH_SECONDS = 0.5

SPEC = Spec(
    "Display a live stream of container(s) resource usage statistics",
    "[OPTIONS] [CONTAINER...]",
    (
        ("a", "all", "", "Show all containers (default shows just running)"),
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("", "no-stream", "", "Disable streaming stats and only pull the first result"),
        ("", "no-trunc", "", "Do not truncate output"),
    ),
    minimum=0,
    aliases=(
        "container stats",
        "stats",
    ),
)


def run(app: App, values: Values) -> int:
    """Show usage; returns the exit status, raises Failure."""
    from trine.cli.views.usage import Usage

    names, everything = values.arguments, values["all"] and not values.arguments
    usage = Usage(app, names, everything=everything, truncate=not values["no-trunc"])
    form = values["format"]
    if values["no-stream"]:
        usage.read_twice()
        sys.stdout.write(usage.listing(form))
        return 0
    clear = form in ("", "table") or form.startswith("table ")
    while usage.read(_REFRESH_SECONDS):
        text = usage.listing(form)
        if clear:
            # Home, each line cut where it ends, and nothing below: without flicker.
            text = "\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[J"
        sys.stdout.write(text)
        sys.stdout.flush()
    return 0
