"""Removal of images: the image service decides, the engine tells it which containers use what."""

from __future__ import annotations

from collections.abc import Iterable

from trine.engine.core import Core
from trine.engine.states import is_up
from trine.v1 import image_pb2


def uses(core: Core) -> list[image_pb2.ImageUse]:
    """Return one use for each container."""
    return [
        image_pb2.ImageUse(
            image_id=entry.container.image_id, container_id=entry.id, running=is_up(entry.status)
        )
        for entry in core.registry
    ]


async def delete_image(core: Core, request: image_pb2.DeleteImageRequest) -> image_pb2.DeleteImageResponse:
    """Remove a name or an image; raises as the image service does."""
    leaf = core.leaves.image
    copy = image_pb2.DeleteImageRequest()
    copy.CopyFrom(request)
    del copy.uses[:]
    copy.uses.extend(uses(core))
    answer = await leaf(leaf.stub.DeleteImage, copy)
    _tell(core, answer.deleted, request.name)
    return answer


async def prune_images(core: Core, request: image_pb2.PruneImagesRequest) -> image_pb2.PruneImagesResponse:
    """Remove unused images."""
    leaf = core.leaves.image
    copy = image_pb2.PruneImagesRequest()
    copy.CopyFrom(request)
    del copy.uses[:]
    copy.uses.extend(uses(core))
    answer = await leaf(leaf.stub.PruneImages, copy, timeout_seconds=0)
    _tell(core, answer.deleted, "")
    return answer


def _tell(core: Core, deleted: Iterable[image_pb2.DeletedImage], name: str) -> None:
    """Tell untag and delete; Docker names the image's id in both."""
    for item in deleted:
        if item.untagged:
            core.events.publish("image", "untag", name or item.untagged, {"name": item.untagged})
        if item.deleted:
            core.events.publish("image", "delete", item.deleted, {"name": item.deleted})
