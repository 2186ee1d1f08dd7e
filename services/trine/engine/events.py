"""Events: what happened, told to whoever listens and kept for `--since`. Names are Docker's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping

from trine.engine.filters import Filters
from trine.v1 import container_pb2, system_pb2

KEPT = 256  # as dockerd
_LONGEST_QUEUE = 4096  # a listener slower than that loses the oldest


class EventBus:
    """The last events and the listeners; belongs to the event loop's thread."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: deque[system_pb2.WatchEventsResponse] = deque(maxlen=KEPT)
        self._listeners: set[asyncio.Queue[system_pb2.WatchEventsResponse]] = set()

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str]) -> None:
        """Tell an event."""
        event = system_pb2.WatchEventsResponse(
            time_unix_nanos=time.time_ns(), type=kind, action=action, actor_id=actor_id, scope="local"
        )
        event.attributes.update(attributes)
        self._kept.append(event)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def container(self, container: container_pb2.Container, action: str, **attributes: str) -> None:
        """Tell an event of a container: its labels, image and name go along."""
        every = dict(container.config.labels)
        every.update(attributes)
        every["image"] = container.config.image
        every["name"] = container.name
        self.publish("container", action, container.id, every)

    async def watch(
        self, request: system_pb2.WatchEventsRequest
    ) -> AsyncIterator[system_pb2.WatchEventsResponse]:
        """Yield kept events in the range asked for, then new ones until the end of it."""
        filters = Filters(request.filters, None)
        queue: asyncio.Queue[system_pb2.WatchEventsResponse] = asyncio.Queue(_LONGEST_QUEUE)
        kept = list(self._kept) if request.since_unix_nanos else []
        self._listeners.add(queue)
        until = request.until_unix_nanos
        try:
            for event in kept:
                late = until and event.time_unix_nanos > until
                if event.time_unix_nanos >= request.since_unix_nanos and not late and matches(event, filters):
                    yield event
            while True:
                left = (until - time.time_ns()) / 1e9 if until else None
                if left is not None and left <= 0:
                    return
                try:
                    event = await asyncio.wait_for(queue.get(), left)
                except TimeoutError:
                    return
                if matches(event, filters):
                    yield event
        finally:
            self._listeners.discard(queue)


def _named(values: set[str], event: system_pb2.WatchEventsResponse) -> bool:
    name = event.attributes.get("name", "")
    return any(event.actor_id == v or event.actor_id.startswith(v) or name == v for v in values)


def matches(event: system_pb2.WatchEventsResponse, filters: Filters) -> bool:
    """Tell whether an event passes: one value of each filter given must hold."""
    for key in ("container", "volume", "network", "image"):
        values = filters.values(key)
        if not values:
            continue
        if key == "image":
            names = {event.actor_id, event.attributes.get("name", ""), event.attributes.get("image", "")}
            names |= {name.rsplit(":", 1)[0] for name in names}
            if event.type not in ("image", "container") or not (values & names):
                return False
        elif event.type == key:
            if not _named(values, event):
                return False
        elif key == "container" and event.attributes.get("container", "") in values:
            continue
        else:
            return False
    actions = filters.values("event")
    if actions and not any(event.action == a or event.action.split(":", 1)[0] == a for a in actions):
        return False
    if filters.values("type") and event.type not in filters.values("type"):
        return False
    if filters.values("scope") and event.scope not in filters.values("scope"):
        return False
    return filters.match_labels(event.attributes)
