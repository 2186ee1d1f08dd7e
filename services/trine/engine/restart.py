"""Restart a container: stop, then start."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.start import run_entry
from trine.engine.states import is_up
from trine.engine.stop import stop_entry, timeout_of
from trine.kit.errors import ConflictError, EngineError
from trine.v1 import container_pb2


async def restart_container(
    core: Core, request: container_pb2.RestartContainerRequest
) -> container_pb2.RestartContainerResponse:
    """Stop a container if it runs and start it; --rm does not remove it between.

    Raises NotFoundError, or "Cannot restart container X: …".
    """
    entry = core.registry.find(request.container)
    entry.keep_after_exit = True
    try:
        seconds = timeout_of(entry, request.timeout_seconds, request.timeout_set)
        await stop_entry(core, entry, seconds, request.signal)
        async with entry.lock:
            entry.keep_after_exit = False
            if entry.removing:
                raise ConflictError("container is marked for removal and cannot be started")
            if not is_up(entry.status):
                entry.container.state.restart_count = 0
                await run_entry(core, entry)
    except EngineError as error:
        raise type(error)(
            f"Cannot restart container {request.container}: {error.message}",
            reason=error.reason,
            metadata=error.metadata,
        ) from error
    finally:
        entry.keep_after_exit = False
    core.events.container(entry.container, "restart")
    return container_pb2.RestartContainerResponse()
