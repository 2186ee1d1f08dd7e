"""``trine stop``: stop running containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Stop one or more running containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("s", "signal", "string", "Signal to send to the container"),
        ("t", "timeout", "int", "Seconds to wait before killing the container"),
        ("", "time", "int", "!timeout"),
    ),
    minimum=1,
    aliases=(
        "container stop",
        "stop",
    ),
)


def run(app: App, values: Values) -> int:
    """Stop containers; returns the exit status, raises Failure."""
    from trine.cli.many import container_command

    fields = {
        "timeout_seconds": values["timeout"],
        "timeout_set": values.changed("timeout"),
        "signal": values["signal"],
    }
    return container_command(app, "StopContainer", values.arguments, fields)
