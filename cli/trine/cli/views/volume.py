"""A volume as ``docker volume inspect`` shows it (engine 20.10)."""

from __future__ import annotations

from trine.cli.text.times import local_rfc3339
from trine.cli.text.values import GoMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message


def as_docker(volume: Message) -> dict[str, Any]:
    """Return a volume with Docker's keys, for inspection."""
    labels = GoMap(sorted(volume.labels.items()))
    options = GoMap(sorted(volume.options.items()))
    return {
        "CreatedAt": local_rfc3339(volume.created_at_unix_nanos),
        "Driver": volume.driver or "local",
        "Labels": labels or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": options or None,
        "Scope": "local",
    }


def columns() -> Columns:
    """Return all columns of ``volume ls``."""
    return {
        "Driver": ("DRIVER", lambda row: row.driver or "local"),
        "Name": ("VOLUME NAME", lambda row: row.name),
        "Mountpoint": ("MOUNTPOINT", lambda row: row.mountpoint),
        "Scope": ("SCOPE", lambda row: "local"),
        "Labels": ("LABELS", lambda row: ",".join(f"{k}={v}" for k, v in sorted(row.labels.items()))),
        "Label": ("", lambda row: lambda name: row.labels.get(name, "")),
        "Links": ("LINKS", lambda row: "N/A"),
        "Size": ("SIZE", lambda row: "N/A"),
        "Availability": ("AVAILABILITY", lambda row: "N/A"),
        "Group": ("GROUP", lambda row: "N/A"),
        "Status": ("STATUS", lambda row: "N/A"),
    }
