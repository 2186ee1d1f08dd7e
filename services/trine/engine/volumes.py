"""Volumes as people use them: create, list, inspect, remove, prune."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.filters import Filters
from trine.engine.usage_of_volumes import discard_volume, users
from trine.engine.volume_book import no_such_volume
from trine.kit.errors import ConflictError, NotFoundError
from trine.v1 import volume_pb2


async def create_volume(
    core: Core, request: volume_pb2.CreateVolumeRequest
) -> volume_pb2.CreateVolumeResponse:
    """Create a volume, or return the one of that name. Raises InvalidArgumentError, ConflictError."""
    volume, made = await core.volumes.create(
        request.name, request.driver, dict(request.options), dict(request.labels)
    )
    if made:
        await core.store.flush()
        core.events.publish("volume", "create", volume.name, {"driver": volume.driver})
    return volume_pb2.CreateVolumeResponse(volume=volume)


async def list_volumes(core: Core, request: volume_pb2.ListVolumesRequest) -> volume_pb2.ListVolumesResponse:
    """Return volumes by name; raises InvalidArgumentError for a bad filter."""
    filters = Filters(request.filters, ["dangling", "driver", "label", "name"])
    dangling = filters.boolean("dangling")
    found = [
        volume
        for volume in core.volumes.all()
        if filters.exact("driver", volume.driver)
        and filters.fuzzy("name", volume.name)
        and filters.match_labels(volume.labels)
        and (dangling is None or dangling == (not users(core, volume.name)))
    ]
    return volume_pb2.ListVolumesResponse(volumes=found)


async def get_volume(core: Core, request: volume_pb2.GetVolumeRequest) -> volume_pb2.GetVolumeResponse:
    """Return one volume; raises NotFoundError."""
    return volume_pb2.GetVolumeResponse(volume=core.volumes.find(request.name))


async def delete_volume(
    core: Core, request: volume_pb2.DeleteVolumeRequest
) -> volume_pb2.DeleteVolumeResponse:
    """Remove a volume; raises NotFoundError (unless forced), ConflictError when it is in use."""
    name = request.name
    if core.volumes.get(name) is None:
        if request.force:
            return volume_pb2.DeleteVolumeResponse()
        raise no_such_volume(name)
    used_by = users(core, name)
    if used_by or not await discard_volume(core, name):
        raise ConflictError(
            f"remove {name}: volume is in use - [{', '.join(used_by)}]", reason="VOLUME_IN_USE"
        )
    return volume_pb2.DeleteVolumeResponse()


async def prune_volumes(
    core: Core, request: volume_pb2.PruneVolumesRequest
) -> volume_pb2.PruneVolumesResponse:
    """Remove volumes no container uses (engine 20.10: named ones too); raises for a bad filter."""
    filters = Filters(request.filters, ["label", "label!", "all"])
    filters.boolean("all")
    response = volume_pb2.PruneVolumesResponse()
    for volume in core.volumes.all():
        if users(core, volume.name) or not filters.match_labels(volume.labels):
            continue
        if volume.options:
            continue  # as Docker: what it stands for is elsewhere, and the way there would be lost
        if filters.refuse_labels(volume.labels):
            continue
        size = await core.volumes.usage(volume)
        try:
            if not await discard_volume(core, volume.name):
                continue
        except NotFoundError:
            continue
        response.names.append(volume.name)
        response.reclaimed_bytes += max(0, size)
    core.events.publish("volume", "prune", "", {"reclaimed": str(response.reclaimed_bytes)})
    return response
