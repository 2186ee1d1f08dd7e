"""Everything about one container."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.links import shown
from trine.engine.sizes import snapshot_sizes
from trine.v1 import container_pb2


async def get_container(
    core: Core, request: container_pb2.GetContainerRequest
) -> container_pb2.GetContainerResponse:
    """Return a container's record; raises NotFoundError."""
    entry = core.registry.find(request.container)
    response = container_pb2.GetContainerResponse(container=entry.container)
    response.container.links[:] = shown(core.registry, entry)
    if request.with_size:
        size, root_size = await snapshot_sizes(core, entry.id)
        response.container.size_rw_bytes, response.container.size_root_bytes = size, root_size
    return response
