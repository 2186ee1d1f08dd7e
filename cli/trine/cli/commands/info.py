"""``trine info``: show what engine and host are."""

from __future__ import annotations

import sys

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.wire import Message

SPEC = Spec(
    "Display system-wide information",
    "[OPTIONS]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
    ),
    minimum=0,
    maximum=0,
    aliases=(
        "system info",
        "info",
    ),
)


def run(app: App, values: Values) -> int:
    """Show system-wide information; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure
    from trine.cli.views import info

    failure: Failure | None = None
    server: Message | None = None
    try:
        server = app.client.call("SystemService.GetInfo")
    except Failure as error:
        failure = error
    if values["format"]:
        from trine.cli.text.single import render
        from trine.cli.text.values import Struct

        render(values["format"], Struct("system.dockerInfo", info.as_docker(server)))
        if failure is not None:
            raise failure
        return 0
    sys.stdout.write(info.client_text() + "\nServer:\n")
    if server is None:
        sys.stdout.flush()
        raise Failure(f"{failure}\nerrors pretty printing info")
    sys.stdout.write(info.server_text(server))
    sys.stdout.flush()
    sys.stderr.write(info.warnings_text(server))
    return 0
