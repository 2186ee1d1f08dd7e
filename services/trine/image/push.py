"""Push: layers the registry lacks, then the config, then the manifest, under Docker's lines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from trine.image import reference, spec
from trine.image.manifests import manifest_of
from trine.image.models import Blob, Credentials, Emit, Image, LayerStatus, Line
from trine.image.operation import Operation
from trine.image.reference import Reference
from trine.image.registry import Connection, Registry, RegistryError, UnreachableError
from trine.image.spec import Descriptor
from trine.image.store import ImageStore
from trine.kit.errors import (
    CancelledError,
    EngineError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

_UPLOADS = 5
_ATTEMPTS = 5  # of one layer's upload
_TELL_SECONDS = 0.1
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Pushed:
    """What a push of one tag ended with."""

    tag: str
    digest: str
    size: int


def _translate(error: RegistryError, name: Reference) -> EngineError:
    if error.code == "DENIED":
        return PermissionDeniedError(error.text, reason="ACCESS_DENIED")
    if error.code == "UNAUTHORIZED":
        return UnauthenticatedError(error.text)
    if error.code == "NAME_UNKNOWN":
        return NotFoundError(f"repository {name.familiar_name} not found: {error.text}")
    return UnavailableError(error.text)


def push(
    store: ImageStore,
    text: str,
    operation: Operation,
    emit: Emit,
    *,
    all_tags: bool = False,
    credentials: Credentials | None = None,
) -> list[Pushed]:
    """Push a tag, or all local tags of a repository. Raises EngineError."""
    name = reference.parse(text)
    if name.digest:
        raise InvalidArgumentError("cannot push a digest reference")
    tags = store.catalog.tags_of(name.name) if all_tags else [name.with_default_tag().tag]
    emit(Line(f"The push refers to repository [{name.name}]"))
    images: list[tuple[Reference, Image]] = []
    for tag in tags:
        image_id = store.catalog.named(name.with_tag(tag))
        if image_id is not None:
            images.append((name.with_tag(tag), store.image(image_id)))
    if not images:
        if all_tags:
            raise NotFoundError(f"An image does not exist locally with the tag: {name.familiar_name}")
        raise NotFoundError(
            f"tag does not exist: {name.with_default_tag().familiar}"
            if store.catalog.tags_of(name.name)
            else f"An image does not exist locally with the tag: {name.familiar_name}",
            reason="NO_SUCH_IMAGE",
        )
    endpoint = store.registry.endpoints(name.domain, push=True)[0]
    registry = Registry(endpoint, name.path, credentials, operation, store.registry, "pull,push")
    try:
        return [_Push(store, found, registry, operation, emit).run(image) for found, image in images]
    except RegistryError as error:
        raise _translate(error, name) from None


class _Push:
    def __init__(
        self, store: ImageStore, name: Reference, registry: Registry, operation: Operation, emit: Emit
    ) -> None:
        self._store = store
        self._name = name
        self._registry = registry
        self._operation = operation
        self._emit = emit

    def run(self, image: Image) -> Pushed:
        media_type, raw, layers = manifest_of(self._store, image)
        digest = spec.sha256(raw)
        with self._store.lease() as lease:
            lease.pin(image.diff_ids)
            self._layers(layers)
            with self._registry.connect() as connection:
                config = Descriptor(spec.DOCKER_CONFIG, image.id, len(image.raw))
                if not connection.has_blob(config.digest):
                    location = connection.start_upload()
                    connection.upload(location, config.digest, config.size, lambda: image.raw)
                connection.put_manifest(self._name.tag, media_type, raw)
        with self._store.catalog.database.transaction() as db:
            if self._store.catalog.image(image.id) is not None:
                main = not image.manifest_digest
                self._store.catalog.put_manifest(db, image.id, digest, media_type, raw, main=main)
                self._store.catalog.put_name(db, self._name.with_digest(digest), image.id)
                for blob in layers:
                    self._store.catalog.put_source(db, blob.digest, self._name.domain, self._name.path)
        self._emit(Line(f"{self._name.tag}: digest: {digest} size: {len(raw)}"))
        return Pushed(self._name.tag, digest, len(raw))

    def _layers(self, blobs: list[Blob]) -> None:
        unique = list({blob.digest: blob for blob in blobs}.values())
        for blob in reversed(unique):
            self._status(blob, "Preparing")
        inner = Operation()
        self._registry.operation = inner
        failure: BaseException | None = None
        with self._operation.on_cancel(inner.cancel), ThreadPoolExecutor(_UPLOADS, "push") as pool:
            jobs = [pool.submit(self._layer, blob) for blob in reversed(unique)]
            for job in as_completed(jobs):
                error = job.exception()
                if error is not None and (failure is None or isinstance(failure, CancelledError)):
                    failure = error
                    inner.cancel()
        self._registry.operation = self._operation
        self._operation.check()
        if failure is not None:
            raise failure

    def _layer(self, blob: Blob) -> None:
        with self._registry.connect() as connection:
            if connection.has_blob(blob.digest):
                self._status(blob, "Layer already exists")
                return
            location = self._mount(connection, blob)
            if not location:
                return
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._upload(connection, blob, location or connection.start_upload())
                    break
                except (RegistryError, UnreachableError) as error:
                    passing = not isinstance(error, RegistryError) or error.status >= 500
                    if not passing or attempt == _ATTEMPTS:
                        raise
                # A broken upload can't be gone on with: it begins anew, at a new place.
                location = ""
                self._wait(blob, 2 ** (attempt - 1))
            self._status(blob, "Pushed")

    def _upload(self, connection: Connection, blob: Blob, location: str) -> None:
        self._status(blob, "Pushing", 0, blob.size)
        path = self._store.content.blob(blob.digest)
        connection.upload(
            location, blob.digest, blob.size, lambda: _read(path, self._operation, self._teller(blob))
        )

    def _wait(self, blob: Blob, seconds: int) -> None:
        for left in range(seconds, 0, -1):
            self._status(blob, f"Retrying in {left} second{'s' if left > 1 else ''}")
            self._registry.operation.sleep(1.0)

    def _mount(self, connection: Connection, blob: Blob) -> str:
        """Mount from a repository of the same registry that has it; return an upload URL if none did."""
        for source in self._store.catalog.sources(blob.digest, self._name.domain)[:3]:
            if source == self._name.path:
                continue
            try:
                location = connection.start_upload(blob.digest, source)
            except RegistryError:
                continue  # it may not be readable for us any more
            if not location:
                self._status(blob, f"Mounted from {source}")
            return location
        return connection.start_upload()

    def _status(self, blob: Blob, status: str, current: int = 0, total: int = 0) -> None:
        self._emit(LayerStatus(reference.short_id(blob.diff_id), status, current, total))

    def _teller(self, blob: Blob) -> Callable[[int], None]:
        last = 0.0
        lock = threading.Lock()

        def tell(done: int) -> None:
            nonlocal last
            with lock:
                now = time.monotonic()
                if now - last >= _TELL_SECONDS:
                    last = now
                    self._status(blob, "Pushing", done, blob.size)

        return tell


def _read(path: Path, operation: Operation, progress: Callable[[int], None]) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    done = 0
    try:
        while data := os.read(descriptor, _CHUNK):
            operation.check()
            done += len(data)
            progress(done)
            yield data
    finally:
        os.close(descriptor)
