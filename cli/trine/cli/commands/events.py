"""``trine events``: get events of the engine as they happen."""

from __future__ import annotations

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Get real time events from the server",
    "[OPTIONS]",
    (
        ("f", "filter", "filter", "Filter output based on conditions provided"),
        (
            "",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
        ("", "since", "string", "Show all events created since timestamp"),
        ("", "until", "string", "Stream events until this timestamp"),
    ),
    minimum=0,
    maximum=0,
    aliases=(
        "system events",
        "events",
    ),
)


def run(app: App, values: Values) -> int:
    """Print events; returns the exit status, raises Failure."""
    import sys

    from trine.cli.text import templates
    from trine.cli.text.values import TemplateError
    from trine.cli.views.events import as_docker, line_of

    request = {
        "since_unix_nanos": _moment(values["since"]),
        "until_unix_nanos": _moment(values["until"]),
        "filters": values["filter"],
    }
    form = values["format"]
    source = "{{json .}}" if form == "json" else form
    try:
        template = templates.parse(source) if source else None
    except TemplateError as error:
        from trine.cli.failure import Failure

        raise Failure(f"Error parsing format: {error}", 64) from None
    for event in app.client.start("SystemService.WatchEvents", request):
        if template is None:
            text = line_of(event)
        else:
            text = template.render(as_docker(event))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return 0


def _moment(text: str) -> int:
    """Return a --since or --until in nanoseconds; raises Failure with the text of the daemon's."""
    import time

    from trine.cli.failure import Failure
    from trine.cli.opts.moments import parse_moment

    try:
        return parse_moment(text, time.time_ns())
    except ValueError as error:
        raise Failure(str(error)) from None
