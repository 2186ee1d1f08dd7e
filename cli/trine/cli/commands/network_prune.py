"""``trine network prune``: remove all unused networks."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove all unused networks",
    "[OPTIONS]",
    (
        ("", "filter", "filter", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("f", "force", "", "Do not prompt for confirmation"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Remove unused networks; returns the exit status, raises Failure."""
    from trine.cli import pruning

    warning = "This will remove all custom networks not used by at least one container."
    if not pruning.agreed(values, warning):
        return 0
    answer = app.client.call("NetworkService.PruneNetworks", {"filters": values["filter"]})
    pruning.listed("Deleted Networks", answer.names)
    return 0
