"""docker save: images as a tar that is a docker-archive and an OCI image layout at once.

Layers go in as the compressed blobs they came as (both formats allow it), so digests survive.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from trine.image import reference, spec
from trine.image.layers import tarformat
from trine.image.manifests import MANIFEST_ANNOTATION, as_oci, manifest_of
from trine.image.models import Image
from trine.image.operation import Operation
from trine.image.store import ImageStore, no_such_image
from trine.kit.errors import NotFoundError

_CHUNK = 1024 * 1024


def chosen(store: ImageStore, names: list[str]) -> list[tuple[Image, tuple[str, ...]]]:
    """Return the images to save, each with the canonical tags to save it under. Raises NotFoundError."""
    found: dict[str, tuple[Image, dict[str, None]]] = {}
    for name in names:
        images: list[tuple[Image, list[str]]] = []
        try:
            parsed = reference.parse(name)
        except Exception:
            parsed = None
        if parsed is not None and not parsed.tag and not parsed.digest:
            # A bare repository stands for all its tags.
            for tag in store.catalog.tags_of(parsed.name):
                image_id = store.catalog.named(parsed.with_tag(tag))
                if image_id is not None:
                    images.append((store.image(image_id), [str(parsed.with_tag(tag))]))
        if not images:
            try:
                image = store.resolve(name)
            except NotFoundError as error:
                raise no_such_image(name) from error  # in the words given: save adds no tag
            by_id = reference.id_prefix_matches(image.id, name)
            named = [] if by_id or parsed is None or parsed.digest else [str(parsed.with_default_tag())]
            images.append((image, named))
        for image, tags in images:
            _, known = found.setdefault(image.id, (image, {}))
            known.update(dict.fromkeys(tags))
    return [(image, tuple(tags)) for image, tags in found.values()]


class _Writer:
    def __init__(self, emit: Callable[[bytes], None], now: int) -> None:
        self._emit = emit
        self._now = now
        self._buffer = bytearray()
        self._seen: set[str] = set()

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _CHUNK:
            self._emit(bytes(self._buffer[:_CHUNK]))
            del self._buffer[:_CHUNK]

    def begin(self, name: str, size: int) -> bool:
        if name in self._seen:
            return False
        self._seen.add(name)
        entry = tarformat.Entry()
        entry.name, entry.mtime_ns = name.encode(), self._now * 10**9
        if name.endswith("/"):
            entry.type, entry.mode = tarformat.DIRECTORY, 0o755
        entry.size = size
        self.write(tarformat.header(entry))
        return True

    def file(self, name: str, data: bytes) -> None:
        if self.begin(name, len(data)):
            self.write(data + tarformat.padding(len(data)))

    def end(self) -> None:
        self.write(tarformat.END)
        if self._buffer:
            self._emit(bytes(self._buffer))


def save(store: ImageStore, names: list[str], operation: Operation, emit: Callable[[bytes], None]) -> None:
    """Give ``emit`` the tar in chunks of at most 1 MiB. Raises NotFoundError before anything is given."""
    images = chosen(store, names)
    with store.lease() as lease:
        for image, _ in images:
            lease.pin(image.diff_ids)
        writer = _Writer(emit, int(time.time()))
        for directory in ("blobs/", "blobs/sha256/"):
            writer.begin(directory, 0)
        docker: list[dict[str, object]] = []
        index: list[dict[str, object]] = []
        repositories: dict[str, dict[str, str]] = {}
        for image, tags in images:
            media_type, raw, blobs = manifest_of(store, image)
            digest = spec.sha256(raw)
            for blob in blobs:
                operation.check()
                if writer.begin(_path(blob.digest), blob.size):
                    _copy(store, blob.digest, blob.size, writer, operation)
            writer.file(_path(image.id), image.raw)
            writer.file(_path(digest), raw)
            familiar = [reference.parse_canonical(tag).familiar for tag in tags]
            docker.append(
                {
                    "Config": _path(image.id),
                    "RepoTags": familiar or None,
                    "Layers": [_path(blob.digest) for blob in blobs],
                }
            )
            layout = as_oci(raw, media_type)
            writer.file(_path(spec.sha256(layout)), layout)
            entry = {"mediaType": spec.OCI_MANIFEST, "digest": spec.sha256(layout), "size": len(layout)}
            for tag in tags or [""]:
                index.append({**entry, "annotations": {**_annotations(tag), MANIFEST_ANNOTATION: digest}})
            for tag in tags:
                found = reference.parse_canonical(tag)
                top = (blobs[-1].digest if blobs else image.id).removeprefix("sha256:")
                repositories.setdefault(found.familiar_name, {})[found.tag] = top
        writer.file(
            "index.json", spec.dump({"schemaVersion": 2, "mediaType": spec.OCI_INDEX, "manifests": index})
        )
        writer.file("manifest.json", json.dumps(docker, separators=(",", ":")).encode())
        writer.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        if repositories:
            writer.file("repositories", spec.dump(repositories))
        writer.end()


def _annotations(tag: str) -> dict[str, str]:
    if not tag:
        return {}
    name = reference.parse_canonical(tag)
    return {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": name.tag}


def _path(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _copy(store: ImageStore, digest: str, size: int, writer: _Writer, operation: Operation) -> None:
    descriptor = os.open(store.content.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        while data := os.read(descriptor, _CHUNK):
            operation.check()
            writer.write(data)
    finally:
        os.close(descriptor)
    writer.write(tarformat.padding(size))
