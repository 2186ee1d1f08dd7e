"""Wait for a container to end or to be gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trine.engine.core import Core
from trine.engine.states import is_up
from trine.v1 import container_pb2


async def wait_container(
    core: Core, request: container_pb2.WaitContainerRequest
) -> AsyncIterator[container_pb2.WaitContainerResponse]:
    """Yield "registered", then the exit code when the condition holds. Raises NotFoundError."""
    entry = core.registry.find(request.container)
    exited, removal = entry.next_exit(), entry.next_removal()
    try:
        yield container_pb2.WaitContainerResponse(registered=True)
        if request.condition == container_pb2.WAIT_CONDITION_REMOVED:
            yield _result(entry.container.state, await removal)
            return
        if request.condition != container_pb2.WAIT_CONDITION_NEXT_EXIT and not is_up(entry.status):
            yield _result(entry.container.state, "")
            return
        await exited
        yield _result(entry.container.state, "")
    finally:
        exited.cancel()
        removal.cancel()


def _result(state: container_pb2.ContainerState, error: str) -> container_pb2.WaitContainerResponse:
    return container_pb2.WaitContainerResponse(exit_code=state.exit_code, error=error)
