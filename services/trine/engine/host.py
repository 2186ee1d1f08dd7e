"""The engine as the supervisor hosts it: open, register, recover, close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from trine.engine.settings import EngineSettings
from trine.v1 import system_pb2

__all__ = ["Engine", "EngineSettings", "open_engine"]


class Engine:
    """The coordinator of one trined."""

    def __init__(self, settings: EngineSettings) -> None:
        """Keep the settings."""
        self.settings = settings
        self.services_info: Callable[[], list[system_pb2.ServiceInfo]] = list

    def register(self, server: grpc.aio.Server) -> list[str]:
        """Add the engine's servicers to a server; return full service names."""
        return []

    def handlers(self) -> list[grpc.GenericRpcHandler[Any, Any]]:
        """Return the handlers that pass ImageService and NetworkService through."""
        return []

    async def recover(self) -> None:
        """Bring records and leaves in line; to be called when the leaves serve and when one comes back."""

    async def close(self) -> None:
        """Stop background work and close the store; containers run on."""


async def open_engine(
    settings: EngineSettings,
    image: grpc.aio.Channel,
    network: grpc.aio.Channel,
    runtime: grpc.aio.Channel,
) -> Engine:
    """Open the engine's state over channels to the three leaves."""
    return Engine(settings)
