"""Freeze and thaw a container."""

from __future__ import annotations

from trine.engine import health
from trine.engine.core import Core
from trine.engine.states import Event, StateError, after
from trine.kit.errors import ConflictError, EngineError
from trine.v1 import container_pb2, runtime_pb2


async def pause_container(
    core: Core, request: container_pb2.PauseContainerRequest
) -> container_pb2.PauseContainerResponse:
    """Freeze every process. Raises NotFoundError, ConflictError (not running, paused already)."""
    await _change(core, request.container, Event.PAUSE)
    return container_pb2.PauseContainerResponse()


async def unpause_container(
    core: Core, request: container_pb2.UnpauseContainerRequest
) -> container_pb2.UnpauseContainerResponse:
    """Thaw every process. Raises NotFoundError, ConflictError (not paused)."""
    await _change(core, request.container, Event.UNPAUSE)
    return container_pb2.UnpauseContainerResponse()


async def _change(core: Core, reference: str, event: Event) -> None:
    entry = core.registry.find(reference)
    leaf = core.leaves.runtime
    async with entry.lock:
        try:
            status = after(entry.status, event, entry.id)
        except StateError as error:
            raise ConflictError(str(error), reason="NOT_RUNNING") from error
        try:
            if event is Event.PAUSE:
                await leaf(
                    leaf.stub.PauseRuntimeContainer, runtime_pb2.PauseRuntimeContainerRequest(id=entry.id)
                )
            else:
                await leaf(
                    leaf.stub.ResumeRuntimeContainer, runtime_pb2.ResumeRuntimeContainerRequest(id=entry.id)
                )
        except EngineError as error:
            raise type(error)(
                f"Cannot {event.value} container {entry.id}: {error.message}", reason=error.reason
            ) from error
        entry.status = status
        core.save(entry)
        if event is Event.UNPAUSE:
            health.watch(core, entry)
        else:
            health.stop(entry)
    core.events.container(entry.container, event.value)
    await core.store.flush()
