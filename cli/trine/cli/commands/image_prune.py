"""``trine image prune``: remove unused images."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove unused images",
    "[OPTIONS]",
    (
        ("a", "all", "", "Remove all unused images, not just dangling ones"),
        ("", "filter", "filter", 'Provide filter values (e.g. "until=<timestamp>")'),
        ("f", "force", "", "Do not prompt for confirmation"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Remove unused images; returns the exit status, raises Failure."""
    from trine.cli import pruning

    warning = "This will remove all dangling images."
    if values["all"]:
        warning = "This will remove all images without at least one container associated to them."
    if not pruning.agreed(values, warning):
        return 0
    request = {"all": values["all"], "filters": values["filter"]}
    answer = app.client.call("ImageService.PruneImages", request)
    pruning.listed("Deleted Images", pruning.deleted_lines(answer.deleted))
    pruning.reclaimed(answer.reclaimed_bytes)
    return 0
