"""What all use cases share: settings, records, leaves, events, volumes and background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from trine.engine.events import EventBus
from trine.engine.leaves import Leaves
from trine.engine.registry import Entry, Exec, Registry, dump_private
from trine.engine.settings import EngineSettings
from trine.engine.store import Store
from trine.engine.volume_book import VolumeBook
from trine.kit.logs import get_logger
from trine.v1 import network_pb2, runtime_pb2, system_pb2


class Core:
    """The parts of one engine."""

    def __init__(
        self, settings: EngineSettings, store: Store, registry: Registry, leaves: Leaves, volumes: VolumeBook
    ) -> None:
        """Keep the parts; nothing is started."""
        self.settings = settings
        self.store = store
        self.registry = registry
        self.leaves = leaves
        self.volumes = volumes
        self.events = EventBus()
        self.engine_id = ""
        self.runtime_facts: runtime_pb2.GetRuntimeInfoResponse | None = None
        self.network_facts: network_pb2.GetNetworkInfoResponse | None = None
        self.execs: dict[str, Exec] = {}
        self.closing = False
        self.builds_running = 0
        self.recovered = asyncio.Event()  # after the first recover
        self.booted = False  # restart policies were applied
        self.services_info: Callable[[], list[system_pb2.ServiceInfo]] = list
        self.log = get_logger("engine")
        self._tasks: set[asyncio.Task[Any]] = set()

    def save(self, entry: Entry) -> None:
        """Note an entry's row for the next commit; ``store.flush`` waits for it."""
        self.store.put(
            "container", entry.id, entry.container.SerializeToString(), dump_private(entry.private)
        )

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run work in the background; its failure is logged, ``close`` cancels it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("background work failed", task=task.get_name(), error=repr(task.exception()))

    async def cancel_tasks(self) -> None:
        """Cancel background work and wait for it."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
