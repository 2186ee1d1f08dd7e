"""``trine top``: display the running processes of a container."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Display the running processes of a container",
    "CONTAINER [ps OPTIONS]",
    minimum=1,
    aliases=(
        "container top",
        "top",
    ),
    interspersed=False,
)


def run(app: App, values: Values) -> int:
    """Show processes; returns the exit status, raises Failure."""
    import sys

    from trine.cli.text.columns import aligned

    name, *arguments = values.arguments
    answer = app.client.call(
        "ContainerService.ListContainerProcesses",
        {"container_id": name, "ps_arguments": " ".join(arguments)},
    )
    rows = [answer.titles, *(row.cells for row in answer.rows)]
    sys.stdout.write(aligned(rows, minimum=20))
    return 0
