"""The engine as the supervisor hosts it: open, register, recover, close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from trine.engine.container_service import ContainerServicer
from trine.engine.core import Core
from trine.engine.leaves import Leaves
from trine.engine.other_services import SystemServicer, VolumeServicer
from trine.engine.passthrough import SERVICES, PassThrough
from trine.engine.reconcile import load_records, recover
from trine.engine.registry import Registry
from trine.engine.settings import EngineSettings
from trine.engine.store import Store
from trine.engine.system import load_engine_id
from trine.engine.volume_book import VolumeBook
from trine.engine.watch import watch_runtime
from trine.kit.files import make_directory
from trine.v1 import container_pb2_grpc, system_pb2, system_pb2_grpc, volume_pb2_grpc

__all__ = ["Engine", "EngineSettings", "open_engine"]


class Engine:
    """The coordinator of one trined."""

    def __init__(self, core: Core) -> None:
        """Keep the parts."""
        self._core = core
        self._recovering = asyncio.Lock()
        self._watching = False

    @property
    def settings(self) -> EngineSettings:
        """Return what the engine was told."""
        return self._core.settings

    @property
    def services_info(self) -> Callable[[], list[system_pb2.ServiceInfo]]:
        """Return the supervisor's answer about its services; set by the supervisor."""
        return self._core.services_info

    @services_info.setter
    def services_info(self, callback: Callable[[], list[system_pb2.ServiceInfo]]) -> None:
        self._core.services_info = callback

    def register(self, server: grpc.aio.Server) -> list[str]:
        """Add the engine's servicers to a server; return full service names."""
        container_pb2_grpc.add_ContainerServiceServicer_to_server(ContainerServicer(self._core), server)
        volume_pb2_grpc.add_VolumeServiceServicer_to_server(VolumeServicer(self._core), server)
        system_pb2_grpc.add_SystemServiceServicer_to_server(SystemServicer(self._core), server)
        return ["trine.v1.ContainerService", "trine.v1.VolumeService", "trine.v1.SystemService", *SERVICES]

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return the handlers that pass ImageService and NetworkService through."""
        return [PassThrough(self._core)]

    async def recover(self) -> None:
        """Bring records and leaves in line; to be called when the leaves serve and when one comes back."""
        async with self._recovering:
            await recover(self._core)
        if not self._watching:
            self._watching = True
            self._core.spawn(watch_runtime(self._core), "watch runtime")

    async def close(self) -> None:
        """Stop background work and close the store; containers run on."""
        self._core.closing = True
        await self._core.cancel_tasks()
        await self._core.store.close()


async def open_engine(
    settings: EngineSettings,
    image: grpc.aio.Channel,
    network: grpc.aio.Channel,
    runtime: grpc.aio.Channel,
) -> Engine:
    """Open the engine's state over channels to the three leaves.

    Raises InternalError when the state has a schema of another version.
    """
    make_directory(settings.root, 0o711)
    store = Store(settings.root / "engine.db")
    leaves = Leaves(image, network, runtime, settings.leaf_timeout_seconds, settings.services_apart)
    core = Core(settings, store, Registry(), leaves, VolumeBook(settings.root, store))
    load_records(core)
    load_engine_id(core)
    return Engine(core)
