"""Pull: a reference becomes an image here, or nothing has changed.

Manifest → config → layers (three downloads at a time, two unpacked at a time, each layer a directory
of its own) → one transaction for image, manifests and names.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from trine.image import reference, spec
from trine.image.models import Blob, Credentials, Emit, LayerStatus, Line, Pulled
from trine.image.operation import Operation
from trine.image.overlap import Overlap
from trine.image.reference import Reference
from trine.image.registry import Connection, Registry, RegistryError, UnreachableError
from trine.image.spec import Descriptor, Index, Manifest
from trine.image.store import ImageStore, Lease
from trine.kit.errors import (
    CancelledError,
    DataLossError,
    EngineError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)

_DOWNLOADS = 3
_THREADS = 6
_TELL_SECONDS = 0.1
_OVERLAPPED = 2  # as many layers before the end, each is unpacked while it is downloaded
_REGISTER = "failed to register layer: "
# A layer may unpack to this much plus so many times its compressed size. Ordinary layers reach 3 to
# 10 times, logs 40; a gzip bomb 1,000. (docs/image.md, "Limits")
_UNPACK_BASE = 128 * 1024 * 1024
_UNPACK_RATIO = 100


def translate(error: RegistryError, name: Reference) -> EngineError:
    """Return the error Docker shows for what a registry answered to a pull or push of ``name``."""
    shown = f"{name.familiar_name}@{name.digest}" if name.digest else name.familiar
    if error.code == "DENIED":
        return PermissionDeniedError(
            f"pull access denied for {name.familiar_name}, repository does not exist or may require "
            f"'trine login': {error.text}",
            reason="ACCESS_DENIED",
        )
    if error.code in ("MANIFEST_UNKNOWN", "TAG_UNKNOWN"):
        return NotFoundError(f"manifest for {shown} not found: {error.text}", reason="NO_SUCH_MANIFEST")
    if error.code == "NAME_UNKNOWN":
        return NotFoundError(
            f"repository {name.familiar_name} not found: {error.text}", reason="NO_SUCH_REPOSITORY"
        )
    if error.code == "UNAUTHORIZED":
        return UnauthenticatedError(error.text)
    if error.status == 404:
        return NotFoundError(f"manifest for {shown} not found: {error.text}", reason="NO_SUCH_MANIFEST")
    return UnavailableError(error.text if error.code else f'Get "{error.url}": {error.text}')


def pull_one(
    store: ImageStore,
    name: Reference,
    operation: Operation,
    emit: Emit,
    platform: str = "",
    credentials: Credentials | None = None,
) -> Pulled:
    """Pull one tag or digest from the first endpoint that has it. Raises EngineError."""
    wanted = spec.parse_platform(platform)
    if name.name == "docker.io/library/scratch":
        raise InvalidArgumentError("'scratch' is a reserved name")
    failure: EngineError | None = None
    for endpoint in store.registry.endpoints(name.domain):
        registry = Registry(
            endpoint, name.path, None if endpoint.mirror else credentials, operation, store.registry
        )
        try:
            return _Pull(store, name, registry, operation, emit, wanted, bool(platform)).run()
        except RegistryError as error:
            failure = translate(error, name)
        except UnreachableError as error:
            # What a mirror answered says more than that Docker Hub cannot be reached from here.
            failure = failure or error
        except OSError as error:
            raise _disk_error(error) from None
        if not endpoint.mirror:
            break
    raise failure or UnavailableError(f"no registry for {name.familiar}")


def pull_all(
    store: ImageStore, name: Reference, operation: Operation, emit: Emit, credentials: Credentials | None
) -> Pulled:
    """Pull every tag of a repository (--all-tags)."""
    failure: EngineError | None = None
    tags: list[str] = []
    for endpoint in store.registry.endpoints(name.domain):
        registry = Registry(
            endpoint, name.path, None if endpoint.mirror else credentials, operation, store.registry
        )
        try:
            with registry.connect() as connection:
                for page in connection.pages(f"/v2/{name.path}/tags/list", "tags"):
                    tags += [tag for tag in page if reference.is_tag(tag)]
            break
        except RegistryError as error:
            failure = translate(error, name)
        except UnreachableError as error:
            failure = failure or error
    if not tags:
        raise failure or NotFoundError(f"repository {name.familiar_name} has no tags")
    news = False
    result: Pulled | None = None
    for tag in tags:
        lines: list[str] = []

        def each(event: Line | LayerStatus, lines: list[str] = lines) -> None:
            if isinstance(event, Line) and event.text.startswith("Status: "):
                lines.append(event.text)
            else:
                emit(event)

        result = pull_one(store, name.with_tag(tag), operation, each, "", credentials)
        news = news or not result.up_to_date
    emit(Line(status_line(name.familiar_name, news)))
    assert result is not None
    return result


def status_line(familiar: str, news: bool) -> str:
    """Return Docker's last line of a pull."""
    what = "Downloaded newer image" if news else "Image is up to date"
    return f"Status: {what} for {familiar}"


def _disk_error(error: OSError) -> EngineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhaustedError(
            f"write {error.filename or 'blob'}: no space left on device", reason="NO_SPACE"
        )
    return UnavailableError(f"{error.filename or 'image store'}: {(error.strerror or str(error)).lower()}")


class _Pull:
    """One pull from one endpoint."""

    def __init__(
        self,
        store: ImageStore,
        name: Reference,
        registry: Registry,
        operation: Operation,
        emit: Emit,
        platform: spec.Platform,
        platform_given: bool,
    ) -> None:
        self._store = store
        self._name = name
        self._registry = registry
        self._operation = operation
        self._emit = emit
        self._platform = platform
        self._platform_given = platform_given
        self._downloads = threading.BoundedSemaphore(_DOWNLOADS)
        self._lock = threading.Lock()
        self._complete: list[str | None] = []  # by layer: what to say in its turn, "" when said
        self._told = 0
        self._left = 0  # layers that are not here yet
        self._manifests: list[tuple[str, str, bytes]] = []

    def run(self) -> Pulled:
        with self._registry.connect() as connection:
            manifest, manifest_digest, name_digest = self._manifest(connection)
            config = self._config(connection, manifest)
        facts = spec.parse_config(config)
        if len(facts.diff_ids) != len(manifest.layers):
            raise InvalidArgumentError(
                "invalid manifest: number of layers and diffIDs don't match: "
                f"{len(manifest.layers)} != {len(facts.diff_ids)}"
            )
        actual = facts.platform
        if self._platform_given and actual.architecture != self._platform.architecture:
            raise NotFoundError(
                f"image with reference {self._name.familiar} was found but does not match the specified "
                f"platform: wanted {self._platform}, actual: {actual}",
                reason="NO_MATCHING_PLATFORM",
            )
        store, image_id = self._store, manifest.config.digest
        known = store.catalog.named(self._name) == image_id
        with store.lease() as lease:
            lease.pin(facts.diff_ids)
            if store.catalog.image(image_id) is None:
                self._layers(manifest, facts.diff_ids, lease)
            self._operation.check()

            def also(db: sqlite3.Connection, image_id: str) -> None:
                for digest, media_type, raw in self._manifests:
                    main = digest == manifest_digest
                    store.catalog.put_manifest(db, image_id, digest, media_type, raw, main=main)
                if not known and self._name.tag:
                    store.catalog.put_name(db, self._name.with_tag(self._name.tag), image_id)
                store.catalog.put_name(db, self._name.with_digest(name_digest), image_id)
                for layer in manifest.layers:
                    store.catalog.put_source(db, layer.digest, self._name.domain, self._name.path)

            store.add_image(config, also=also)
        self._emit(Line(f"Digest: {name_digest}"))
        self._emit(Line(status_line(self._name.familiar, not known)))
        return Pulled(image_id, name_digest, known)

    def _manifest(self, connection: Connection) -> tuple[Manifest, str, str]:
        """Return the manifest for the platform, its digest, and the digest of what the name stands for."""
        what = self._name.digest or self._name.tag
        raw, media_type, digest = connection.manifest(what)
        found = spec.parse_manifest(raw, media_type)
        shown = str(self._name) if self._name.digest else what
        self._emit(Line(f"{shown}: Pulling from {self._name.path}"))
        if isinstance(found, Manifest):
            self._manifests.append((digest, found.media_type, raw))
            return found, digest, digest
        self._manifests.append((digest, found.media_type, raw))
        chosen = spec.select(found, self._platform, self._name.familiar)
        inner, inner_type, _ = connection.manifest(chosen.digest)
        if len(inner) != chosen.size:
            raise DataLossError(
                f"manifest verification failed for digest {chosen.digest}: size is not {chosen.size}"
            )
        manifest = spec.parse_manifest(inner, inner_type)
        if isinstance(manifest, Index):
            raise InvalidArgumentError("invalid manifest: a list of manifests inside a list of manifests")
        self._manifests.append((chosen.digest, manifest.media_type, inner))
        return manifest, chosen.digest, digest

    def _config(self, connection: Connection, manifest: Manifest) -> bytes:
        known = self._store.catalog.image(manifest.config.digest)
        if known is not None:
            return known.raw
        return connection.small_blob(manifest.config, spec.CONFIG_LIMIT)

    # --- layers --------------------------------------------------------------------------------
    def _layers(self, manifest: Manifest, diff_ids: tuple[str, ...], lease: Lease) -> None:
        self._store.workers.warm()
        self._complete = [None] * len(diff_ids)
        missing: list[int] = []
        for i, layer in enumerate(manifest.layers):
            if self._store.layer(diff_ids[i]) is not None or diff_ids[i] in diff_ids[:i]:
                self._status(layer, "Already exists")
                self._complete[i] = ""
            else:
                self._status(layer, "Pulling fs layer")
                missing.append(i)
        self._left = len(missing)
        for i in missing[_DOWNLOADS:]:
            self._status(manifest.layers[i], "Waiting")
        inner = Operation()
        self._registry.operation = inner
        failure: BaseException | None = None
        with self._operation.on_cancel(inner.cancel), ThreadPoolExecutor(_THREADS, "pull") as pool:
            jobs = [pool.submit(self._layer, manifest.layers, i, diff_ids[i], lease, inner) for i in missing]
            for job in as_completed(jobs):
                error = job.exception()
                if error is not None and (failure is None or isinstance(failure, CancelledError)):
                    failure = error
                    inner.cancel()
        self._registry.operation = self._operation
        self._operation.check()
        if failure is not None:
            raise failure

    def _layer(
        self, layers: tuple[Descriptor, ...], i: int, diff_id: str, lease: Lease, operation: Operation
    ) -> None:
        layer, store = layers[i], self._store
        with store.in_flight.hold(diff_id, operation):
            if store.layer(diff_id) is not None:
                self._finish(layers, i, "Already exists")
                return
            blob_file = store.content.temporary("blob")
            target = store.content.temporary_layer()
            registered = False
            request = {
                "op": "unpack",
                "source": str(blob_file),
                "target": str(target / "fs"),
                "limit": _UNPACK_BASE + _UNPACK_RATIO * layer.size,
            }
            overlap = Overlap(store.workers, request, layer.size, _REGISTER)
            try:
                self._download(layer, blob_file, overlap, operation)
                self._status(layer, "Download complete")
                facts = overlap.result(operation) or store.workers.call(
                    request,
                    operation,
                    self._teller(layer, "Extracting"),
                    prefix=_REGISTER,
                    started=lambda: self._status(layer, "Extracting", 0, layer.size),
                )
                if facts["diff_id"] != diff_id:
                    raise DataLossError(
                        f"layers from manifest don't match image configuration: layer {layer.digest[7:19]} "
                        f"unpacks to {facts['diff_id']}, not {diff_id}"
                    )
                blob = Blob(layer.digest, layer.size, layer.media_type, diff_id)
                store.put_layer(target, facts, blob, blob_file, lease)
                registered = True
            finally:
                overlap.close()
                if not registered:
                    store.content.discard(target)
                blob_file.unlink(missing_ok=True)
        self._finish(layers, i, "Pull complete")

    def _download(self, layer: Descriptor, blob_file: Path, overlap: Overlap, operation: Operation) -> None:
        """Download a layer; one of the last is unpacked meanwhile, where nothing waits for the workers."""
        tell_download = self._teller(layer, "Downloading")
        tell_extraction = self._teller(layer, "Extracting")
        complete = False

        def extracted(done: int) -> None:
            if complete:
                tell_extraction(done)

        def downloaded(done: int) -> None:
            tell_download(done)
            if self._left <= _OVERLAPPED:
                overlap.begin(extracted)

        with self._downloads, self._registry.connect() as connection:
            operation.check()
            connection.download(layer, blob_file, downloaded)
            self._status(layer, "Verifying Checksum")
        complete = True

    def _finish(self, layers: tuple[Descriptor, ...], i: int, status: str) -> None:
        """Tell completion in the order of the layers, as Docker's registering does."""
        with self._lock:
            self._complete[i] = status
            self._left -= 1
            while self._told < len(layers) and (said := self._complete[self._told]) is not None:
                if said:
                    self._status(layers[self._told], said)
                self._told += 1

    def _status(self, layer: Descriptor, status: str, current: int = 0, total: int = 0) -> None:
        self._emit(LayerStatus(reference.short_id(layer.digest), status, current, total))

    def _teller(self, layer: Descriptor, status: str) -> Callable[[int], None]:
        last = 0.0

        def tell(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _TELL_SECONDS or done == layer.size:
                last = now
                self._status(layer, status, done, layer.size)

        return tell
