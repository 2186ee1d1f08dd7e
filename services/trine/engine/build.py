"""Build an image: the image service builds, and asks us to run each RUN step in a container.

The client's stream is forwarded; an exec_step is answered by a runtime container over the step's
snapshot, its output sent to the client on the way, its exit code back to the image service.
One network sandbox serves all steps of a build: they run one after the other in namespaces of their
own, and a sandbox for each would cost more than many a step.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import grpc

from trine.engine.build_step import StepContainer
from trine.engine.core import Core
from trine.engine.hosts import compose_resolv_conf
from trine.engine.merge import SHORT_ID_LENGTH
from trine.engine.prepare import delete_runtime, delete_sandbox
from trine.engine.start import in_dockers_words
from trine.engine.undo import run_to_end
from trine.engine.validate import container_of
from trine.kit.errors import ConflictError, EngineError, UnavailableError
from trine.v1 import image_pb2, network_pb2, runtime_pb2

_Call = grpc.aio.StreamStreamCall[image_pb2.BuildImageRequest, image_pb2.BuildImageResponse]
_EXIT_CODES = {"COMMAND_NOT_FOUND": 127, "COMMAND_NOT_EXECUTABLE": 126}
_FAILED = "BUILD_FAILED"  # of the image service: a step failed, and it is done with that step


class Build:
    """One build: the stream to the image service, and what its steps made."""

    def __init__(self, core: Core) -> None:
        """Start with nothing made."""
        self.core = core
        self.sandbox_id = secrets.token_hex(32)
        self._sandbox: network_pb2.CreateSandboxResponse | None = None
        self._options = image_pb2.BuildOptions()
        self._steps: dict[str, StepContainer] = {}
        self._kept: StepContainer | None = None  # said to stay; recorded once the image service let go
        self._cleaning: set[asyncio.Task[None]] = set()
        self._write_lock = asyncio.Lock()
        self._over = asyncio.Event()  # the image service's stream has ended

    async def run(
        self, requests: AsyncIterator[image_pb2.BuildImageRequest]
    ) -> AsyncIterator[image_pb2.BuildImageResponse]:
        """Yield what the client is to see; raises EngineError. Whatever happens, steps are cleaned up."""
        leaf = self.core.leaves.image
        await leaf.ready()
        call = leaf.stub.BuildImage()
        # While a step runs nobody reads this stream: that it broke must end the step.
        call.add_done_callback(lambda _call: self._over.set())
        pump = asyncio.create_task(self._pump(requests, call))
        self.core.builds_running += 1
        self.core.registry.in_flight.add(self.sandbox_id)
        try:
            async for answer in leaf.stream(call):
                await self._record_kept()
                if answer.WhichOneof("event") != "exec_step":
                    yield answer
                    continue
                async for output in self._step(answer.exec_step, call):
                    yield output
        except EngineError as error:
            if error.reason == _FAILED:
                await self._record_kept()
            raise
        finally:
            pump.cancel()
            call.cancel()
            await run_to_end(self._close())

    async def _pump(self, requests: AsyncIterator[image_pb2.BuildImageRequest], call: _Call) -> None:
        done = False
        try:
            async for request in requests:
                if request.WhichOneof("event") == "exec_step_result":
                    continue  # ours to answer
                if request.WhichOneof("event") == "options":
                    self._options = request.options
                done = done or request.WhichOneof("event") == "context_done"
                await self._write(call, request)
            if not done:
                await self._write(call, image_pb2.BuildImageRequest(context_done=True))
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the other direction tells why

    async def _write(self, call: _Call, request: image_pb2.BuildImageRequest) -> None:
        async with self._write_lock:
            await call.write(request)

    async def _step(
        self, step: image_pb2.ExecStep, call: _Call
    ) -> AsyncIterator[image_pb2.BuildImageResponse]:
        """Run one step, yield its output, answer the image service."""
        result = image_pb2.ExecStepResult(container_id=step.container_id)
        self.core.registry.in_flight.add(step.container_id)
        try:
            container = self._steps[step.container_id] = StepContainer(self.core, step, self._options)
            async for message in self._execute(step, container):
                kind = message.WhichOneof("event")
                if kind == "exit_code":
                    container.ended(message.exit_code)
                    result.exit_code = message.exit_code
                elif kind == "stdout":
                    yield image_pb2.BuildImageResponse(step_stdout=message.stdout)
                elif kind == "stderr":
                    yield image_pb2.BuildImageResponse(step_stderr=message.stderr)
        except EngineError as error:
            in_dockers_words(error)
            result.exit_code = _EXIT_CODES.get(error.reason, 128)
            result.error = error.message
        kept = self._steps.get(step.container_id)
        if kept is not None and self._stays(result):
            kept.failed(result.exit_code, result.error)
            result.kept, self._kept = True, kept
        else:
            # The process is gone and with it the mount: the image service may go on while we clean up.
            self._clean_later(step.container_id)
        try:
            await self._write(call, image_pb2.BuildImageRequest(exec_step_result=result))
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the reading side tells why

    def _stays(self, result: image_pb2.ExecStepResult) -> bool:
        """Tell whether a step's container stays for people to look at: Docker's --rm and --force-rm."""
        if self._options.keep_containers_on_failure:
            return True
        return result.exit_code != 0 and not self._options.force_rm

    async def _record_kept(self) -> None:
        """Make a container of the step that was kept; the image service has let go of its snapshot."""
        kept, self._kept = self._kept, None
        if kept is None:
            return
        await delete_runtime(self.core, kept.id, keep_data=False)
        await kept.record()
        self._steps.pop(kept.id)
        self.core.registry.in_flight.discard(kept.id)

    async def _execute(
        self, step: image_pb2.ExecStep, container: StepContainer
    ) -> AsyncIterator[runtime_pb2.AttachProcessResponse]:
        core = self.core
        path, endpoints, resolv = await self._network(step)
        request = await container.request(path, endpoints, resolv)
        leaf = core.leaves.runtime
        await leaf(leaf.stub.CreateRuntimeContainer, request)
        await leaf.ready()
        attach = leaf.stub.AttachProcess()
        target = runtime_pb2.AttachTarget(container_id=step.container_id, stdout=True, stderr=True)
        try:
            await attach.write(runtime_pb2.AttachProcessRequest(target=target))
            async for message in self._while_wanted(leaf.stream(attach)):
                if message.WhichOneof("event") == "attached":
                    await leaf(
                        leaf.stub.StartRuntimeContainer,
                        runtime_pb2.StartRuntimeContainerRequest(id=step.container_id),
                    )
                    container.started()
                    continue
                yield message
                if message.WhichOneof("event") == "exit_code":
                    return
        finally:
            attach.cancel()

    async def _while_wanted(
        self, messages: AsyncIterator[runtime_pb2.AttachProcessResponse]
    ) -> AsyncIterator[runtime_pb2.AttachProcessResponse]:
        """Yield messages; raises UnavailableError when the image service is gone before they end."""
        over = asyncio.ensure_future(self._over.wait())
        try:
            while True:
                following = asyncio.ensure_future(anext(messages, None))
                try:
                    await asyncio.wait({following, over}, return_when=asyncio.FIRST_COMPLETED)
                    if not following.done():
                        raise UnavailableError("the build has ended before its step")
                finally:
                    following.cancel()
                message = following.result()
                if message is None:
                    return
                yield message
        finally:
            over.cancel()

    async def _network(self, step: image_pb2.ExecStep) -> tuple[str, list[network_pb2.Endpoint], bytes]:
        """Return namespace path, endpoints and resolv.conf for a step."""
        core = self.core
        mode = step.network_mode or "default"
        if mode == "host":
            text = await asyncio.to_thread(_host_resolv_conf)
            return "host", [], compose_resolv_conf((), (), (), text)
        if container_of(mode):
            other = core.registry.find(container_of(mode))
            if not other.container.sandbox.netns_path:
                raise ConflictError(f"cannot join network of a non running container: {other.id}")
            return other.container.sandbox.netns_path, [], b""
        if self._sandbox is None:
            name = "bridge" if mode == "default" else mode
            endpoints = [] if mode == "none" else [network_pb2.EndpointRequest(network=name)]
            leaf = core.leaves.network
            self._sandbox = await leaf(
                leaf.stub.CreateSandbox,
                network_pb2.CreateSandboxRequest(
                    id=self.sandbox_id,
                    container_name=f"build_{self.sandbox_id[:SHORT_ID_LENGTH]}",
                    hostname=self.sandbox_id[:SHORT_ID_LENGTH],
                    endpoints=endpoints,
                    dns_servers=core.settings.dns_servers,
                    dns_search=core.settings.dns_search,
                    dns_options=core.settings.dns_options,
                ),
            )
        sandbox = self._sandbox
        return sandbox.sandbox.netns_path, list(sandbox.sandbox.endpoints), sandbox.resolv_conf.encode()

    def _clean_later(self, container_id: str) -> None:
        task = asyncio.create_task(self._clean(container_id))
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _clean(self, container_id: str) -> None:
        try:
            await delete_runtime(self.core, container_id, keep_data=False)
        except EngineError as error:
            self.core.log.warning("build step not removed", step=container_id[:12], error=error.message)
        container = self._steps.pop(container_id, None)
        if container is not None:
            await container.discard_volumes()
        self.core.registry.in_flight.discard(container_id)

    async def _close(self) -> None:
        """Kill and remove what steps left, then the sandbox."""
        self.core.builds_running -= 1
        await asyncio.gather(*list(self._cleaning))
        if self._kept is not None:  # nobody knows whether the image service left its snapshot
            await _delete_snapshot(self.core, self._kept.id)
        for container_id in list(self._steps):
            await self._clean(container_id)
        if self._sandbox is not None:
            try:
                await delete_sandbox(self.core, self.sandbox_id)
            except EngineError as error:
                self.core.log.warning("build sandbox left for reconcile", error=error.message)
        self.core.registry.in_flight.discard(self.sandbox_id)


async def _delete_snapshot(core: Core, key: str) -> None:
    leaf = core.leaves.image
    try:
        await leaf(leaf.stub.DeleteSnapshot, image_pb2.DeleteSnapshotRequest(key=key))
    except EngineError as error:
        core.log.warning("snapshot left for reconcile", snapshot=key[:12], error=error.message)


def _host_resolv_conf() -> str:
    try:
        with open("/etc/resolv.conf") as file:
            return file.read()
    except OSError:
        return ""


async def build_image(
    core: Core, requests: AsyncIterator[image_pb2.BuildImageRequest]
) -> AsyncIterator[image_pb2.BuildImageResponse]:
    """Build an image from a client's stream; yields output and, last, the image's id. Raises EngineError."""
    build = Build(core)
    async for answer in build.run(requests):
        yield answer
