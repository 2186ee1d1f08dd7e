"""``trine builder prune``: remove build cache."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove build cache",
    "",
    (
        ("a", "all", "", "Remove all unused build cache, not just dangling ones"),
        ("", "filter", "filter", 'Provide filter values (e.g. "until=24h")'),
        ("f", "force", "", "Do not prompt for confirmation"),
        ("", "keep-storage", "bytes", "Amount of disk space to keep for cache"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Remove build cache; returns the exit status, raises Failure."""
    from trine.cli import pruning

    kind = "all build cache" if values["all"] else "all dangling build cache"
    if not pruning.agreed(values, f"This will remove {kind}.", " "):
        return 0
    if values["keep-storage"]:  # cache entries take no space of their own: it is always kept
        pruning.reclaimed(0)
        return 0
    request = {"all": values["all"], "filters": values["filter"]}
    answer = app.client.call("ImageService.PruneBuildCache", request)
    pruning.listed("Deleted build cache objects", answer.ids)
    pruning.reclaimed(answer.reclaimed_bytes)
    return 0
