"""``trine container prune``: remove all stopped containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove all stopped containers",
    "[OPTIONS]",
    (
        ("", "filter", "filter", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("f", "force", "", "Do not prompt for confirmation"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Remove stopped containers; returns the exit status, raises Failure."""
    from trine.cli import pruning

    if not pruning.agreed(values, "This will remove all stopped containers."):
        return 0
    answer = app.client.call("ContainerService.PruneContainers", {"filters": values["filter"]})
    pruning.listed("Deleted Containers", answer.ids)
    pruning.reclaimed(answer.reclaimed_bytes)
    return 0
