"""Events as Docker shows them."""

from __future__ import annotations

from trine.cli.text import times
from trine.cli.text.values import GoMap, Shaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.wire import Message


def line_of(event: Message) -> str:
    """Return "<time> container start <id> (image=busybox, name=x)"."""
    text = f"{times.local_rfc3339_nano(event.time_unix_nanos)} {event.type} {event.action} {event.actor_id}"
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
    return f"{text} ({attributes})" if attributes else text


def as_docker(event: Message) -> Shaped:
    """Return an event with the keys of Docker's API."""
    found: dict[str, Any] = {}
    if event.type in ("container", "image"):
        found = {"status": event.action, "id": event.actor_id}
    if event.type == "container" and event.attributes.get("image"):
        found["from"] = event.attributes["image"]
    found.update(
        {
            "Type": event.type,
            "Action": event.action,
            "Actor": {"ID": event.actor_id, "Attributes": GoMap(sorted(event.attributes.items()))},
            "scope": event.scope or "local",
            "time": event.time_unix_nanos // 1_000_000_000,
            "timeNano": event.time_unix_nanos,
        }
    )
    more = {"ID": event.actor_id, "Status": event.action, "Scope": found["scope"]}
    more.update(Time=found["time"], TimeNano=found["timeNano"], From=event.attributes.get("image", ""))
    return Shaped(found, more)
