"""Remove a container that people ask to be removed: refuse, or kill first when forced."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.kill import kill_to_death
from trine.engine.links import remove_link
from trine.engine.registry import Entry
from trine.engine.removal import remove_now, wait_removed
from trine.engine.states import Event, Status, has_process, is_up, refusal
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
    if is_up(entry.status):
        if not request.force:
            raise ConflictError(refusal(entry.status, Event.REMOVE, entry.id), reason="RUNNING")
        entry.private.manually_stopped = True
        await kill_to_death(core, entry)
        if entry.removed.is_set():  # --rm did it
            return container_pb2.DeleteContainerResponse()
    if entry.removing:
        await wait_removed(entry)
        return container_pb2.DeleteContainerResponse()
    entry.removing = True
    await run_to_end(_remove_locked(core, entry, request.volumes, request.force))
    return container_pb2.DeleteContainerResponse()


async def _remove_locked(core: Core, entry: Entry, volumes: bool, force: bool) -> None:
    async with entry.lock:
        if has_process(entry.status) or entry.status is Status.RESTARTING:
            entry.removing = False
            raise ConflictError(refusal(entry.status, Event.REMOVE, entry.id), reason="RUNNING")
        await remove_now(core, entry, volumes)
