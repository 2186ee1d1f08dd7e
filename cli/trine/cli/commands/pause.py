"""``trine pause``: pause all processes within containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Pause all processes within one or more containers",
    "CONTAINER [CONTAINER...]",
    minimum=1,
    aliases=(
        "container pause",
        "pause",
    ),
)


def run(app: App, values: Values) -> int:
    """Freeze containers; returns the exit status, raises Failure."""
    from trine.cli.many import container_command

    return container_command(app, "PauseContainer", values.arguments)
