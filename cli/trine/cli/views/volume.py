"""A volume as ``docker volume inspect`` shows it (engine 20.10)."""

from __future__ import annotations

from trine.cli.text.times import local_rfc3339
from trine.cli.text.values import GoMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
