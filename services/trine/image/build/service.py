"""BuildImage as a conversation: options and context in, output and steps to run out, results in.

The build itself is blocking and runs in a thread (builder.py); here are the event loop's parts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from queue import SimpleQueue

from trine.image import convert
from trine.image.bridge import Bridge
from trine.image.build.builder import Build
from trine.image.build.cache import BuildCache
from trine.image.build.context import ContextReceiver
from trine.image.build.options import BuildOptions, Step, StepResult
from trine.image.build.prune import prune_cache
from trine.image.models import LayerStatus
from trine.image.operation import Operation
from trine.image.store import ImageStore
from trine.kit.errors import CancelledError, EngineError, InvalidArgumentError, ResourceExhaustedError
from trine.v1 import image_pb2 as pb

Emit = Callable[[pb.BuildImageResponse], None]


class BuildService:
    """Builds over one store (trine.image.builder.Builder)."""

    def __init__(self, store: ImageStore) -> None:
        """Make the cache table when it is not there."""
        self._store = store
        self._cache = BuildCache(store)
        self._bridge = Bridge()

    async def build(
        self, requests: AsyncIterator[pb.BuildImageRequest], operation: Operation
    ) -> AsyncIterator[pb.BuildImageResponse]:
        """Run one build. Raises EngineError."""
        request = await _first(requests)
        receiver = ContextReceiver(self._store.content.tmp)
        results: SimpleQueue[StepResult | pb.ExecStepResult | None] = SimpleQueue()
        listening: asyncio.Task[None] | None = None
        started = False

        def work(emit: Emit) -> None:
            with contextlib.closing(receiver):
                self._run(request, receiver, operation, emit, results)

        try:
            await self._receive(requests, receiver)
            listening = asyncio.ensure_future(_listen(requests, results))
            started = True
            async for response in self._bridge.stream(operation, work):
                yield response
        finally:
            operation.cancel()
            if listening is not None:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening
            if not started:
                receiver.close()

    async def _receive(
        self, requests: AsyncIterator[pb.BuildImageRequest], receiver: ContextReceiver
    ) -> None:
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        async for request in requests:
            event = request.WhichOneof("event")
            if event == "context_done":
                break
            if event != "context_chunk":
                raise InvalidArgumentError("a build's context must come before anything else")
            if failure is not None:
                continue  # a client that still sends would not see why we stopped
            try:
                if receiver.in_memory:
                    receiver.add(request.context_chunk)
                else:
                    await loop.run_in_executor(None, receiver.add, request.context_chunk)
            except OSError as error:
                failure = error
                receiver.close()
        if failure is not None:
            raise _no_space(failure) from None

    def _run(
        self,
        request: pb.BuildOptions,
        receiver: ContextReceiver,
        operation: Operation,
        emit: Emit,
        results: SimpleQueue[StepResult | pb.ExecStepResult | None],
    ) -> None:
        listener = _Listener(request, operation, emit, results)
        try:
            context = receiver.finish()
            image = Build(self._store, self._cache, _options(request), context, operation, listener).run()
        except OSError as error:
            listener.flush()
            raise _no_space(error) from None
        except EngineError as error:
            if not isinstance(error, CancelledError):
                listener.flush()
            raise
        if request.quiet:
            emit(pb.BuildImageResponse(stream=f"{image.id}\n"))
        emit(pb.BuildImageResponse(image_id=image.id))

    async def prune(self, request: pb.PruneBuildCacheRequest) -> pb.PruneBuildCacheResponse:
        """Forget build cache. Raises InvalidArgumentError for an unknown filter."""
        filters = list(request.filters)
        ids = await self._bridge.quick(prune_cache, self._store, self._cache, request.all, filters)
        return pb.PruneBuildCacheResponse(ids=ids)

    def usage(self) -> tuple[int, int]:
        """Return bytes and entries that only the cache keeps: none, as with Docker's classic builder.

        The images of steps are images like others and counted there; an entry only points to one.
        """
        return 0, 0

    def close(self) -> None:
        """Wait for builds that were cancelled to undo what they did."""
        self._bridge.close()


class _Listener:
    """Turns what a build says into responses; holds text back in a quiet build."""

    def __init__(
        self,
        request: pb.BuildOptions,
        operation: Operation,
        emit: Emit,
        results: SimpleQueue[StepResult | pb.ExecStepResult | None],
    ) -> None:
        self._request = request
        self._operation = operation
        self._emit = emit
        self._results = results
        self._held: list[str] = []

    def text(self, text: str) -> None:
        if self._request.quiet:
            self._held.append(text)
        else:
            self._emit(pb.BuildImageResponse(stream=text))

    def flush(self) -> None:
        """Show what was held back: the build failed."""
        if self._held:
            held, self._held = "".join(self._held), []
            self._emit(pb.BuildImageResponse(stream=held))

    def layer(self, status: LayerStatus) -> None:
        if not self._request.quiet:
            self._emit(pb.BuildImageResponse(layer=convert.layer_message(status)))

    def run_step(self, step: Step) -> StepResult:
        key = step.snapshot.key
        message = pb.ExecStep(
            container_id=key,
            mount=convert.snapshot_message(step.snapshot).mount,
            config=convert.config_message(step.config.to_json()),
            args=step.arguments,
            network_mode=self._request.network_mode,
            resources=self._request.resources,
            extra_hosts=self._request.extra_hosts,
            shm_size_bytes=self._request.shm_size_bytes,
            image_id=step.image_id,
        )
        with self._operation.on_cancel(lambda: self._results.put(None)):
            self._emit(pb.BuildImageResponse(exec_step=message))
            while True:
                result = self._results.get()
                self._operation.check()
                if result is None:
                    raise CancelledError("the caller ended before the step did")
                if isinstance(result, pb.ExecStepResult) and result.container_id == key:
                    return StepResult(result.exit_code, result.error, result.kept)


async def _first(requests: AsyncIterator[pb.BuildImageRequest]) -> pb.BuildOptions:
    try:
        request = await anext(requests)
    except StopAsyncIteration:
        raise InvalidArgumentError("a build begins with its options") from None
    if request.WhichOneof("event") != "options":
        raise InvalidArgumentError("a build begins with its options")
    return request.options


async def _listen(
    requests: AsyncIterator[pb.BuildImageRequest],
    results: SimpleQueue[StepResult | pb.ExecStepResult | None],
) -> None:
    """Hand the caller's answers to the build; None when no more can come."""
    try:
        async for request in requests:
            if request.WhichOneof("event") == "exec_step_result":
                results.put(request.exec_step_result)
    finally:
        results.put(None)


def _options(request: pb.BuildOptions) -> BuildOptions:
    for name, value in [*request.build_args.items(), *request.labels.items()]:
        if "\0" in name + value:
            raise InvalidArgumentError(f"invalid value of {name!r}: it has a NUL byte")
    return BuildOptions(
        dockerfile=request.dockerfile,
        dockerfile_content=request.dockerfile_content or None,
        tags=list(request.tags),
        build_args=dict(request.build_args),
        labels=dict(request.labels),
        target=request.target,
        no_cache=request.no_cache,
        pull=request.pull,
        unset_build_args=list(request.unset_build_args),
        keeps_containers=request.keep_containers_on_failure,
        force_rm=request.force_rm,
        platform=request.platform,
        cache_from=list(request.cache_from),
        credentials={host: convert.credentials(auth) for host, auth in request.auths.items()},
        squash=request.squash,
    )


def _no_space(error: OSError) -> EngineError:
    text = f"write {error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    return ResourceExhaustedError(text.lower() if not error.filename else text, reason="NO_SPACE")
