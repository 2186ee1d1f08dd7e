"""What a container changed against its image, and its whole file system as a tar."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trine.engine.core import Core
from trine.v1 import container_pb2, image_pb2


async def list_changes(
    core: Core, request: container_pb2.ListContainerChangesRequest
) -> container_pb2.ListContainerChangesResponse:
    """Return changed paths, sorted; raises NotFoundError."""
    entry = core.registry.find(request.container)
    leaf = core.leaves.image
    answer = await leaf(leaf.stub.ListSnapshotChanges, image_pb2.ListSnapshotChangesRequest(key=entry.id))
    return container_pb2.ListContainerChangesResponse(changes=answer.changes)


async def export_container(
    core: Core, request: container_pb2.ExportContainerRequest
) -> AsyncIterator[container_pb2.ExportContainerResponse]:
    """Yield a tar of the root file system; raises NotFoundError."""
    entry = core.registry.find(request.container)
    leaf = core.leaves.image
    await leaf.ready()
    async for answer in leaf.stream(leaf.stub.ExportSnapshot(image_pb2.ExportSnapshotRequest(key=entry.id))):
        yield container_pb2.ExportContainerResponse(chunk=answer.chunk)
    core.events.container(entry.container, "export")
