"""VolumeService and SystemService: each method hands its request to one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from trine.engine import system, volumes
from trine.engine.core import Core
from trine.v1 import system_pb2, system_pb2_grpc, volume_pb2, volume_pb2_grpc


class VolumeServicer(volume_pb2_grpc.VolumeServiceServicer):
    """Serves volumes."""

    def __init__(self, core: Core) -> None:
        """Keep the engine's parts."""
        self._core = core

    async def CreateVolume(
        self, request: volume_pb2.CreateVolumeRequest, context: Any
    ) -> volume_pb2.CreateVolumeResponse:
        """Create a volume."""
        return await volumes.create_volume(self._core, request)

    async def ListVolumes(
        self, request: volume_pb2.ListVolumesRequest, context: Any
    ) -> volume_pb2.ListVolumesResponse:
        """List volumes."""
        return await volumes.list_volumes(self._core, request)

    async def GetVolume(
        self, request: volume_pb2.GetVolumeRequest, context: Any
    ) -> volume_pb2.GetVolumeResponse:
        """Return one volume."""
        return await volumes.get_volume(self._core, request)

    async def DeleteVolume(
        self, request: volume_pb2.DeleteVolumeRequest, context: Any
    ) -> volume_pb2.DeleteVolumeResponse:
        """Remove a volume."""
        return await volumes.delete_volume(self._core, request)

    async def PruneVolumes(
        self, request: volume_pb2.PruneVolumesRequest, context: Any
    ) -> volume_pb2.PruneVolumesResponse:
        """Remove unused volumes."""
        return await volumes.prune_volumes(self._core, request)


class SystemServicer(system_pb2_grpc.SystemServiceServicer):
    """Serves the engine as a whole."""

    def __init__(self, core: Core) -> None:
        """Keep the engine's parts."""
        self._core = core

    async def GetVersion(
        self, request: system_pb2.GetVersionRequest, context: Any
    ) -> system_pb2.GetVersionResponse:
        """Return versions."""
        return await system.get_version(self._core)

    async def GetInfo(self, request: system_pb2.GetInfoRequest, context: Any) -> system_pb2.GetInfoResponse:
        """Return what host and engine are."""
        return await system.get_info(self._core)

    async def GetDiskUsage(
        self, request: system_pb2.GetDiskUsageRequest, context: Any
    ) -> system_pb2.GetDiskUsageResponse:
        """Return disk usage."""
        return await system.get_disk_usage(self._core)

    async def WatchEvents(
        self, request: system_pb2.WatchEventsRequest, context: Any
    ) -> AsyncIterator[system_pb2.WatchEventsResponse]:
        """Stream events."""
        async for event in self._core.events.watch(request):
            yield event
