"""Attach to a container's process or to an exec, read its log, set its terminal's size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from trine.engine.core import Core
from trine.engine.prepare import unprepare
from trine.engine.registry import Entry
from trine.engine.start import prepare_container
from trine.engine.states import has_process, is_up
from trine.kit.errors import ConflictError, InvalidArgumentError, UnsupportedError
from trine.v1 import runtime_pb2


async def attach_socket(
    core: Core, request: runtime_pb2.GetAttachSocketRequest
) -> runtime_pb2.GetAttachSocketResponse:
    """Return the shim's socket; a container that does not run is prepared for it (docs/seams.md)."""
    entry = core.registry.find(request.container_id)
    if not is_up(entry.status):
        await prepare_container(core, entry)
    leaf = core.leaves.runtime
    answer = await leaf(leaf.stub.GetAttachSocket, runtime_pb2.GetAttachSocketRequest(container_id=entry.id))
    core.events.container(entry.container, "attach")
    return answer


async def attach_container(
    core: Core, requests: AsyncIterator[runtime_pb2.AttachProcessRequest]
) -> AsyncIterator[runtime_pb2.AttachProcessResponse]:
    """Carry input and output between a client and the runtime.

    Raises InvalidArgumentError when the first request is no target. A container that was prepared for
    this and not started is unprepared when the client goes away.
    """
    first = await anext(requests, None)
    if first is None or first.WhichOneof("event") != "target":
        raise InvalidArgumentError("the first request must name what to attach to")
    target = runtime_pb2.AttachTarget()
    target.CopyFrom(first.target)
    entry = core.registry.find(target.container_id)
    target.container_id = entry.id
    if not target.exec_id:
        if not is_up(entry.status):
            await prepare_container(core, entry)
        core.events.container(entry.container, "attach")
    leaf = core.leaves.runtime
    await leaf.ready()
    call = leaf.stub.AttachProcess()
    await call.write(runtime_pb2.AttachProcessRequest(target=target))
    pump = asyncio.create_task(_pump(requests, call))
    try:
        async for answer in leaf.stream(call):
            yield answer
    finally:
        pump.cancel()
        if entry.prepared is not None:
            core.spawn(_give_up(core, entry), f"unprepare {entry.id[:12]}")


async def _pump(
    requests: AsyncIterator[runtime_pb2.AttachProcessRequest],
    call: grpc.aio.StreamStreamCall[runtime_pb2.AttachProcessRequest, runtime_pb2.AttachProcessResponse],
) -> None:
    try:
        async for request in requests:
            if request.WhichOneof("event") != "target":
                await call.write(request)
        await call.done_writing()
    except (grpc.RpcError, asyncio.InvalidStateError):
        pass  # the other direction tells why


async def _give_up(core: Core, entry: Entry) -> None:
    async with entry.lock:
        if not has_process(entry.status):
            await unprepare(core, entry)


async def read_log(
    core: Core, request: runtime_pb2.ReadLogRequest
) -> AsyncIterator[runtime_pb2.ReadLogResponse]:
    """Yield a container's log; raises NotFoundError, UnsupportedError for --log-driver none."""
    entry = core.registry.find(request.container_id)
    if entry.config.log.driver == "none":
        raise UnsupportedError("configured logging driver does not support reading")
    if not (request.stdout or request.stderr):
        raise InvalidArgumentError("Bad parameters: you must choose at least one stream")
    if not entry.container.state.started_at_unix_nanos and not is_up(entry.status):
        return
    copy = runtime_pb2.ReadLogRequest()
    copy.CopyFrom(request)
    copy.container_id = entry.id
    leaf = core.leaves.runtime
    await leaf.ready()
    async for answer in leaf.stream(leaf.stub.ReadLog(copy)):
        yield answer


async def resize_terminal(
    core: Core, request: runtime_pb2.ResizeTerminalRequest
) -> runtime_pb2.ResizeTerminalResponse:
    """Set the size of a terminal; raises NotFoundError, ConflictError when it does not run."""
    container_id = request.container_id
    if request.exec_id and request.exec_id in core.execs:
        container_id = core.execs[request.exec_id].container_id
    entry = core.registry.find(container_id)
    if not is_up(entry.status) and entry.prepared is None:
        raise ConflictError(f"Container {entry.id} is not running", reason="NOT_RUNNING")
    leaf = core.leaves.runtime
    answer = await leaf(
        leaf.stub.ResizeTerminal,
        runtime_pb2.ResizeTerminalRequest(
            container_id=entry.id, exec_id=request.exec_id, rows=request.rows, columns=request.columns
        ),
    )
    core.events.container(entry.container, "resize", height=str(request.rows), width=str(request.columns))
    return answer
