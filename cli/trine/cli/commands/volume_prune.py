"""``trine volume prune``: remove unused local volumes."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove unused local volumes",
    "[OPTIONS]",
    (
        ("a", "all", "", "Remove all unused volumes, not just anonymous ones"),
        ("", "filter", "filter", 'Provide filter values (e.g. "label=<label>")'),
        ("f", "force", "", "Do not prompt for confirmation"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Remove unused volumes; returns the exit status, raises Failure."""
    from trine.cli import pruning

    kind = "all" if values["all"] else "anonymous"
    warning = f"This will remove {kind} local volumes not used by at least one container."
    if not pruning.agreed(values, warning):
        return 0
    filters = [*values["filter"], *(["all=true"] if values["all"] else [])]
    answer = app.client.call("VolumeService.PruneVolumes", {"filters": filters})
    pruning.listed("Deleted Volumes", answer.names)
    pruning.reclaimed(answer.reclaimed_bytes)
    return 0
