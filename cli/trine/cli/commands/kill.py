"""``trine kill``: kill running containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Kill one or more running containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (("s", "signal", "string", "Signal to send to the container"),),
    minimum=1,
    aliases=(
        "container kill",
        "kill",
    ),
)


def run(app: App, values: Values) -> int:
    """Send a signal to containers; returns the exit status, raises Failure."""
    from trine.cli.many import container_command

    return container_command(app, "KillContainer", values.arguments, {"signal": values["signal"]})
