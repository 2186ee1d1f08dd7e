"""``trine system prune``: remove unused data."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove unused data",
    "[OPTIONS]",
    (
        ("a", "all", "", "Remove all unused images not just dangling ones"),
        ("", "filter", "filter", 'Provide filter values (e.g. "label=<key>=<value>")'),
        ("f", "force", "", "Do not prompt for confirmation"),
        ("", "volumes", "", "Prune anonymous volumes"),
    ),
    minimum=0,
    maximum=0,
)


def run(app: App, values: Values) -> int:
    """Remove unused data of all kinds; returns the exit status, raises Failure."""
    from trine.cli import pruning
    from trine.cli.failure import Failure

    filters = values["filter"]
    if values["volumes"] and any(text.startswith("until=") for text in filters):
        raise Failure('the "until" filter is not supported with "--volumes"')
    if not pruning.agreed(values, _warning(values), "\n\n"):
        return 0
    containers = app.client.call("ContainerService.PruneContainers", {"filters": filters})
    pruning.listed("Deleted Containers", containers.ids)
    total = containers.reclaimed_bytes
    networks = app.client.call("NetworkService.PruneNetworks", {"filters": filters})
    pruning.listed("Deleted Networks", networks.names)
    if values["volumes"]:
        volumes = app.client.call("VolumeService.PruneVolumes", {"filters": filters})
        pruning.listed("Deleted Volumes", volumes.names)
        total += volumes.reclaimed_bytes
    images = app.client.call("ImageService.PruneImages", {"all": values["all"], "filters": filters})
    pruning.listed("Deleted Images", pruning.deleted_lines(images.deleted))
    total += images.reclaimed_bytes
    until = [text for text in filters if text.startswith("until=")]
    cache = app.client.call("ImageService.PruneBuildCache", {"all": values["all"], "filters": until})
    pruning.listed("Deleted build cache objects", cache.ids)
    pruning.reclaimed(total + cache.reclaimed_bytes)
    return 0


def _warning(values: Values) -> str:
    """Return what is to be removed."""
    lines = ["all stopped containers", "all networks not used by at least one container"]
    if values["volumes"]:
        lines.append("all anonymous volumes not used by at least one container")
    if values["all"]:
        lines += ["all images without at least one container associated to them", "all build cache"]
    else:
        lines += ["all dangling images", "unused build cache"]
    text = "This will remove:\n" + "\n".join(f"  - {line}" for line in lines)
    if values["filter"]:
        text += "\n\n  Items to be pruned will be filtered with:\n"
        text += "\n".join(f"  - {line}" for line in sorted(values["filter"]))
    return text
