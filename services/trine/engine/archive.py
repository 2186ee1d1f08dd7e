"""Copy files from and to a container, running or not."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator

from trine.engine.core import Core
from trine.engine.mounts import runtime_mounts
from trine.engine.registry import Entry
from trine.engine.runtime_spec import volume_map
from trine.engine.states import has_process
from trine.kit.errors import EngineError, InvalidArgumentError, PermissionDeniedError
from trine.v1 import runtime_pb2


def _target(core: Core, given: runtime_pb2.ArchiveTarget) -> tuple[Entry, runtime_pb2.ArchiveTarget]:
    entry = core.registry.find(given.container_id)
    target = runtime_pb2.ArchiveTarget(container_id=entry.id, path=given.path)
    if not has_process(entry.status):
        target.root.CopyFrom(entry.container.root)
        target.mounts.extend(
            mount
            for mount in runtime_mounts(entry, volume_map(core.volumes.all()))
            if mount.kind == runtime_pb2.MOUNT_KIND_BIND
        )
    return entry, target


async def read_archive(
    core: Core, request: runtime_pb2.ReadArchiveRequest
) -> AsyncIterator[runtime_pb2.ReadArchiveResponse]:
    """Yield the stat of a path, then its tar. Raises NotFoundError."""
    entry, target = _target(core, request.target)
    leaf = core.leaves.runtime
    copy = runtime_pb2.ReadArchiveRequest(target=target, stat_only=request.stat_only)
    if not request.stat_only:
        core.events.container(entry.container, "archive-path", path=request.target.path)
    await leaf.ready()
    try:
        async for answer in leaf.stream(leaf.stub.ReadArchive(copy)):
            yield answer
    except EngineError as error:
        raise _named(error, entry, request.target.container_id) from error


async def write_archive(
    core: Core, requests: AsyncIterator[runtime_pb2.WriteArchiveRequest]
) -> runtime_pb2.WriteArchiveResponse:
    """Unpack a tar in a container. Raises NotFoundError, PermissionDeniedError for a read-only root."""
    first = await anext(requests, None)
    if first is None or not first.HasField("options"):
        raise InvalidArgumentError("the first request must say where to unpack")
    entry, target = _target(core, first.options.target)
    if entry.config.read_only_root and not _in_writable_mount(entry, target.path):
        raise PermissionDeniedError("container rootfs is marked read-only")
    options = runtime_pb2.WriteArchiveOptions()
    options.CopyFrom(first.options)
    options.target.CopyFrom(target)

    async def forward() -> AsyncIterator[runtime_pb2.WriteArchiveRequest]:
        yield runtime_pb2.WriteArchiveRequest(options=options, chunk=first.chunk)
        async for request in requests:
            yield runtime_pb2.WriteArchiveRequest(chunk=request.chunk)

    leaf = core.leaves.runtime
    await leaf.ready()
    try:
        answer = await leaf.client_stream(leaf.stub.WriteArchive(forward()))
    except EngineError as error:
        raise _named(error, entry, first.options.target.container_id) from error
    core.events.container(entry.container, "extract-to-dir", path=target.path)
    return answer


def _named(error: EngineError, entry: Entry, name: str) -> EngineError:
    """Call the container in a leaf's text what the user called it."""
    error.message = error.message.replace(entry.id, name)
    return error


def _in_writable_mount(entry: Entry, path: str) -> bool:
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return any(
        point.writable and (clean == point.destination or clean.startswith(point.destination + "/"))
        for point in entry.container.mounts
    )
