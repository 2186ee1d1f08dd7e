"""What stands between a request and a use case: requests taken apart, answers put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from trine.image import commit, convert, diff, listing, reference, remove, search
from trine.image import pull as pulling
from trine.image import push as pushing
from trine.image.bridge import Bridge
from trine.image.models import LayerStatus, Line
from trine.image.operation import Operation
from trine.image.snapshots import usage
from trine.image.store import ImageStore
from trine.kit.errors import InvalidArgumentError, ResourceExhaustedError
from trine.v1 import image_pb2 as pb


def list_images(store: ImageStore, request: pb.ListImagesRequest) -> pb.ListImagesResponse:
    """Answer ListImages."""
    query = listing.make_query(store, request.all, request.reference, list(request.filters))
    images = listing.select(store.images(), store.catalog.parents(), query)
    return pb.ListImagesResponse(images=[convert.image_message(image) for image in images])


def history(store: ImageStore, name: str) -> pb.GetImageHistoryResponse:
    """Answer GetImageHistory."""
    image = store.resolve(name)
    chain = [(image.id, image.tags)]
    parent = image.parent
    while parent and (found := store.catalog.image(parent)) is not None:
        chain.append((found.id, found.tags))
        parent = found.parent
    sizes = {layer.diff_id: layer.size for layer in store.catalog.layers().values()}
    return pb.GetImageHistoryResponse(entries=convert.history_entries(image, chain, sizes))


def uses(messages: Iterable[pb.ImageUse]) -> list[remove.Use]:
    """Return the uses a request tells."""
    return [remove.Use(item.image_id, item.container_id, item.running) for item in messages]


def deleted(records: Iterable[remove.Removed]) -> list[pb.DeletedImage]:
    """Return the lines of a removal."""
    return [pb.DeletedImage(untagged=item.untagged, deleted=item.deleted) for item in records]


def pull(
    store: ImageStore,
    request: pb.PullImageRequest,
    operation: Operation,
    emit: Callable[[pb.PullImageResponse], None],
) -> None:
    """Answer PullImage."""
    name = reference.parse(request.name)

    def tell(event: Line | LayerStatus) -> None:
        emit(convert.pull_event(event))

    auth = convert.credentials(request.auth)
    if request.all_tags:
        if name.tag or name.digest:
            raise InvalidArgumentError("tag can't be used with --all-tags/-a")
        result = pulling.pull_all(store, name, operation, tell, auth)
    else:
        result = pulling.pull_one(store, name.with_default_tag(), operation, tell, request.platform, auth)
    done = pb.PullResult(image_id=result.image_id, digest=result.digest, up_to_date=result.up_to_date)
    emit(pb.PullImageResponse(result=done))


def push(
    store: ImageStore,
    request: pb.PushImageRequest,
    operation: Operation,
    emit: Callable[[pb.PushImageResponse], None],
) -> None:
    """Answer PushImage."""

    def tell(event: Line | LayerStatus) -> None:
        emit(convert.push_event(event))

    auth = convert.credentials(request.auth)
    for done in pushing.push(
        store, request.name, operation, tell, all_tags=request.all_tags, credentials=auth
    ):
        result = pb.PushResult(tag=done.tag, digest=done.digest, size_bytes=done.size)
        emit(pb.PushImageResponse(result=result))


def search_response(found: Iterable[search.Found]) -> pb.SearchImagesResponse:
    """Return what was found."""
    results = [
        pb.SearchResult(
            name=item.name,
            description=item.description,
            stars=item.stars,
            official=item.official,
            automated=item.automated,
        )
        for item in found
    ]
    return pb.SearchImagesResponse(results=results)


class Received:
    """A request stream as a temporary file, gone when the block ends."""

    def __init__(self, bridge: Bridge, store: ImageStore, chunks: AsyncIterator[bytes]) -> None:
        self._bridge = bridge
        self._chunks = chunks
        self._path = store.content.temporary("received")

    async def __aenter__(self) -> Path:
        try:
            await self._bridge.receive(self._chunks, self._path)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            raise ResourceExhaustedError(
                f"write {self._path.name}: {(error.strerror or '').lower()}"
            ) from None
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        return self._path

    async def __aexit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


async def split_import(
    requests: AsyncIterator[pb.ImportImageRequest],
) -> tuple[commit.ImportSettings, AsyncIterator[bytes]]:
    """Return the options of the first request, and all chunks."""
    requests = aiter(requests)
    first = await anext(requests, None)
    if first is None:
        raise InvalidArgumentError("import: no data")
    options = first.options
    head = first.chunk
    reference_text = options.reference
    if reference_text:
        reference.parse_tagged(reference_text)

    async def chunks() -> AsyncIterator[bytes]:
        yield head
        async for request in requests:
            yield request.chunk

    settings = commit.ImportSettings(reference_text, options.message, list(options.changes), options.platform)
    return settings, chunks()


def prepare_snapshot(store: ImageStore, request: pb.PrepareSnapshotRequest) -> pb.PrepareSnapshotResponse:
    """Answer PrepareSnapshot."""
    image = store.resolve(request.image) if request.image else None
    snapshot = store.prepare_snapshot(request.key, image.id if image is not None else "")
    return pb.PrepareSnapshotResponse(
        snapshot=convert.snapshot_message(snapshot),
        image=convert.image_message(image) if image is not None else None,
    )


def get_snapshot(store: ImageStore, request: pb.GetSnapshotRequest) -> pb.GetSnapshotResponse:
    """Answer GetSnapshot."""
    snapshot = store.snapshot(request.key)
    response = pb.GetSnapshotResponse(snapshot=convert.snapshot_message(snapshot))
    if request.with_usage:
        response.size_bytes = usage(snapshot.upper)
        layers = [store.layer(diff_id) for diff_id in snapshot.diff_ids]
        response.root_size_bytes = response.size_bytes + sum(layer.size for layer in layers if layer)
    return response


def snapshot_changes(store: ImageStore, key: str) -> pb.ListSnapshotChangesResponse:
    """Answer ListSnapshotChanges."""
    snapshot = store.snapshot(key)
    kinds = {
        diff.MODIFIED: pb.CHANGE_KIND_MODIFIED,
        diff.ADDED: pb.CHANGE_KIND_ADDED,
        diff.DELETED: pb.CHANGE_KIND_DELETED,
    }
    found = diff.changes(str(snapshot.upper), [str(path) for path in snapshot.lower])
    return pb.ListSnapshotChangesResponse(
        changes=[
            pb.SnapshotChange(
                path=path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), kind=kinds[kind]
            )
            for kind, path in found
        ]
    )


def export(store: ImageStore, key: str, operation: Operation, emit: Callable[[bytes], None]) -> None:
    """Answer ExportSnapshot."""
    snapshot = store.snapshot(key)
    directories = [str(snapshot.upper), *(str(path) for path in snapshot.lower)]
    with store.lease() as lease:
        lease.pin(snapshot.diff_ids)
        store.workers.stream({"op": "export", "directories": directories}, operation, emit)


def commit_options(request: pb.CommitSnapshotRequest) -> commit.CommitOptions:
    """Return the options of a commit request."""
    return commit.CommitOptions(
        key=request.key,
        reference=request.reference,
        author=request.author,
        comment=request.comment,
        changes=list(request.changes),
        config=convert.config_json(request.config),
        container_id=request.container_id,
    )


def disk_usage(store: ImageStore) -> pb.GetImageDiskUsageResponse:
    """Answer GetImageDiskUsage (without the build cache)."""
    layers = store.catalog.layers()
    images = store.images()
    count: dict[str, int] = {}
    for image in images:
        for diff_id in set(image.diff_ids):
            count[diff_id] = count.get(diff_id, 0) + 1
    response = pb.GetImageDiskUsageResponse(layers_size_bytes=sum(layer.size for layer in layers.values()))
    for image in images:
        message = convert.image_message(image)
        shared = {diff_id for diff_id in image.diff_ids if count[diff_id] > 1}
        message.shared_size_bytes = sum(layers[diff_id].size for diff_id in shared if diff_id in layers)
        response.images.append(message)
    for snapshot in store.snapshots():
        response.snapshots.append(pb.SnapshotUsage(key=snapshot.key, size_bytes=usage(snapshot.upper)))
    return response
