"""docker load: images from a docker-archive or an OCI image layout, in a tar, compressed or not.

The archive is read in place: an index of its members, then only what is needed. Nothing is ever
unpacked by a name the archive gives.
"""

from __future__ import annotations

import json
import os
import posixpath
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from trine.image import reference, spec
from trine.image.layers import compression, tarformat
from trine.image.layers.tarformat import TarError
from trine.image.manifests import MANIFEST_ANNOTATION
from trine.image.models import Image
from trine.image.operation import Operation
from trine.image.reference import Reference
from trine.image.store import ImageStore
from trine.kit.errors import DataLossError, EngineError, InvalidArgumentError

_MEMBERS = 100_000
_JSON_LIMIT = 16 * 1024 * 1024
_LINKS = 10
_TYPES = {"gzip": spec.DOCKER_LAYER, "zstd": spec.OCI_LAYER_ZSTD}

Tell = Callable[[str], None]


def _invalid(text: str) -> InvalidArgumentError:
    if text == "unexpected EOF":  # cut off: in Docker's words
        text = f"Error processing tar file(exit status 1): {text}"
    else:
        text = f"invalid archive: {text}"
    return InvalidArgumentError(text, reason="INVALID_ARCHIVE")


@dataclass(frozen=True)
class _Member:
    offset: int
    size: int
    link: str = ""


class _FileSource:
    """A tarformat.Source over a file: skipping is seeking."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._length = length

    def take(self, count: int) -> bytes:
        """Return exactly ``count`` bytes."""
        data = self._file.read(count)
        if len(data) != count:
            raise TarError("unexpected EOF")
        return data

    def take_or_end(self, count: int) -> bytes:
        """As ``take``, but return b"" when the file ends exactly here."""
        return b"" if self._file.tell() == self._length else self.take(count)

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        if self._file.tell() + count > self._length:
            raise TarError("unexpected EOF")
        self._file.seek(count, os.SEEK_CUR)

    def left(self) -> int:
        """How many bytes follow."""
        return self._length - self._file.tell()

    def tell(self) -> int:
        """Where the next byte is."""
        return self._file.tell()


def _clean(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


class Archive:
    """The members of a plain tar by name."""

    def __init__(self, path: Path) -> None:
        """Index the file. Raises InvalidArgumentError."""
        self.path = path
        self._members: dict[str, _Member] = {}
        self._file = path.open("rb")
        source = _FileSource(self._file, path.stat().st_size)
        try:
            for entry in tarformat.entries(source):
                name = _clean(os.fsdecode(entry.name))
                if entry.type == tarformat.REGULAR and entry.sparse is None:
                    self._members[name] = _Member(source.tell(), entry.size)
                elif entry.type == tarformat.SYMLINK:
                    target = posixpath.join(posixpath.dirname("/" + name), os.fsdecode(entry.link))
                    self._members[name] = _Member(0, 0, _clean(target))
                elif entry.type == tarformat.HARD_LINK:
                    self._members[name] = _Member(0, 0, _clean(os.fsdecode(entry.link)))
                if len(self._members) > _MEMBERS:
                    raise _invalid("too many members")
                if entry.stored:
                    source.skip(entry.stored)
                    source.skip(min(-entry.stored % tarformat.BLOCK, source.left()))
        except TarError as error:
            self.close()
            raise _invalid(str(error)) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def find(self, name: str) -> _Member | None:
        """Return a member, links followed inside the archive."""
        for _ in range(_LINKS):
            member = self._members.get(_clean(name))
            if member is None or not member.link:
                return member
            name = member.link
        return None

    def member(self, name: object) -> _Member:
        """Return a member. Raises InvalidArgumentError when there is none."""
        found = self.find(name) if isinstance(name, str) else None
        if found is None:
            raise _invalid(f"{tarformat.show(str(name).encode())}: no such file")
        return found

    def read(self, name: object, limit: int = _JSON_LIMIT) -> bytes:
        """Return a small member's content."""
        member = self.member(name)
        if member.size > limit:
            raise _invalid(f"{tarformat.show(str(name).encode())} is larger than {limit} bytes")
        self._file.seek(member.offset)
        return self._file.read(member.size)

    def document(self, name: str) -> Any:
        """Return a JSON member."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError):
            raise _invalid(f"{name} is not valid JSON") from None

    def compression_of(self, member: _Member) -> str:
        """Return how a member is compressed."""
        self._file.seek(member.offset)
        return compression.detect(self._file.read(min(8, member.size)))


def load(store: ImageStore, source: Path, operation: Operation, tell: Tell) -> None:
    """Load every image of an archive, telling Docker's lines. Raises EngineError."""
    plain = _plain(store, source, operation)
    try:
        archive = Archive(plain)
        try:
            _Loader(store, archive, operation, tell).run()
        finally:
            archive.close()
    finally:
        if plain != source:
            plain.unlink(missing_ok=True)


def _plain(store: ImageStore, source: Path, operation: Operation) -> Path:
    """Return the file, or an uncompressed copy."""
    with source.open("rb") as reader:
        kind = compression.detect(reader.read(8))
        if kind == "none":
            return source
        reader.seek(0)
        target = store.content.temporary("archive")
        try:
            with target.open("xb") as writer:
                for chunk in compression.decompress(reader.read, kind):
                    operation.check()
                    writer.write(chunk)
        except TarError as error:
            target.unlink(missing_ok=True)
            raise _invalid(str(error)) from None
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return target


@dataclass(frozen=True)
class _Wanted:
    """One image of an archive."""

    config: bytes
    layers: list[_Member]
    names: list[Reference]
    manifest: tuple[str, str, bytes] | None = None  # digest, media type, bytes
    digests: tuple[str, ...] = ()  # of the layers, when a manifest says them


class _Loader:
    def __init__(self, store: ImageStore, archive: Archive, operation: Operation, tell: Tell) -> None:
        self._store = store
        self._archive = archive
        self._operation = operation
        self._tell = tell

    def run(self) -> None:
        if self._archive.find("manifest.json") is not None:
            wanted = self._docker()
        elif self._archive.find("index.json") is not None:
            wanted = self._oci(self._archive.document("index.json"), 0)
        elif self._archive.find("repositories") is not None:
            raise _invalid("images of Docker before 1.10 (no manifest.json) are not supported")
        else:
            raise _invalid("neither manifest.json nor index.json: not made by save")
        if not wanted:
            raise _invalid("no image in it")
        for image in wanted:
            self._one(image)

    # --- what there is -------------------------------------------------------------------------
    def _docker(self) -> list[_Wanted]:
        entries = self._archive.document("manifest.json")
        if not isinstance(entries, list):
            raise _invalid("manifest.json is not a list")
        kept = self._manifests_by_config()
        wanted: list[_Wanted] = []
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("Layers") or [], list):
                raise _invalid("manifest.json holds something that is not an image")
            names = [self._name(tag) for tag in entry.get("RepoTags") or []]
            config = self._archive.read(entry.get("Config"), spec.CONFIG_LIMIT)
            layers = [self._archive.member(layer) for layer in entry.get("Layers") or []]
            found = kept.get(spec.sha256(config))
            if found is not None and len(found[1]) == len(layers):
                wanted.append(_Wanted(config, layers, names, *found))
            else:
                wanted.append(_Wanted(config, layers, names))
        return wanted

    def _manifests_by_config(self) -> dict[str, tuple[tuple[str, str, bytes], tuple[str, ...]]]:
        """Return the manifests of an archive that is an OCI layout too, by config digest."""
        if self._archive.find("index.json") is None:
            return {}
        found: dict[str, tuple[tuple[str, str, bytes], tuple[str, ...]]] = {}
        try:
            for image in self._oci(self._archive.document("index.json"), 0):
                if image.manifest is not None:
                    found[spec.sha256(image.config)] = (image.manifest, image.digests)
        except EngineError:
            return {}  # a docker-archive is loaded by its manifest.json whatever else is in it
        return found

    def _oci(self, document: Any, depth: int) -> list[_Wanted]:
        entries = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(entries, list) or depth > 2:
            raise _invalid("index.json is not an image index")
        wanted: dict[str, _Wanted] = {}
        for entry in entries:
            if not isinstance(entry, dict) or not reference.is_digest(str(entry.get("digest"))):
                raise _invalid("index.json holds something that is not a descriptor")
            annotations = entry.get("annotations")
            image = self._oci_image(str(entry["digest"]), depth)
            image = self._as_it_was(image, annotations)
            names = self._annotated(annotations)
            known = wanted.get(str(entry["digest"]))
            if known is not None:
                known.names.extend(names)
            else:
                image.names.extend(names)
                wanted[str(entry["digest"])] = image
        return list(wanted.values())

    def _as_it_was(self, image: _Wanted, annotations: Any) -> _Wanted:
        """Return the image with the manifest its registry had, which our save keeps beside the OCI one."""
        digest = annotations.get(MANIFEST_ANNOTATION) if isinstance(annotations, dict) else None
        if not isinstance(digest, str) or self._archive.find(_blob_path(digest)) is None:
            return image
        raw = self._blob(digest, spec.MANIFEST_LIMIT)
        found = spec.parse_manifest(raw)
        layers = tuple(layer.digest for layer in found.layers) if isinstance(found, spec.Manifest) else ()
        if layers != image.digests or not isinstance(found, spec.Manifest):
            return image
        if found.config.digest != spec.sha256(image.config):
            return image
        return replace(image, manifest=(digest, found.media_type, raw))

    def _oci_image(self, digest: str, depth: int) -> _Wanted:
        raw = self._blob(digest, spec.MANIFEST_LIMIT)
        found = spec.parse_manifest(raw)
        if isinstance(found, spec.Index):
            if depth:
                raise _invalid("an index inside an index inside an index")
            return self._oci_image(spec.select(found, spec.host_platform(), "archive").digest, depth + 1)
        config = self._blob(found.config.digest, spec.CONFIG_LIMIT)
        layers = [self._archive.member(_blob_path(layer.digest)) for layer in found.layers]
        for member, layer in zip(layers, found.layers, strict=True):
            if member.size != layer.size:
                raise DataLossError(
                    f"blob verification failed for digest {layer.digest}: size is not {layer.size}"
                )
        digests = tuple(layer.digest for layer in found.layers)
        return _Wanted(config, layers, [], (digest, found.media_type, raw), digests)

    def _blob(self, digest: str, limit: int) -> bytes:
        raw = self._archive.read(_blob_path(digest), limit)
        if spec.sha256(raw) != digest:
            raise DataLossError(f"blob verification failed for digest {digest}")
        return raw

    def _annotated(self, annotations: Any) -> list[Reference]:
        if not isinstance(annotations, dict):
            return []
        full = annotations.get("io.containerd.image.name")
        short = annotations.get("org.opencontainers.image.ref.name")
        for text in (full, short if isinstance(short, str) and (":" in short or "/" in short) else None):
            if isinstance(text, str):
                return [self._name(text)]
        return []

    @staticmethod
    def _name(text: object) -> Reference:
        if not isinstance(text, str):
            raise _invalid("an image name is not a text")
        return reference.parse_tagged(text)

    # --- what becomes of it --------------------------------------------------------------------
    def _one(self, wanted: _Wanted) -> None:
        facts = spec.parse_config(wanted.config)
        if len(facts.diff_ids) != len(wanted.layers):
            raise _invalid(
                f"layers length mismatch: expected {len(facts.diff_ids)}, got {len(wanted.layers)}"
            )
        store = self._store
        with store.lease() as lease:
            lease.pin(facts.diff_ids)
            for i, (diff_id, member) in enumerate(zip(facts.diff_ids, wanted.layers, strict=True)):
                with store.in_flight.hold(diff_id, self._operation):
                    if store.layer(diff_id) is not None:
                        continue
                    kind = self._archive.compression_of(member)
                    place = (self._archive.path, member.offset, member.size)
                    digest = wanted.digests[i] if wanted.digests else ""
                    if kind in _TYPES:
                        store.add_layer_blob(
                            *place, _TYPES[kind], lease, self._operation, expected=diff_id, digest=digest
                        )
                    else:
                        store.add_layer_from_range(*place, lease, self._operation, expected=diff_id)
            replaced = self._replaced(wanted.names, spec.sha256(wanted.config))
            image = store.add_image(
                wanted.config, also=lambda db, image_id: self._record(db, image_id, wanted)
            )
        for line in replaced:
            self._tell(line)
        self._report(wanted, image)

    def _record(self, db: sqlite3.Connection, image_id: str, wanted: _Wanted) -> None:
        for name in wanted.names:
            self._store.catalog.put_name(db, name, image_id)
        if wanted.manifest is not None:
            digest, media_type, raw = wanted.manifest
            self._store.catalog.put_manifest(db, image_id, digest, media_type, raw, main=True)

    def _replaced(self, names: list[Reference], image_id: str) -> list[str]:
        lines = []
        for name in names:
            old = self._store.catalog.named(name)
            if old is not None and old != image_id:
                lines.append(
                    f"The image {name.familiar} already exists, "
                    f"renaming the old one with ID {old} to empty string"
                )
        return lines

    def _report(self, wanted: _Wanted, image: Image) -> None:
        for name in wanted.names:
            self._tell(f"Loaded image: {name.familiar}")
        if not wanted.names:
            self._tell(f"Loaded image ID: {image.id}")


def _blob_path(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")
