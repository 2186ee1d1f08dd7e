"""Disk usage: the summary and the long form of ``system df``."""

from __future__ import annotations

from trine.cli.text.table import listing
from trine.cli.text.units import human_size, short_id
from trine.cli.views import images, rows, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

    Row = tuple[str, int, int, int, int]

COLUMNS: Columns = {
    "Type": ("TYPE", lambda row: row[0]),
    "TotalCount": ("TOTAL", lambda row: str(row[1])),
    "Active": ("ACTIVE", lambda row: str(row[2])),
    "Size": ("SIZE", lambda row: human_size(row[3])),
    "Reclaimable": ("RECLAIMABLE", lambda row: _reclaimable(row[3], row[4])),
}


def _reclaimable(size: int, free: int) -> str:
    return f"{human_size(free)} ({free * 100 // size}%)" if size > 0 else human_size(free)


def _containers_of(answer: Message, image: Message) -> int:
    return sum(1 for row in answer.containers if row.image_id == image.id)


def summary(answer: Message) -> list[Row]:
    """Return (type, total, active, size, reclaimable) of each kind of object."""
    usage = answer.images
    used = [image for image in usage.images if _containers_of(answer, image)]
    # A layer that a used image has cannot be given back; unique parts of the others can.
    held = sum(image.size_bytes - image.shared_size_bytes for image in used)
    held += max((image.shared_size_bytes for image in used), default=0)
    active = [row for row in answer.containers if rows.state_name(row.state) in ("running", "paused")]
    container_size = sum(row.size_rw_bytes for row in answer.containers)
    active_size = sum(row.size_rw_bytes for row in active)
    bound = [volume for volume in answer.volumes if volume.references > 0]
    volume_size = sum(max(0, volume.size_bytes) for volume in answer.volumes)
    bound_size = sum(max(0, volume.size_bytes) for volume in bound)
    size = usage.layers_size_bytes
    cache = usage.build_cache_size_bytes
    return [
        ("Images", len(usage.images), len(used), size, max(0, size - held)),
        ("Containers", len(answer.containers), len(active), container_size, container_size - active_size),
        ("Local Volumes", len(answer.volumes), len(bound), volume_size, volume_size - bound_size),
        ("Build Cache", usage.build_cache_entries, 0, cache, cache),
    ]


def verbose(answer: Message) -> str:
    """Return the long form: all images, containers and volumes."""
    found = images.columns(truncate=True)
    image_columns: Columns = {name: found[name] for name in ("Repository", "Tag", "ID", "CreatedSince")}
    image_columns["Size"] = found["Size"]
    image_columns["SharedSize"] = ("SHARED SIZE", lambda row: human_size(row[3].shared_size_bytes))
    image_columns["UniqueSize"] = (
        "UNIQUE SIZE",
        lambda row: human_size(row[3].size_bytes - row[3].shared_size_bytes),
    )
    image_columns["Containers"] = ("CONTAINERS", lambda row: str(_containers_of(answer, row[3])))
    container_columns = rows.container_columns(truncate=True)
    container_columns["ID"] = ("CONTAINER ID", lambda row: short_id(row.id))
    container_columns["Size"] = ("SIZE", lambda row: human_size(row.size_rw_bytes, 3))
    volume_columns: Columns = {
        "Name": ("VOLUME NAME", lambda row: row.name),
        "Links": ("LINKS", lambda row: str(row.references)),
        "Size": ("SIZE", lambda row: human_size(max(0, row.size_bytes))),
    }
    cache_columns: Columns = {
        "ID": ("CACHE ID", lambda row: ""),
        "CacheType": ("CACHE TYPE", lambda row: ""),
        "Size": ("SIZE", lambda row: ""),
        "CreatedSince": ("CREATED", lambda row: ""),
        "LastUsedSince": ("LAST USED", lambda row: ""),
        "UsageCount": ("USAGE", lambda row: ""),
        "Shared": ("SHARED", lambda row: ""),
    }
    usual = ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"]
    return (
        "Images space usage:\n\n"
        + listing("", image_columns, list(image_columns), images.rows(answer.images.images, digests=False))
        + "\nContainers space usage:\n\n"
        + listing("", container_columns, usual, answer.containers)
        + "\nLocal Volumes space usage:\n\n"
        + listing("", volume_columns, list(volume_columns), answer.volumes)
        + f"\nBuild cache usage: {human_size(answer.images.build_cache_size_bytes)}\n\n"
        # The cache is images here, as in Docker's classic builder: there is nothing to list.
        + listing("", cache_columns, list(cache_columns), ())
    )


class Everything:
    """All there is, as a template of ``system df --verbose --format`` sees it."""

    kind = "*formatter.diskUsageContext"
    is_row = True  # written to JSON as rows are

    def __init__(self, answer: Message) -> None:
        """Keep the engine's answer."""
        self._answer = answer

    def field(self, name: str) -> Any:
        """Return one of the four lists; raises KeyError."""
        return self.json()[name]

    def json(self) -> dict[str, list[dict[str, Any]]]:
        """Return the lists, each row with the columns of its kind."""
        answer = self._answer
        image_columns = images.columns(truncate=False)
        image_columns["Containers"] = ("", lambda row: str(_containers_of(answer, row[3])))
        image_columns["SharedSize"] = ("", lambda row: human_size(row[3].shared_size_bytes))
        image_columns["UniqueSize"] = (
            "",
            lambda row: human_size(row[3].size_bytes - row[3].shared_size_bytes),
        )
        container_columns = rows.container_columns(truncate=False)
        volume_columns = volume.columns()
        volume_columns["Links"] = ("", lambda row: str(row.references))
        volume_columns["Size"] = ("", lambda row: human_size(max(0, row.size_bytes)))
        return {
            "Images": [
                _cells(image_columns, row) for row in images.rows(answer.images.images, digests=False)
            ],
            "Containers": [_cells(container_columns, row) for row in answer.containers],
            "Volumes": [_cells(volume_columns, row) for row in answer.volumes],
            "BuildCache": [],
        }


def _cells(columns: Columns, row: Any) -> dict[str, Any]:
    values = {name: column[1](row) for name, column in sorted(columns.items())}
    return {name: value for name, value in values.items() if not callable(value)}
