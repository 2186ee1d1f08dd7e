"""ContainerService: each method hands its request to one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from trine.engine import (
    archive,
    attach,
    changes,
    commit,
    create,
    execs,
    inspect,
    kill,
    listing,
    networks,
    pause,
    remove,
    rename,
    restart,
    start,
    stop,
    update,
    usage,
    wait,
)
from trine.engine.core import Core
from trine.v1 import container_pb2, container_pb2_grpc, runtime_pb2


class ContainerServicer(container_pb2_grpc.ContainerServiceServicer):
    """Serves containers."""

    def __init__(self, core: Core) -> None:
        """Keep the engine's parts."""
        self._core = core

    async def CreateContainer(
        self, request: container_pb2.CreateContainerRequest, context: Any
    ) -> container_pb2.CreateContainerResponse:
        """Create a container."""
        return await create.create_container(self._core, request)

    async def StartContainer(
        self, request: container_pb2.StartContainerRequest, context: Any
    ) -> container_pb2.StartContainerResponse:
        """Start a container."""
        return await start.start_container(self._core, request)

    async def StopContainer(
        self, request: container_pb2.StopContainerRequest, context: Any
    ) -> container_pb2.StopContainerResponse:
        """Stop a container."""
        return await stop.stop_container(self._core, request)

    async def RestartContainer(
        self, request: container_pb2.RestartContainerRequest, context: Any
    ) -> container_pb2.RestartContainerResponse:
        """Stop and start a container."""
        return await restart.restart_container(self._core, request)

    async def KillContainer(
        self, request: container_pb2.KillContainerRequest, context: Any
    ) -> container_pb2.KillContainerResponse:
        """Send a signal."""
        return await kill.kill_container(self._core, request)

    async def PauseContainer(
        self, request: container_pb2.PauseContainerRequest, context: Any
    ) -> container_pb2.PauseContainerResponse:
        """Freeze a container."""
        return await pause.pause_container(self._core, request)

    async def UnpauseContainer(
        self, request: container_pb2.UnpauseContainerRequest, context: Any
    ) -> container_pb2.UnpauseContainerResponse:
        """Thaw a container."""
        return await pause.unpause_container(self._core, request)

    async def DeleteContainer(
        self, request: container_pb2.DeleteContainerRequest, context: Any
    ) -> container_pb2.DeleteContainerResponse:
        """Remove a container."""
        return await remove.delete_container(self._core, request)

    async def RenameContainer(
        self, request: container_pb2.RenameContainerRequest, context: Any
    ) -> container_pb2.RenameContainerResponse:
        """Rename a container."""
        return await rename.rename_container(self._core, request)

    async def UpdateContainer(
        self, request: container_pb2.UpdateContainerRequest, context: Any
    ) -> container_pb2.UpdateContainerResponse:
        """Change limits and restart policy."""
        return await update.update_container(self._core, request)

    async def ListContainers(
        self, request: container_pb2.ListContainersRequest, context: Any
    ) -> container_pb2.ListContainersResponse:
        """List containers."""
        return await listing.list_containers(self._core, request)

    async def GetContainer(
        self, request: container_pb2.GetContainerRequest, context: Any
    ) -> container_pb2.GetContainerResponse:
        """Return one container."""
        return await inspect.get_container(self._core, request)

    async def PruneContainers(
        self, request: container_pb2.PruneContainersRequest, context: Any
    ) -> container_pb2.PruneContainersResponse:
        """Remove stopped containers."""
        return await listing.prune_containers(self._core, request)

    async def GetContainerAttachSocket(
        self, request: runtime_pb2.GetAttachSocketRequest, context: Any
    ) -> runtime_pb2.GetAttachSocketResponse:
        """Return the shim's socket."""
        return await attach.attach_socket(self._core, request)

    async def ResizeContainerTerminal(
        self, request: runtime_pb2.ResizeTerminalRequest, context: Any
    ) -> runtime_pb2.ResizeTerminalResponse:
        """Set a terminal's size."""
        return await attach.resize_terminal(self._core, request)

    async def ListContainerProcesses(
        self, request: runtime_pb2.ListProcessesRequest, context: Any
    ) -> runtime_pb2.ListProcessesResponse:
        """List processes."""
        return await usage.list_processes(self._core, request)

    async def CreateExec(
        self, request: container_pb2.CreateExecRequest, context: Any
    ) -> container_pb2.CreateExecResponse:
        """Register a process."""
        return await execs.create_exec(self._core, request)

    async def StartExec(
        self, request: container_pb2.StartExecRequest, context: Any
    ) -> container_pb2.StartExecResponse:
        """Run it."""
        return await execs.start_exec(self._core, request)

    async def GetExec(
        self, request: container_pb2.GetExecRequest, context: Any
    ) -> container_pb2.GetExecResponse:
        """Return its state."""
        return await execs.get_exec(self._core, request)

    async def WaitExec(
        self, request: container_pb2.WaitExecRequest, context: Any
    ) -> container_pb2.WaitExecResponse:
        """Answer when it has ended."""
        return await execs.wait_exec(self._core, request)

    async def ListContainerChanges(
        self, request: container_pb2.ListContainerChangesRequest, context: Any
    ) -> container_pb2.ListContainerChangesResponse:
        """Tell what changed."""
        return await changes.list_changes(self._core, request)

    async def CommitContainer(
        self, request: container_pb2.CommitContainerRequest, context: Any
    ) -> container_pb2.CommitContainerResponse:
        """Make an image."""
        return await commit.commit_container(self._core, request)

    async def ConnectContainer(
        self, request: container_pb2.ConnectContainerRequest, context: Any
    ) -> container_pb2.ConnectContainerResponse:
        """Connect to a network."""
        return await networks.connect_container(self._core, request)

    async def DisconnectContainer(
        self, request: container_pb2.DisconnectContainerRequest, context: Any
    ) -> container_pb2.DisconnectContainerResponse:
        """Disconnect from a network."""
        return await networks.disconnect_container(self._core, request)

    async def WaitContainer(
        self, request: container_pb2.WaitContainerRequest, context: Any
    ) -> AsyncIterator[container_pb2.WaitContainerResponse]:
        """Answer when a condition holds."""
        async for answer in wait.wait_container(self._core, request):
            yield answer

    async def ReadContainerLog(
        self, request: runtime_pb2.ReadLogRequest, context: Any
    ) -> AsyncIterator[runtime_pb2.ReadLogResponse]:
        """Stream a log."""
        async for answer in attach.read_log(self._core, request):
            yield answer

    async def AttachContainer(
        self, request_iterator: AsyncIterator[runtime_pb2.AttachProcessRequest], context: Any
    ) -> AsyncIterator[runtime_pb2.AttachProcessResponse]:
        """Carry input and output."""
        async for answer in attach.attach_container(self._core, request_iterator):
            yield answer

    async def WatchContainerUsage(
        self, request: runtime_pb2.WatchUsageRequest, context: Any
    ) -> AsyncIterator[runtime_pb2.WatchUsageResponse]:
        """Stream resource usage."""
        async for answer in usage.watch_usage(self._core, request):
            yield answer

    async def ReadContainerArchive(
        self, request: runtime_pb2.ReadArchiveRequest, context: Any
    ) -> AsyncIterator[runtime_pb2.ReadArchiveResponse]:
        """Stream files as a tar."""
        async for answer in archive.read_archive(self._core, request):
            yield answer

    async def ExportContainer(
        self, request: container_pb2.ExportContainerRequest, context: Any
    ) -> AsyncIterator[container_pb2.ExportContainerResponse]:
        """Stream the file system."""
        async for answer in changes.export_container(self._core, request):
            yield answer

    async def WriteContainerArchive(
        self, request_iterator: AsyncIterator[runtime_pb2.WriteArchiveRequest], context: Any
    ) -> runtime_pb2.WriteArchiveResponse:
        """Unpack a tar."""
        return await archive.write_archive(self._core, request_iterator)
