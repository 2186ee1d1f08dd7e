"""ImageService: each method hands its request to a use case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from trine.image import commit, convert, load, reference, remove, save, search, views
from trine.image.bridge import Bridge, operation_of
from trine.image.builder import Builder, load_builder
from trine.image.store import ImageStore
from trine.kit.errors import UnsupportedError
from trine.v1 import image_pb2 as pb
from trine.v1 import image_pb2_grpc


class ImageServicer(image_pb2_grpc.ImageServiceServicer):
    """The servicer over one store."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._bridge = Bridge()
        self._builder: Builder | None = None

    def close(self) -> None:
        """Wait for running work; the store is closed by its owner."""
        if self._builder is not None:
            self._builder.close()
        self._bridge.close()

    # --- images --------------------------------------------------------------------------------
    async def ListImages(self, request: pb.ListImagesRequest, context: Any) -> pb.ListImagesResponse:
        """See image.proto."""
        return await self._bridge.quick(views.list_images, self._store, request)

    async def GetImage(self, request: pb.GetImageRequest, context: Any) -> pb.GetImageResponse:
        """See image.proto."""
        image = await self._bridge.quick(self._store.resolve, request.name)
        return pb.GetImageResponse(image=convert.image_message(image))

    async def GetImageHistory(
        self, request: pb.GetImageHistoryRequest, context: Any
    ) -> pb.GetImageHistoryResponse:
        """See image.proto."""
        return await self._bridge.quick(views.history, self._store, request.name)

    async def TagImage(self, request: pb.TagImageRequest, context: Any) -> pb.TagImageResponse:
        """See image.proto."""
        reference.parse_tagged(request.target)
        image = await self._bridge.quick(self._store.resolve, request.source)
        await self._bridge.quick(self._store.tag, image.id, request.target)
        return pb.TagImageResponse(image_id=image.id)

    async def DeleteImage(self, request: pb.DeleteImageRequest, context: Any) -> pb.DeleteImageResponse:
        """See image.proto."""
        remover = remove.Remover(self._store, views.uses(request.uses))
        await self._bridge.long(
            operation_of(context),
            lambda: remover.remove(request.name, force=request.force, prune=not request.no_prune),
        )
        return pb.DeleteImageResponse(deleted=views.deleted(remover.records))

    async def PruneImages(self, request: pb.PruneImagesRequest, context: Any) -> pb.PruneImagesResponse:
        """See image.proto."""
        uses, filters = views.uses(request.uses), list(request.filters)
        records, reclaimed = await self._bridge.long(
            operation_of(context), lambda: remove.prune_images(self._store, uses, request.all, filters)
        )
        return pb.PruneImagesResponse(deleted=views.deleted(records), reclaimed_bytes=reclaimed)

    # --- registries ----------------------------------------------------------------------------
    async def PullImage(
        self, request: pb.PullImageRequest, context: Any
    ) -> AsyncIterator[pb.PullImageResponse]:
        """See image.proto."""
        operation = operation_of(context)

        def work(emit: Callable[[pb.PullImageResponse], None]) -> None:
            views.pull(self._store, request, operation, emit)

        async for response in self._bridge.stream(operation, work):
            yield response

    async def PushImage(
        self, request: pb.PushImageRequest, context: Any
    ) -> AsyncIterator[pb.PushImageResponse]:
        """See image.proto."""
        operation = operation_of(context)

        def work(emit: Callable[[pb.PushImageResponse], None]) -> None:
            views.push(self._store, request, operation, emit)

        async for response in self._bridge.stream(operation, work):
            yield response

    async def SearchImages(self, request: pb.SearchImagesRequest, context: Any) -> pb.SearchImagesResponse:
        """See image.proto."""
        operation = operation_of(context)
        auth, filters = convert.credentials(request.auth), list(request.filters)
        found = await self._bridge.long(
            operation,
            lambda: search.search(self._store, request.term, request.limit, filters, operation, auth),
        )
        return views.search_response(found)

    async def CheckCredentials(
        self, request: pb.CheckCredentialsRequest, context: Any
    ) -> pb.CheckCredentialsResponse:
        """See image.proto."""
        operation = operation_of(context)
        auth = convert.credentials(request.auth)
        status = await self._bridge.long(
            operation, lambda: search.check_credentials(self._store, auth, operation)
        )
        return pb.CheckCredentialsResponse(status=status)

    # --- archives ------------------------------------------------------------------------------
    async def SaveImages(
        self, request: pb.SaveImagesRequest, context: Any
    ) -> AsyncIterator[pb.SaveImagesResponse]:
        """See image.proto."""
        operation = operation_of(context)

        def work(emit: Callable[[bytes], None]) -> None:
            save.save(self._store, list(request.names), operation, emit)

        async for chunk in self._bridge.stream(operation, work):
            yield pb.SaveImagesResponse(chunk=chunk)

    async def LoadImages(
        self, request_iterator: AsyncIterator[pb.LoadImagesRequest], context: Any
    ) -> AsyncIterator[pb.LoadImagesResponse]:
        """See image.proto."""
        operation = operation_of(context)
        async with self._received(item.chunk async for item in request_iterator) as path:

            def work(emit: Callable[[str], None]) -> None:
                load.load(self._store, path, operation, emit)

            async for line in self._bridge.stream(operation, work):
                yield pb.LoadImagesResponse(line=line)

    async def ImportImage(
        self, request_iterator: AsyncIterator[pb.ImportImageRequest], context: Any
    ) -> pb.ImportImageResponse:
        """See image.proto."""
        operation = operation_of(context)
        settings, chunks = await views.split_import(request_iterator)
        async with self._received(chunks) as path:
            image = await self._bridge.long(
                operation, lambda: commit.import_tar(self._store, settings, path, operation)
            )
        return pb.ImportImageResponse(image_id=image.id)

    def _received(self, chunks: AsyncIterator[bytes]) -> views.Received:
        return views.Received(self._bridge, self._store, chunks)

    # --- snapshots -----------------------------------------------------------------------------
    async def PrepareSnapshot(
        self, request: pb.PrepareSnapshotRequest, context: Any
    ) -> pb.PrepareSnapshotResponse:
        """See image.proto."""
        return await self._bridge.quick(views.prepare_snapshot, self._store, request)

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: Any) -> pb.GetSnapshotResponse:
        """See image.proto."""
        work = lambda: views.get_snapshot(self._store, request)  # noqa: E731
        if request.with_usage:
            return await self._bridge.long(operation_of(context), work)
        return await self._bridge.quick(work)

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Any) -> pb.ListSnapshotsResponse:
        """See image.proto."""
        found = await self._bridge.quick(self._store.snapshots)
        return pb.ListSnapshotsResponse(snapshots=[convert.snapshot_message(item) for item in found])

    async def DeleteSnapshot(
        self, request: pb.DeleteSnapshotRequest, context: Any
    ) -> pb.DeleteSnapshotResponse:
        """See image.proto."""
        await self._bridge.quick(self._store.delete_snapshot, request.key)
        return pb.DeleteSnapshotResponse()

    async def ListSnapshotChanges(
        self, request: pb.ListSnapshotChangesRequest, context: Any
    ) -> pb.ListSnapshotChangesResponse:
        """See image.proto."""
        return await self._bridge.long(
            operation_of(context), lambda: views.snapshot_changes(self._store, request.key)
        )

    async def ExportSnapshot(
        self, request: pb.ExportSnapshotRequest, context: Any
    ) -> AsyncIterator[pb.ExportSnapshotResponse]:
        """See image.proto."""
        operation = operation_of(context)

        def work(emit: Callable[[bytes], None]) -> None:
            views.export(self._store, request.key, operation, emit)

        async for chunk in self._bridge.stream(operation, work):
            yield pb.ExportSnapshotResponse(chunk=chunk)

    async def CommitSnapshot(
        self, request: pb.CommitSnapshotRequest, context: Any
    ) -> pb.CommitSnapshotResponse:
        """See image.proto."""
        operation = operation_of(context)
        options = views.commit_options(request)
        image = await self._bridge.long(operation, lambda: commit.commit(self._store, options, operation))
        return pb.CommitSnapshotResponse(image_id=image.id)

    # --- build ---------------------------------------------------------------------------------
    @property
    def _build(self) -> Builder:
        if self._builder is None:
            self._builder = load_builder(self._store)
        return self._builder

    async def BuildImage(
        self, request_iterator: AsyncIterator[pb.BuildImageRequest], context: Any
    ) -> AsyncIterator[pb.BuildImageResponse]:
        """See image.proto."""
        async for response in self._build.build(request_iterator, operation_of(context)):
            yield response

    async def PruneBuildCache(
        self, request: pb.PruneBuildCacheRequest, context: Any
    ) -> pb.PruneBuildCacheResponse:
        """See image.proto."""
        return await self._build.prune(request)

    # --- disk ----------------------------------------------------------------------------------
    async def GetImageDiskUsage(
        self, request: pb.GetImageDiskUsageRequest, context: Any
    ) -> pb.GetImageDiskUsageResponse:
        """See image.proto."""
        response = await self._bridge.long(operation_of(context), lambda: views.disk_usage(self._store))
        try:
            size, entries = await self._bridge.quick(self._build.usage)
        except UnsupportedError:
            return response
        response.build_cache_size_bytes, response.build_cache_entries = size, entries
        return response

    async def CollectGarbage(
        self, request: pb.CollectGarbageRequest, context: Any
    ) -> pb.CollectGarbageResponse:
        """See image.proto."""
        garbage = await self._bridge.quick(self._store.collect_garbage)
        removed = len(garbage.layers) + len(garbage.blobs)
        return pb.CollectGarbageResponse(reclaimed_bytes=garbage.reclaimed, removed=removed)
