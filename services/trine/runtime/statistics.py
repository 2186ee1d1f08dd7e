"""WatchUsage: a sample of each wanted container every second."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

from trine.runtime.registry import Record, Registry
from trine.runtime.usage import Sampler
from trine.v1 import runtime_pb2

_INTERVAL_SECONDS = 1.0


class Statistics:
    """The use case."""

    def __init__(self, registry: Registry) -> None:
        """Take the registry."""
        self._registry = registry

    async def watch(self, wanted: list[str], once: bool) -> AsyncIterator[runtime_pb2.WatchUsageResponse]:
        """Yield samples of ``wanted`` (or all that run) until none of the wanted runs.

        With ``once`` one each. Raises NotFoundError for a container that is not there.
        """
        for container_id in wanted:
            self._registry.get(container_id)
        samplers: dict[str, Sampler] = {}
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            records = [
                record
                for record in (map(self._registry.find, wanted) if wanted else self._registry.all())
                if record is not None and record.running
            ]
            for response in await asyncio.to_thread(self._sample, records, samplers):
                yield response
            if once or (wanted and not records):
                return
            await asyncio.sleep(max(0.0, began + _INTERVAL_SECONDS - loop.time()))

    def _sample(
        self, records: list[Record], samplers: dict[str, Sampler]
    ) -> list[runtime_pb2.WatchUsageResponse]:
        result = []
        for record in records:
            sampler = samplers.get(record.id)
            if sampler is None:
                sampler = samplers[record.id] = Sampler(record.group, int(record.state.get("pid", 0)))
            fields = dataclasses.asdict(sampler.sample())
            result.append(runtime_pb2.WatchUsageResponse(container_id=record.id, **fields))
        return result
