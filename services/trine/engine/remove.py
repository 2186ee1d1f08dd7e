"""Remove a container that people ask to be removed: refuse, or kill first when forced."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.kill import kill_to_death
from trine.engine.links import remove_link
from trine.engine.registry import Entry
from trine.engine.removal import remove_now
from trine.engine.states import Event, is_up, refusal
from trine.engine.undo import run_to_end
from trine.kit.errors import ConflictError
from trine.v1 import container_pb2


async def delete_container(
    core: Core, request: container_pb2.DeleteContainerRequest
) -> container_pb2.DeleteContainerResponse:
    """Remove a container by name or id.

    Raises NotFoundError, ConflictError (it runs and ``force`` is not set; a removal goes on already).
    """
    if request.link:
        return await remove_link(core, request.container)
    entry = core.registry.find(request.container)
    if entry.removing:
        raise ConflictError(
            f"removal of container {request.container} is already in progress", reason="REMOVAL_IN_PROGRESS"
        )
    if is_up(entry.status) and not request.force:
        raise ConflictError(refusal(entry.status, Event.REMOVE, entry.id), reason="RUNNING")
    entry.removing = True  # from here on nobody can start it
    await run_to_end(_kill_and_remove(core, entry, request.volumes, request.force))
    return container_pb2.DeleteContainerResponse()


async def _kill_and_remove(core: Core, entry: Entry, volumes: bool, force: bool) -> None:
    try:
        for _ in range(2):  # a start that was under way when we came holds the lock
            if is_up(entry.status) and force:
                entry.private.manually_stopped = True
                await kill_to_death(core, entry)
            async with entry.lock:
                if not is_up(entry.status):
                    await remove_now(core, entry, volumes)
                    return
        raise ConflictError(refusal(entry.status, Event.REMOVE, entry.id), reason="RUNNING")
    except BaseException:
        entry.removing = False
        raise
