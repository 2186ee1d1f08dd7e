"""How a container that does not run goes: from all leaves, its anonymous volumes, its record."""

from __future__ import annotations

import asyncio

from trine.engine.core import Core
from trine.engine.prepare import delete_runtime, delete_sandbox, settled, tell_network, tell_volumes
from trine.engine.registry import Entry
from trine.engine.states import Event, after
from trine.engine.usage_of_volumes import discard_volume
from trine.kit.errors import EngineError
from trine.v1 import image_pb2


async def remove_now(core: Core, entry: Entry, volumes: bool) -> None:
    """Remove a container that does not run; the caller holds the lock.

    The record says "removing" on disk before anything goes, so that a kill between is finished by
    the next recover. Raises InternalError, and the container is "dead", when a leaf refuses.
    """
    entry.removing = True
    entry.status = after(entry.status, Event.REMOVE, entry.id)
    settled(entry)
    core.save(entry)
    try:
        if not entry.config.auto_remove:  # those are removed at the next start whatever their row says
            await core.store.flush()
        await _remove_everywhere(core, entry)
    except EngineError as error:
        entry.status = after(entry.status, Event.REMOVE_FAILED, entry.id)
        entry.removing = False
        core.save(entry)
        entry.tell_removal(error.message)
        raise
    for endpoint in entry.container.sandbox.endpoints:
        tell_network(core, "disconnect", endpoint, entry.id)
    if entry.container.sandbox.endpoints:
        tell_volumes(core, entry, "unmount")
    core.registry.remove(entry)
    core.store.delete("container", entry.id)
    for exec_id in [key for key, value in core.execs.items() if value.container_id == entry.id]:
        del core.execs[exec_id]
    core.events.container(entry.container, "destroy")
    if volumes:
        await _remove_anonymous_volumes(core, entry)
    await core.store.flush()
    entry.tell_removal("")


async def _remove_everywhere(core: Core, entry: Entry) -> None:
    image = core.leaves.image
    results = await asyncio.gather(
        delete_runtime(core, entry.id, keep_data=False),
        delete_sandbox(core, entry.id),
        image(image.stub.DeleteSnapshot, image_pb2.DeleteSnapshotRequest(key=entry.id)),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, EngineError):
            raise type(result)(
                f"unable to remove container {entry.id}: {result.message}",
                reason=result.reason,
                metadata=result.metadata,
            )
        if isinstance(result, BaseException):
            raise result


async def _remove_anonymous_volumes(core: Core, entry: Entry) -> None:
    for point in entry.container.mounts:
        volume = core.volumes.get(point.name) if point.type == "volume" else None
        if volume is None or not volume.anonymous:
            continue
        try:
            await discard_volume(core, volume.name)
        except EngineError as error:
            core.log.warning("anonymous volume stays", volume=volume.name, error=error.message)
