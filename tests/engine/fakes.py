"""In-process leaves with a shared world, for tests of pure coordination: undo, reconcile, races.

Only what no real service lets us do on purpose: fail at a chosen call, before or after its effect,
or go away there. Everything a real service can show is tested on the real ones (test_real_*.py).
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from trine.engine.host import Engine, EngineSettings, open_engine
from trine.kit.channel import open_channel
from trine.kit.errors import ConflictError, EngineError, InternalError, NotFoundError
from trine.kit.server import ErrorInterceptor
from trine.v1 import (
    container_pb2_grpc,
    image_pb2,
    image_pb2_grpc,
    network_pb2,
    network_pb2_grpc,
    runtime_pb2,
    runtime_pb2_grpc,
    system_pb2_grpc,
    volume_pb2_grpc,
)

R = runtime_pb2


@dataclass
class World:
    """What the three leaves hold; survives the death of an engine."""

    image_config: image_pb2.ImageConfig = field(
        default_factory=lambda: image_pb2.ImageConfig(cmd=["/bin/true"], env=["PATH=/bin"])
    )
    snapshots: dict[str, image_pb2.Snapshot] = field(default_factory=dict)
    sandboxes: dict[str, network_pb2.Sandbox] = field(default_factory=dict)
    containers: dict[str, R.RuntimeContainer] = field(default_factory=dict)
    kept_data: set[str] = field(default_factory=set)
    requests: dict[str, R.CreateRuntimeContainerRequest] = field(default_factory=dict)
    watchers: list[asyncio.Queue[R.WatchRuntimeContainersResponse]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    exits_at_once: bool = False  # a started process ends immediately with code 0
    ignores_sigterm: bool = False
    ports: dict[int, str] = field(default_factory=dict)
    _addresses: Any = field(default_factory=lambda: itertools.count(2))

    def tell(self, kind: R.RuntimeEventKind.ValueType, container: R.RuntimeContainer) -> None:
        for queue in self.watchers:
            copy = R.RuntimeContainer()
            copy.CopyFrom(container)
            queue.put_nowait(R.WatchRuntimeContainersResponse(kind=kind, container=copy))

    def end(self, container_id: str, code: int) -> None:
        container = self.containers[container_id]
        if container.state not in (R.RUNTIME_STATE_RUNNING, R.RUNTIME_STATE_PAUSED):
            return
        container.state = R.RUNTIME_STATE_STOPPED
        container.exit_code = code
        container.process_id = 0
        container.finished_at_unix_nanos = time.time_ns()
        self.tell(R.RUNTIME_EVENT_KIND_EXITED, container)


class Faults:
    """Faults of one set of leaves: by call number or by method name."""

    def __init__(self) -> None:
        self.by_name: dict[str, tuple[str, EngineError]] = {}
        self.die_at: int | None = None  # number of the call at which the caller is "killed"
        self.die_after: bool = False  # after the call had its effect
        self.count = 0
        self.dead = asyncio.Event()

    async def around(self, name: str, work: Callable[[], Any], world: World) -> Any:
        if self.dead.is_set():
            await asyncio.sleep(3600)
        self.count += 1
        world.calls.append(name)
        if self.die_at == self.count and not self.die_after:
            self.dead.set()
            await asyncio.sleep(3600)
        when, error = self.by_name.pop(name, ("", InternalError("none")))
        if when == "before":
            raise error
        result = work()
        if isinstance(result, Awaitable):
            result = await result
        if when == "after":
            raise error
        if self.die_at == self.count and self.die_after:
            self.dead.set()
            await asyncio.sleep(3600)
        return result


def faulty(cls: type) -> type:
    """Wrap every unary method so that faults apply."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or not inspect.iscoroutinefunction(method):
            continue

        def wrap(name: str, method: Any) -> Any:
            async def call(self: Any, request: Any, context: Any) -> Any:
                return await self.faults.around(name, lambda: method(self, request, context), self.world)

            return call

        setattr(cls, name, wrap(name, method))
    return cls


@faulty
class FakeImage(image_pb2_grpc.ImageServiceServicer):
    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults

    async def PrepareSnapshot(self, request: image_pb2.PrepareSnapshotRequest, context: Any) -> Any:
        if request.image == "nosuch":
            raise NotFoundError("No such image: nosuch:latest", reason="NO_SUCH_IMAGE")
        snapshot = self.world.snapshots.setdefault(
            request.key,
            image_pb2.Snapshot(
                key=request.key,
                image_id="sha256:" + "1" * 64,
                mount=image_pb2.OverlayMount(lower_directories=["/l"], upper_directory="/u"),
                created_at_unix_nanos=time.time_ns(),
            ),
        )
        image = image_pb2.Image(id=snapshot.image_id, config=self.world.image_config)
        return image_pb2.PrepareSnapshotResponse(snapshot=snapshot, image=image)

    async def DeleteSnapshot(self, request: image_pb2.DeleteSnapshotRequest, context: Any) -> Any:
        self.world.snapshots.pop(request.key, None)
        return image_pb2.DeleteSnapshotResponse()

    async def ListSnapshots(self, request: Any, context: Any) -> Any:
        return image_pb2.ListSnapshotsResponse(snapshots=self.world.snapshots.values())

    async def GetSnapshot(self, request: image_pb2.GetSnapshotRequest, context: Any) -> Any:
        return image_pb2.GetSnapshotResponse(size_bytes=10, root_size_bytes=110)

    async def CommitSnapshot(self, request: image_pb2.CommitSnapshotRequest, context: Any) -> Any:
        return image_pb2.CommitSnapshotResponse(image_id="sha256:" + "2" * 64)

    async def ListImages(self, request: Any, context: Any) -> Any:
        return image_pb2.ListImagesResponse(images=[image_pb2.Image(id="sha256:" + "1" * 64)])

    async def TagImage(self, request: image_pb2.TagImageRequest, context: Any) -> Any:
        return image_pb2.TagImageResponse(image_id="sha256:" + "1" * 64)

    async def DeleteImage(self, request: image_pb2.DeleteImageRequest, context: Any) -> Any:
        self.world.calls.append(f"uses={len(request.uses)}")
        return image_pb2.DeleteImageResponse(deleted=[image_pb2.DeletedImage(untagged=request.name)])


@faulty
class FakeNetwork(network_pb2_grpc.NetworkServiceServicer):
    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults

    def _endpoint(self, wish: network_pb2.EndpointRequest, owner: str) -> network_pb2.Endpoint:
        if wish.network not in ("bridge", "net1"):
            raise NotFoundError(f"network {wish.network} not found", reason="NO_SUCH_NETWORK")
        return network_pb2.Endpoint(
            id="e" * 64,
            network_id=wish.network * 3,
            network_name=wish.network,
            sandbox_id=owner,
            ipv4_address=f"172.17.0.{next(self.world._addresses)}",
            interface_name="eth0",
        )

    async def CreateSandbox(self, request: network_pb2.CreateSandboxRequest, context: Any) -> Any:
        world = self.world
        for port in request.ports:
            owner = world.ports.get(port.host_port)
            if port.host_port and owner not in (None, request.id):
                raise ConflictError(
                    f"Bind for 0.0.0.0:{port.host_port} failed: port is already allocated",
                    reason="PORT_ALLOCATED",
                )
        sandbox = world.sandboxes.get(request.id) or network_pb2.Sandbox(
            id=request.id,
            container_name=request.container_name,
            netns_path=f"/netns/{request.id}",
            endpoints=[self._endpoint(wish, request.id) for wish in request.endpoints],
            ports=request.ports,
        )
        world.sandboxes[request.id] = sandbox
        for port in request.ports:
            world.ports[port.host_port] = request.id
        return network_pb2.CreateSandboxResponse(sandbox=sandbox, resolv_conf="nameserver 10.0.0.1\n")

    async def DeleteSandbox(self, request: network_pb2.DeleteSandboxRequest, context: Any) -> Any:
        self.world.sandboxes.pop(request.id, None)
        for port in [p for p, owner in self.world.ports.items() if owner == request.id]:
            del self.world.ports[port]
        return network_pb2.DeleteSandboxResponse()

    async def ListSandboxes(self, request: Any, context: Any) -> Any:
        return network_pb2.ListSandboxesResponse(sandboxes=self.world.sandboxes.values())

    async def GetSandbox(self, request: network_pb2.GetSandboxRequest, context: Any) -> Any:
        if request.id not in self.world.sandboxes:
            raise NotFoundError("no such sandbox")
        return network_pb2.GetSandboxResponse(sandbox=self.world.sandboxes[request.id])

    async def GetNetwork(self, request: network_pb2.GetNetworkRequest, context: Any) -> Any:
        if request.name not in ("bridge", "net1", "host", "none"):
            raise NotFoundError(f"network {request.name} not found", reason="NO_SUCH_NETWORK")
        pool = network_pb2.IpamPool(subnet="172.17.0.0/16", gateway="172.17.0.1")
        return network_pb2.GetNetworkResponse(
            network=network_pb2.Network(id=request.name * 3, name=request.name, pools=[pool])
        )

    async def CreateEndpoint(self, request: network_pb2.CreateEndpointRequest, context: Any) -> Any:
        endpoint = self._endpoint(request.endpoint, request.sandbox_id)
        self.world.sandboxes[request.sandbox_id].endpoints.append(endpoint)
        return network_pb2.CreateEndpointResponse(endpoint=endpoint)

    async def DeleteEndpoint(self, request: Any, context: Any) -> Any:
        return network_pb2.DeleteEndpointResponse()

    async def RenameSandbox(self, request: Any, context: Any) -> Any:
        return network_pb2.RenameSandboxResponse()

    async def GetNetworkInfo(self, request: Any, context: Any) -> Any:
        return network_pb2.GetNetworkInfoResponse(default_bridge="trine0")


@faulty
class FakeRuntime(runtime_pb2_grpc.RuntimeServiceServicer):
    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults

    async def CreateRuntimeContainer(self, request: R.CreateRuntimeContainerRequest, context: Any) -> Any:
        world = self.world
        if request.id not in world.containers:
            world.requests[request.id] = request
            world.containers[request.id] = R.RuntimeContainer(
                id=request.id, state=R.RUNTIME_STATE_CREATED, process_id=4242
            )
        return R.CreateRuntimeContainerResponse(process_id=4242)

    def _get(self, key: str) -> R.RuntimeContainer:
        if key not in self.world.containers:
            raise NotFoundError(f"No such container: {key}", reason="NO_SUCH_CONTAINER")
        return self.world.containers[key]

    async def StartRuntimeContainer(self, request: R.StartRuntimeContainerRequest, context: Any) -> Any:
        container = self._get(request.id)
        arguments = self.world.requests[request.id].process.args
        if "missing" in arguments[0]:
            container.state = R.RUNTIME_STATE_STOPPED
            container.never_started = True
            self.world.tell(R.RUNTIME_EVENT_KIND_EXITED, container)
            raise ConflictError(
                f'exec: "{arguments[0]}": executable file not found in $PATH: unknown',
                reason="COMMAND_NOT_FOUND",
            )
        container.state = R.RUNTIME_STATE_RUNNING
        container.started_at_unix_nanos = time.time_ns()
        container.log_path = f"/logs/{request.id}"
        copy = R.RuntimeContainer()
        copy.CopyFrom(container)
        if self.world.exits_at_once:
            self.world.end(request.id, 0)
        return R.StartRuntimeContainerResponse(container=copy)

    async def SignalRuntimeContainer(self, request: R.SignalRuntimeContainerRequest, context: Any) -> Any:
        self._get(request.id)
        if request.signal == 9 or (request.signal == 15 and not self.world.ignores_sigterm):
            self.world.end(request.id, 128 + request.signal)
        return R.SignalRuntimeContainerResponse()

    async def PauseRuntimeContainer(self, request: R.PauseRuntimeContainerRequest, context: Any) -> Any:
        self._get(request.id).state = R.RUNTIME_STATE_PAUSED
        return R.PauseRuntimeContainerResponse()

    async def ResumeRuntimeContainer(self, request: R.ResumeRuntimeContainerRequest, context: Any) -> Any:
        container = self._get(request.id)
        if container.state == R.RUNTIME_STATE_PAUSED:
            container.state = R.RUNTIME_STATE_RUNNING
        return R.ResumeRuntimeContainerResponse()

    async def UpdateRuntimeContainer(self, request: Any, context: Any) -> Any:
        return R.UpdateRuntimeContainerResponse()

    async def CheckResources(self, request: R.CheckResourcesRequest, context: Any) -> Any:
        return R.CheckResourcesResponse(resources=request.resources)

    async def DeleteRuntimeContainer(self, request: R.DeleteRuntimeContainerRequest, context: Any) -> Any:
        container = self.world.containers.pop(request.id, None)
        if container is not None:
            self.world.tell(R.RUNTIME_EVENT_KIND_DELETED, container)
        if request.keep_data and container is not None:
            self.world.kept_data.add(request.id)
        if not request.keep_data:
            self.world.kept_data.discard(request.id)
        return R.DeleteRuntimeContainerResponse()

    async def GetRuntimeContainer(self, request: R.GetRuntimeContainerRequest, context: Any) -> Any:
        return R.GetRuntimeContainerResponse(container=self._get(request.id))

    async def ListRuntimeContainers(self, request: Any, context: Any) -> Any:
        return R.ListRuntimeContainersResponse(containers=self.world.containers.values())

    async def GetAttachSocket(self, request: R.GetAttachSocketRequest, context: Any) -> Any:
        self._get(request.container_id)
        return R.GetAttachSocketResponse(path=f"/shim/{request.container_id}")

    async def GetRuntimeInfo(self, request: Any, context: Any) -> Any:
        return R.GetRuntimeInfoResponse(cpus=2, cgroup_version="1")

    async def WatchRuntimeContainers(
        self, request: Any, context: Any
    ) -> AsyncIterator[R.WatchRuntimeContainersResponse]:
        queue: asyncio.Queue[R.WatchRuntimeContainersResponse] = asyncio.Queue()
        self.world.watchers.append(queue)
        try:
            for container in list(self.world.containers.values()):
                yield R.WatchRuntimeContainersResponse(
                    kind=R.RUNTIME_EVENT_KIND_EXISTING, container=container
                )
            yield R.WatchRuntimeContainersResponse(kind=R.RUNTIME_EVENT_KIND_SYNCED)
            while True:
                yield await queue.get()
        finally:
            self.world.watchers.remove(queue)


class Stack:
    """One engine over its own front to a world, with clients to it."""

    def __init__(self, directory: Path, world: World) -> None:
        self.directory, self.world = directory, world
        self.faults = Faults()
        self._servers: list[grpc.aio.Server] = []
        self._channels: list[grpc.aio.Channel] = []
        self.engine: Engine

    async def open(self, number: int = 0, recover: bool = True) -> Stack:
        sockets = self.directory / f"sockets{number}"
        sockets.mkdir()
        channels = []
        leaves: tuple[tuple[str, Any, Any], ...] = (
            ("image", image_pb2_grpc.add_ImageServiceServicer_to_server, FakeImage),
            ("network", network_pb2_grpc.add_NetworkServiceServicer_to_server, FakeNetwork),
            ("runtime", runtime_pb2_grpc.add_RuntimeServiceServicer_to_server, FakeRuntime),
        )
        for name, add, servicer in leaves:
            server = grpc.aio.server(interceptors=[ErrorInterceptor()])
            servicer.__abstractmethods__ = frozenset()  # only what these tests call
            add(servicer(self.world, self.faults), server)
            server.add_insecure_port(f"unix:{sockets}/{name}.sock")
            await server.start()
            self._servers.append(server)
            channels.append(open_channel(f"unix://{sockets}/{name}.sock"))
        self._channels += channels
        settings = EngineSettings(
            self.directory / "data", self.directory / "exec", prepare_timeout_seconds=0.2
        )
        self.engine = await open_engine(settings, *channels)
        server = grpc.aio.server(interceptors=[ErrorInterceptor()], handlers=self.engine.handlers())
        self.engine.register(server)
        server.add_insecure_port(f"unix:{sockets}/trine.sock")
        if recover:
            await self.engine.recover()
        await server.start()
        self._servers.append(server)
        channel = open_channel(f"unix://{sockets}/trine.sock")
        self._channels.append(channel)
        self.containers = container_pb2_grpc.ContainerServiceStub(channel)
        self.images = image_pb2_grpc.ImageServiceStub(channel)
        self.volumes = volume_pb2_grpc.VolumeServiceStub(channel)
        self.system = system_pb2_grpc.SystemServiceStub(channel)
        return self

    def copy_state(self, target: Path) -> None:
        """Copy the engine's directory as a kill would leave it."""
        shutil.copytree(self.directory / "data", target / "data")

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        self._servers.reverse()
        for server in self._servers:
            await server.stop(0)
        await self.engine.close()


async def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until a condition holds; fails when it does not in time."""
    until = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < until, "did not come true in time"
        await asyncio.sleep(0.005)
