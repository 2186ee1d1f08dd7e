"""How much disk a container's writable layer and its whole root take."""

from __future__ import annotations

from trine.engine.core import Core
from trine.kit.errors import EngineError
from trine.v1 import image_pb2


async def snapshot_sizes(core: Core, container_id: str) -> tuple[int, int]:
    """Return bytes written and bytes of all layers; zeros when the image service cannot tell."""
    leaf = core.leaves.image
    try:
        answer = await leaf(
            leaf.stub.GetSnapshot, image_pb2.GetSnapshotRequest(key=container_id, with_usage=True)
        )
    except EngineError as error:
        core.log.debug("size not known", container=container_id[:12], error=error.message)
        return 0, 0
    return answer.size_bytes, answer.root_size_bytes
