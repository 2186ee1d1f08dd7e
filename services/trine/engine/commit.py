"""Make an image of a container."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from trine.engine.core import Core
from trine.engine.merge import image_config
from trine.engine.registry import Entry
from trine.engine.states import Status
from trine.kit.errors import ConflictError, EngineError
from trine.v1 import container_pb2, image_pb2, runtime_pb2


async def commit_container(
    core: Core, request: container_pb2.CommitContainerRequest
) -> container_pb2.CommitContainerResponse:
    """Commit a container; it is frozen meanwhile unless ``no_pause``. Raises NotFoundError, ConflictError."""
    entry = core.registry.find(request.container)
    if entry.removing or entry.status in (Status.REMOVING, Status.DEAD):
        raise ConflictError(
            f"You cannot commit container {entry.id} which is being removed", reason="REMOVAL_IN_PROGRESS"
        )
    leaf = core.leaves.image
    async with _frozen(core, entry, not request.no_pause):
        answer = await leaf(
            leaf.stub.CommitSnapshot,
            image_pb2.CommitSnapshotRequest(
                key=entry.id,
                reference=request.reference,
                author=request.author,
                comment=request.comment,
                changes=request.changes,
                config=image_config(entry.config),
                container_id=entry.id,
            ),
            timeout_seconds=0,
        )
    core.events.container(
        entry.container,
        "commit",
        comment=request.comment,
        imageID=answer.image_id,
        imageRef=request.reference,
    )
    if request.reference:
        core.events.publish("image", "tag", answer.image_id, {"name": request.reference})
    return container_pb2.CommitContainerResponse(image_id=answer.image_id)


@contextlib.asynccontextmanager
async def _frozen(core: Core, entry: Entry, wanted: bool) -> AsyncIterator[None]:
    """Freeze a running container for a while; its state for people stays "running".

    The record is not touched: after a kill in between, reconcile finds it frozen by nobody and thaws it.
    """
    leaf = core.leaves.runtime
    if not wanted or entry.status is not Status.RUNNING:
        yield
        return
    async with entry.lock:
        if entry.status is Status.RUNNING:
            await leaf(leaf.stub.PauseRuntimeContainer, runtime_pb2.PauseRuntimeContainerRequest(id=entry.id))
        try:
            yield
        finally:
            if entry.status is Status.RUNNING:
                try:
                    await leaf(
                        leaf.stub.ResumeRuntimeContainer,
                        runtime_pb2.ResumeRuntimeContainerRequest(id=entry.id),
                        patience_seconds=10,
                    )
                except EngineError as error:
                    core.log.error("not thawed after commit", container=entry.id[:12], error=error.message)
