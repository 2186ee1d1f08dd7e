"""Processes and resource usage of containers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trine.engine.core import Core
from trine.engine.states import Status, has_process
from trine.kit.errors import ConflictError
from trine.v1 import runtime_pb2


async def list_processes(
    core: Core, request: runtime_pb2.ListProcessesRequest
) -> runtime_pb2.ListProcessesResponse:
    """Return what ps shows of a container; raises NotFoundError, ConflictError when it does not run."""
    entry = core.registry.find(request.container_id)
    if entry.status is Status.RESTARTING:
        raise ConflictError(
            f"Container {entry.id} is restarting, wait until the container is running", reason="NOT_RUNNING"
        )
    if not has_process(entry.status):
        raise ConflictError(f"Container {entry.id} is not running", reason="NOT_RUNNING")
    leaf = core.leaves.runtime
    answer = await leaf(
        leaf.stub.ListProcesses,
        runtime_pb2.ListProcessesRequest(container_id=entry.id, ps_arguments=request.ps_arguments),
    )
    core.events.container(entry.container, "top")
    return answer


async def watch_usage(
    core: Core, request: runtime_pb2.WatchUsageRequest
) -> AsyncIterator[runtime_pb2.WatchUsageResponse]:
    """Yield readings; a container that does not run gets one of zeros, as Docker. Raises NotFoundError."""
    entries = [core.registry.find(reference) for reference in request.container_ids]
    running = [entry.id for entry in entries if has_process(entry.status)]
    for entry in entries:
        if not has_process(entry.status):
            yield runtime_pb2.WatchUsageResponse(container_id=entry.id)
    if entries and not running:
        return
    leaf = core.leaves.runtime
    await leaf.ready()
    call = leaf.stub.WatchUsage(runtime_pb2.WatchUsageRequest(container_ids=running, once=request.once))
    async for answer in leaf.stream(call):
        yield answer
