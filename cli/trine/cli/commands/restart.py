"""``trine restart``: restart containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Restart one or more containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("s", "signal", "string", "Signal to send to the container"),
        ("t", "timeout", "int", "Seconds to wait before killing the container"),
        ("", "time", "int", "!timeout"),
    ),
    minimum=1,
    aliases=(
        "container restart",
        "restart",
    ),
)


def run(app: App, values: Values) -> int:
    """Restart containers; returns the exit status, raises Failure."""
    from trine.cli.many import container_command

    fields = {
        "timeout_seconds": values["timeout"],
        "timeout_set": values.changed("timeout"),
        "signal": values["signal"],
    }
    return container_command(app, "RestartContainer", values.arguments, fields)
