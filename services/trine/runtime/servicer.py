"""RuntimeService over gRPC: each method hands on to its use case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from trine.kit import errors
from trine.runtime import info, top
from trine.runtime.archive import Archives
from trine.runtime.attach import Attacher
from trine.runtime.containers import Containers, Settings
from trine.runtime.logs import Logs
from trine.runtime.processes import Processes
from trine.runtime.registry import Registry
from trine.runtime.statistics import Statistics
from trine.v1 import runtime_pb2 as pb
from trine.v1 import runtime_pb2_grpc


class RuntimeServicer(runtime_pb2_grpc.RuntimeServiceServicer):
    """The service's face."""

    def __init__(
        self,
        containers: Containers,
        processes: Processes,
        registry: Registry,
        logs: Logs,
        attacher: Attacher,
        archives: Archives,
        settings: Settings,
    ) -> None:
        """Take the use cases."""
        self._containers = containers
        self._processes = processes
        self._registry = registry
        self._logs = logs
        self._attacher = attacher
        self._archives = archives
        self._settings = settings
        self._statistics = Statistics(registry)

    async def CreateRuntimeContainer(
        self, request: pb.CreateRuntimeContainerRequest, context: Any
    ) -> pb.CreateRuntimeContainerResponse:
        """See runtime.proto."""
        return await self._containers.create(request)

    async def StartRuntimeContainer(
        self, request: pb.StartRuntimeContainerRequest, context: Any
    ) -> pb.StartRuntimeContainerResponse:
        """See runtime.proto."""
        return pb.StartRuntimeContainerResponse(container=await self._containers.start(request.id))

    async def SignalRuntimeContainer(
        self, request: pb.SignalRuntimeContainerRequest, context: Any
    ) -> pb.SignalRuntimeContainerResponse:
        """See runtime.proto."""
        await self._containers.signal(request.id, request.signal, request.all, request.exec_id)
        return pb.SignalRuntimeContainerResponse()

    async def PauseRuntimeContainer(
        self, request: pb.PauseRuntimeContainerRequest, context: Any
    ) -> pb.PauseRuntimeContainerResponse:
        """See runtime.proto."""
        await self._containers.pause(request.id)
        return pb.PauseRuntimeContainerResponse()

    async def ResumeRuntimeContainer(
        self, request: pb.ResumeRuntimeContainerRequest, context: Any
    ) -> pb.ResumeRuntimeContainerResponse:
        """See runtime.proto."""
        await self._containers.resume(request.id)
        return pb.ResumeRuntimeContainerResponse()

    async def UpdateRuntimeContainer(
        self, request: pb.UpdateRuntimeContainerRequest, context: Any
    ) -> pb.UpdateRuntimeContainerResponse:
        """See runtime.proto."""
        warnings = await self._containers.update(request.id, request.resources)
        return pb.UpdateRuntimeContainerResponse(warnings=warnings)

    async def CheckResources(
        self, request: pb.CheckResourcesRequest, context: Any
    ) -> pb.CheckResourcesResponse:
        """See runtime.proto."""
        warnings = self._containers.check_resources(request.resources)
        return pb.CheckResourcesResponse(resources=request.resources, warnings=warnings)

    async def DeleteRuntimeContainer(
        self, request: pb.DeleteRuntimeContainerRequest, context: Any
    ) -> pb.DeleteRuntimeContainerResponse:
        """See runtime.proto."""
        await self._containers.delete(request.id, request.force, request.keep_data)
        return pb.DeleteRuntimeContainerResponse()

    async def GetRuntimeContainer(
        self, request: pb.GetRuntimeContainerRequest, context: Any
    ) -> pb.GetRuntimeContainerResponse:
        """See runtime.proto."""
        return pb.GetRuntimeContainerResponse(container=self._containers.get(request.id))

    async def ListRuntimeContainers(
        self, request: pb.ListRuntimeContainersRequest, context: Any
    ) -> pb.ListRuntimeContainersResponse:
        """See runtime.proto."""
        return pb.ListRuntimeContainersResponse(containers=self._containers.list_all())

    async def WatchRuntimeContainers(
        self, request: pb.WatchRuntimeContainersRequest, context: Any
    ) -> AsyncIterator[pb.WatchRuntimeContainersResponse]:
        """See runtime.proto."""
        queue = self._registry.watch()
        try:
            while (message := await queue.get()) is not None:
                yield message
            raise errors.ResourceExhaustedError("events came faster than they were read; watch anew")
        finally:
            self._registry.unwatch(queue)

    async def WaitRuntimeContainer(
        self, request: pb.WaitRuntimeContainerRequest, context: Any
    ) -> pb.WaitRuntimeContainerResponse:
        """See runtime.proto."""
        return pb.WaitRuntimeContainerResponse(container=await self._containers.wait(request.id))

    async def CreateProcess(self, request: pb.CreateProcessRequest, context: Any) -> pb.CreateProcessResponse:
        """See runtime.proto."""
        await self._processes.create(request.container_id, request.exec_id, request.process)
        return pb.CreateProcessResponse()

    async def StartProcess(self, request: pb.StartProcessRequest, context: Any) -> pb.StartProcessResponse:
        """See runtime.proto."""
        pid = await self._processes.start(request.container_id, request.exec_id)
        return pb.StartProcessResponse(process_id=pid)

    async def GetProcess(self, request: pb.GetProcessRequest, context: Any) -> pb.GetProcessResponse:
        """See runtime.proto."""
        return pb.GetProcessResponse(process=await self._processes.get(request.container_id, request.exec_id))

    async def WaitProcess(self, request: pb.WaitProcessRequest, context: Any) -> pb.WaitProcessResponse:
        """See runtime.proto."""
        found = await self._processes.wait(request.container_id, request.exec_id)
        return pb.WaitProcessResponse(process=found)

    async def ResizeTerminal(
        self, request: pb.ResizeTerminalRequest, context: Any
    ) -> pb.ResizeTerminalResponse:
        """See runtime.proto."""
        await self._containers.resize(request.container_id, request.exec_id, request.rows, request.columns)
        return pb.ResizeTerminalResponse()

    async def AttachProcess(
        self, request_iterator: AsyncIterator[pb.AttachProcessRequest], context: Any
    ) -> AsyncIterator[pb.AttachProcessResponse]:
        """See runtime.proto."""
        async for response in self._attacher.attach(request_iterator):
            yield response

    async def GetAttachSocket(
        self, request: pb.GetAttachSocketRequest, context: Any
    ) -> pb.GetAttachSocketResponse:
        """See runtime.proto."""
        return pb.GetAttachSocketResponse(path=self._containers.attach_socket(request.container_id))

    async def ReadLog(self, request: pb.ReadLogRequest, context: Any) -> AsyncIterator[pb.ReadLogResponse]:
        """See runtime.proto."""
        async for response in self._logs.read(request):
            yield response

    async def ListProcesses(self, request: pb.ListProcessesRequest, context: Any) -> pb.ListProcessesResponse:
        """See runtime.proto."""
        pids = self._containers.processes(request.container_id)
        try:
            titles, rows = await asyncio.to_thread(top.run, pids, request.ps_arguments)
        except top.TopError as error:
            raise errors.InvalidArgumentError(str(error)) from None
        return pb.ListProcessesResponse(titles=titles, rows=[pb.ProcessRow(cells=row) for row in rows])

    async def WatchUsage(
        self, request: pb.WatchUsageRequest, context: Any
    ) -> AsyncIterator[pb.WatchUsageResponse]:
        """See runtime.proto."""
        async for response in self._statistics.watch(list(request.container_ids), request.once):
            yield response

    async def ReadArchive(
        self, request: pb.ReadArchiveRequest, context: Any
    ) -> AsyncIterator[pb.ReadArchiveResponse]:
        """See runtime.proto."""
        async for response in self._archives.read(request.target, request.stat_only):
            yield response

    async def WriteArchive(
        self, request_iterator: AsyncIterator[pb.WriteArchiveRequest], context: Any
    ) -> pb.WriteArchiveResponse:
        """See runtime.proto."""
        await self._archives.write(request_iterator)
        return pb.WriteArchiveResponse()

    async def GetRuntimeInfo(
        self, request: pb.GetRuntimeInfoRequest, context: Any
    ) -> pb.GetRuntimeInfoResponse:
        """See runtime.proto."""
        return await asyncio.to_thread(info.describe, self._registry.layout, self._settings)
