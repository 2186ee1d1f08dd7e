"""Files in and out of a container (docker cp)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trine.runtime.registry import Registry
from trine.runtime.store import Store
from trine.runtime.zygote_client import ZygoteClient
from trine.v1 import runtime_pb2


class Archives:
    """The use case."""

    def __init__(self, store: Store, registry: Registry, zygote: ZygoteClient) -> None:
        """Take the parts."""

    async def read(
        self, target: runtime_pb2.ArchiveTarget, stat_only: bool
    ) -> AsyncIterator[runtime_pb2.ReadArchiveResponse]:
        """Read."""
        yield runtime_pb2.ReadArchiveResponse()

    async def write(self, requests: AsyncIterator[runtime_pb2.WriteArchiveRequest]) -> None:
        """Write."""
