"""The image store's internal API: what use cases (pull, push, commit, build, …) work with.

``ImageStore`` is blocking and thread-safe: call it from worker threads, never from the event loop.
Errors are kit.errors with Docker's wording. All state changes are one transaction each; what is
added without an image that uses it is kept only while a ``lease`` pins it, and is garbage after.

    with store.lease() as lease:
        snapshot = store.prepare_snapshot(key, image_id)     # mount it, run something, or write to .upper
        layer = store.commit_snapshot(key, lease, operation, consume=True)
        image = store.add_image(config_with(layer.diff_id), parent=image_id, built_here=True)
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trine.image import gc, reference, spec
from trine.image.content import Content, copy_range
from trine.image.endpoints import RegistrySettings
from trine.image.metadata import Catalog
from trine.image.models import Blob, Image, Layer, Snapshot
from trine.image.operation import KeyedLocks, Operation
from trine.image.snapshots import Snapshots
from trine.image.workers import Workers
from trine.kit.errors import (
    DataLossError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from trine.kit.logs import get_logger


class Lease:
    """Keeps layers from the garbage collector until it is released (end of ``store.lease()``)."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.diff_ids: set[str] = set()

    def pin(self, diff_ids: Iterable[str]) -> None:
        """Keep these too; pin first, then look whether they are there."""
        with self._lock:
            self.diff_ids.update(diff_ids)


def no_such_image(name: str) -> NotFoundError:
    """Return Docker's error for an image that is not here."""
    return NotFoundError(f"No such image: {name}", reason="NO_SUCH_IMAGE")


class ImageStore:
    """One data root, one owner."""

    def __init__(self, root: Path, registry: RegistrySettings | None = None) -> None:
        """Open the store and put right what a killed predecessor left. Raises EngineError, OSError."""
        self.root = root
        self.registry = registry or RegistrySettings()
        self.content = Content(root)
        self.catalog = Catalog(root / "image.db")
        self.workers = Workers()
        self.in_flight = KeyedLocks()
        self._lock = threading.RLock()
        self._leases: list[Lease] = []
        self._sync_lock = threading.Lock()
        self._sync_wanted = threading.Event()
        self._closed = False
        self._snapshots = Snapshots(self.catalog, self.content)
        self._recover()
        self._syncer = threading.Thread(target=self._sync_loop, name="syncer", daemon=True)
        self._syncer.start()

    # --- start and stop ---------------------------------------------------------------------
    def _recover(self) -> None:
        """Make rows equal files: first what the disk may have lost, then what no row owns."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        lost_layers: set[str] = set()
        lost_blobs: set[str] = set()
        if self.catalog.fact("boot_id") != boot:
            # The machine went down: files not yet synced may be torn (kill -9 alone tears nothing).
            layers, blobs = self.catalog.pending_durability()
            lost_layers.update(layers)
            lost_blobs.update(blobs)
        for layer in self.catalog.layers().values():
            if not self.content.layer(layer.number).is_dir():
                lost_layers.add(layer.diff_id)
        for blob in self.catalog.blobs():
            if not self.content.blob(blob.digest).is_file():
                lost_blobs.add(blob.digest)
        if lost_layers or lost_blobs:
            self._forget_lost(lost_layers, lost_blobs)
        self.catalog.set_fact("boot_id", boot)
        self.collect_garbage()
        self.content.sweep(
            {layer.number for layer in self.catalog.layers().values()},
            {blob.digest for blob in self.catalog.blobs()},
            {row["number"] for row in self.catalog.snapshot_rows()},
        )

    def _forget_lost(self, layers: set[str], blobs: set[str]) -> None:
        broken = [image.id for image in self.catalog.images() if layers & set(image.diff_ids)]
        get_logger("store").warning("lost in a crash", layers=len(layers), blobs=len(blobs), images=broken)
        with self.catalog.database.transaction() as db:
            for image_id in broken:
                self.catalog.drop_image(db, image_id)
            self.catalog.drop_content(db, layers, blobs)

    def close(self) -> None:
        """Make everything durable and stop."""
        self._closed = True
        self._sync_wanted.set()
        self._syncer.join(timeout=30)
        self.workers.close()
        self.content.close()
        self.catalog.database.close()

    def _sync_loop(self) -> None:
        while not self._closed:
            self._sync_wanted.wait()
            self._sync_wanted.clear()
            if not self._closed:
                time.sleep(0.5)  # let a burst of layers end: one syncfs for all
            try:
                self.sync()
            except OSError as error:
                get_logger("store").warning("sync failed", error=str(error))

    def sync(self) -> None:
        """Make what was added so far survive a power loss (kill -9 it survives anyway). Raises OSError."""
        with self._sync_lock:
            layers, blobs = self.catalog.pending_durability()
            if layers or blobs:
                self.content.sync()
                self.catalog.mark_durable(layers, blobs)

    # --- images and names -------------------------------------------------------------------
    def resolve(self, name: str) -> Image:
        """Return the image a reference, id, unique id prefix or digest names.

        Raises NotFoundError (NO_SUCH_IMAGE, "No such image: x:latest"), InvalidArgumentError.
        """
        if reference.is_digest(name) or (len(name) == 64 and reference.is_hex_prefix(name)):
            image_id = name if name.startswith("sha256:") else f"sha256:{name}"
            found = self.catalog.image(image_id)
            if found is None:
                raise no_such_image(image_id)
            return found
        prefix = name.removeprefix("sha256:")
        maybe_id = reference.is_hex_prefix(prefix)
        parsed = None
        try:
            parsed = reference.parse(name).with_default_tag()
        except InvalidArgumentError:
            if not maybe_id:
                raise
        if parsed is not None:
            image_id = self.catalog.named(parsed) or ""
            found = self.catalog.image(image_id) if image_id else None
            if found is not None:
                return found
        if maybe_id:
            fitting = self.catalog.image_ids(prefix)
            if len(fitting) > 1:
                raise InvalidArgumentError(
                    f"Multiple IDs found with provided prefix: {name}", reason="AMBIGUOUS_ID"
                )
            found = self.catalog.image(fitting[0]) if fitting else None
            if found is not None:
                return found
        raise no_such_image(parsed.familiar if parsed is not None else name)

    def find(self, name: str) -> Image | None:
        """As ``resolve``, but None when there is no such image."""
        try:
            return self.resolve(name)
        except NotFoundError:
            return None

    def image(self, image_id: str) -> Image:
        """Return the image with this full id. Raises NotFoundError."""
        found = self.catalog.image(image_id)
        if found is None:
            raise no_such_image(image_id)
        return found

    def images(self) -> list[Image]:
        """Return all images, any order."""
        return self.catalog.images()

    def children(self, image_id: str) -> list[str]:
        """Return the ids of images made here from this one (Image.parent), any order."""
        return self.catalog.children(image_id)

    def add_image(
        self,
        config: dict[str, Any] | bytes,
        *,
        parent: str = "",
        built_here: bool = False,
        tag: str = "",
        also: Callable[[sqlite3.Connection, str], None] | None = None,
    ) -> Image:
        """Record an image whose layers (rootfs.diff_ids) are all here; return it.

        The same config gives the same id and is no error; a non-empty ``parent`` is kept then, and
        ``built_here`` only ever turns on. ``tag`` (any spelling, validated) is set in the same
        transaction, and ``also(connection, id)`` runs in it. Raises InvalidArgumentError for a config
        that is not one, NotFoundError for a missing layer.
        """
        raw = config if isinstance(config, bytes) else spec.dump(config)
        facts = spec.parse_config(raw)
        name = reference.parse_tagged(tag) if tag else None
        image_id = spec.sha256(raw)
        with self.catalog.database.transaction() as db:
            size = 0
            for diff_id in facts.diff_ids:
                layer = self.catalog.layer(diff_id)
                if layer is None:
                    raise NotFoundError(f"layer does not exist: {diff_id}", reason="NO_SUCH_LAYER")
                size += layer.size
            self.catalog.put_image(db, image_id, raw, size, parent, built_here)
            if name is not None:
                self.catalog.put_name(db, name, image_id)
            if also is not None:
                also(db, image_id)
        return self.image(image_id)

    def tag(self, image_id: str, name: str) -> str:
        """Give the image the name ``repo[:tag]``, taking it from another; return the canonical name."""
        parsed = reference.parse_tagged(name)
        with self.catalog.database.transaction() as db:
            if self.catalog.image(image_id) is None:
                raise no_such_image(image_id)
            self.catalog.put_name(db, parsed, image_id)
        return str(parsed)

    def untag(self, name: str) -> None:
        """Forget a name; the image stays. No error when there is no such name."""
        parsed = reference.parse(name).with_default_tag()
        with self.catalog.database.transaction() as db:
            self.catalog.drop_name(db, parsed)

    # --- layers -----------------------------------------------------------------------------
    def layer(self, diff_id: str) -> Layer | None:
        """Return a layer that is here, or None."""
        return self.catalog.layer(diff_id)

    def layer_directories(self, diff_ids: Sequence[str]) -> list[Path]:
        """Return the directories to stack for these layers (base first), topmost first, deduplicated.

        Raises NotFoundError.
        """
        return self._snapshots.lower_directories(diff_ids)

    def put_layer(
        self, unpacked: Path, facts: dict[str, Any], blob: Blob | None, blob_file: Path | None, lease: Lease
    ) -> Layer:
        """Take over a directory ``unpacked/fs`` (in tmp/) and a blob file as a layer; return it.

        If the layer is there already the new directory is discarded, and the blob kept. ``facts`` has
        diff_id, size, tar_size, opaque_root.
        """
        diff_id = str(facts["diff_id"])
        lease.pin([diff_id])
        placed: list[Path] = []
        try:
            with self.catalog.database.transaction() as db:
                known = self.catalog.layer(diff_id)
                if known is None:
                    number = self.catalog.put_layer(
                        db,
                        diff_id,
                        int(facts["size"]),
                        int(facts["tar_size"]),
                        bool(facts.get("opaque_root")),
                    )
                    placed.append(self.content.layers / str(number))
                    os.rename(unpacked, placed[-1])
                if blob is not None and blob_file is not None:
                    if self.catalog.blob(blob.digest) is None:
                        placed.append(self.content.blob(blob.digest))
                    os.rename(blob_file, self.content.blob(blob.digest))
                    self.catalog.put_blob(db, blob)
        except BaseException:
            for path in placed:
                self.content.discard(path)
            raise
        if known is not None:
            self.content.discard(unpacked)
        self._sync_wanted.set()
        found = self.catalog.layer(diff_id)
        if found is None:
            raise InternalError(f"layer {diff_id} vanished")
        return found

    def add_layer_from_tar(self, source: Path, lease: Lease, operation: Operation) -> Layer:
        """Unpack a tar (plain, gzip, xz, bzip2, zstd) as a new layer; a gzip blob is kept of it.

        Layers with the same content are one. Raises InvalidArgumentError for a hostile or broken tar.
        """
        return self.add_layer_from_range(source, 0, -1, lease, operation)

    def add_layer_from_range(
        self,
        source: Path,
        offset: int,
        length: int,
        lease: Lease,
        operation: Operation,
        *,
        expected: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> Layer:
        """As ``add_layer_from_tar``, of a part of a file; ``expected`` is the diff id it must have."""
        blob_file = self.content.temporary("blob")
        target = self.content.temporary_layer()
        try:
            request = {"op": "unpack", "source": str(source), "offset": offset, "length": length}
            facts = self.workers.call(
                {**request, "target": str(target / "fs"), "blob": str(blob_file)}, operation, progress
            )
            if expected and facts["diff_id"] != expected:
                raise DataLossError(f"invalid diffID: expected {expected}, got {facts['diff_id']}")
            blob = Blob(facts["blob_digest"], facts["blob_size"], spec.DOCKER_LAYER, facts["diff_id"])
            return self.put_layer(target, facts, blob, blob_file, lease)
        except BaseException:
            self.content.discard(target)
            raise
        finally:
            blob_file.unlink(missing_ok=True)

    def add_layer_blob(
        self,
        source: Path,
        offset: int,
        length: int,
        media_type: str,
        lease: Lease,
        operation: Operation,
        *,
        expected: str,
        digest: str = "",
    ) -> Layer:
        """Take a part of a file as a blob as it is (compressed) and unpack it.

        ``expected`` is its diff id, ``digest`` the blob's own if it is known. Raises DataLossError.
        """
        blob_file = self.content.temporary("blob")
        target = self.content.temporary_layer()
        try:
            found = copy_range(source, offset, length, blob_file, operation)
            if digest and found != digest:
                raise DataLossError(f"blob verification failed for digest {digest}")
            request = {"op": "unpack", "source": str(blob_file), "target": str(target / "fs")}
            facts = self.workers.call(request, operation)
            if facts["diff_id"] != expected:
                raise DataLossError(f"invalid diffID: expected {expected}, got {facts['diff_id']}")
            return self.put_layer(target, facts, Blob(found, length, media_type, expected), blob_file, lease)
        except BaseException:
            self.content.discard(target)
            raise
        finally:
            blob_file.unlink(missing_ok=True)

    def _pack(
        self,
        upper: Path,
        lower: Sequence[Path],
        lease: Lease,
        operation: Operation,
        *,
        consume: bool,
        mount_points: bool = False,
    ) -> Layer:
        blob_file = self.content.temporary("blob")
        target: Path | None = None
        try:
            facts = self.workers.call(
                {
                    "op": "pack",
                    "upper": str(upper),
                    "lower": [str(path) for path in lower],
                    "blob": str(blob_file),
                    "prune": consume,
                    "mount_points": mount_points,
                },
                operation,
            )
            blob = Blob(facts["blob_digest"], facts["blob_size"], spec.DOCKER_LAYER, facts["diff_id"])
            lease.pin([blob.diff_id])
            target = self.content.temporary_layer()
            if self.layer(blob.diff_id) is None:
                if consume:
                    (target / "fs").rmdir()
                    os.rename(upper, target / "fs")
                else:
                    request = {"op": "unpack", "source": str(blob_file), "target": str(target / "fs")}
                    facts = {**facts, **self.workers.call(request, operation)}
            return self.put_layer(target, facts, blob, blob_file, lease)
        except BaseException:
            if target is not None:
                self.content.discard(target)
            raise
        finally:
            blob_file.unlink(missing_ok=True)

    def blob_of(self, diff_id: str) -> Blob:
        """Return a blob of that layer, a gzip one if there is. Raises NotFoundError."""
        found = self.catalog.blobs_of(diff_id)
        if not found:
            raise NotFoundError(f"layer does not exist: {diff_id}", reason="NO_SUCH_LAYER")
        return next((blob for blob in found if "gzip" in blob.media_type), found[0])

    # --- snapshots --------------------------------------------------------------------------
    def prepare_snapshot(
        self, key: str, image_id: str = "", *, diff_ids: Sequence[str] | None = None
    ) -> Snapshot:
        """Make a writable snapshot over an image, or over a list of layers (base first), or over nothing.

        The same key and content again returns what is there; the same key with another image raises
        AlreadyExistsError.
        """
        if diff_ids is None:
            diff_ids = self.image(image_id).diff_ids if image_id else ()
        return self._snapshots.prepare(key, image_id, diff_ids)

    def snapshot(self, key: str) -> Snapshot:
        """Return a snapshot. Raises NotFoundError."""
        return self._snapshots.get(key)

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots."""
        return self._snapshots.all()

    def delete_snapshot(self, key: str) -> None:
        """Delete a snapshot and its files; no error when there is none. It must not be mounted."""
        gone = self._snapshots.delete(key)
        if gone is not None and (not gone.image_id or self.catalog.image(gone.image_id) is None):
            self.collect_garbage()

    def commit_snapshot(
        self, key: str, lease: Lease, operation: Operation, *, consume: bool = False
    ) -> Layer:
        """Make a layer of what changed in a snapshot; the layer of an empty diff is a layer like any other.

        With ``consume`` the snapshot's directory itself becomes the layer (a rename: fast) and the
        snapshot is gone; without, it stays as it was. The mount points the runtime makes (empty
        /etc/hosts, /dev, …) are left out. ``spec.EMPTY_DIFF_ID`` is the diff id of an empty layer.
        """
        snapshot = self.snapshot(key)
        layer = self._pack(snapshot.upper, snapshot.lower, lease, operation, consume=consume)
        if consume:
            self.delete_snapshot(key)
        return layer

    # --- garbage ----------------------------------------------------------------------------
    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Pin what the block makes; at its end what nothing uses becomes garbage and is collected."""
        lease = Lease(self._lock)
        with self._lock:
            self._leases.append(lease)
        try:
            yield lease
        finally:
            with self._lock:
                self._leases.remove(lease)
            try:
                self.collect_garbage()
            except ResourceExhaustedError as error:
                # A full disk must not hide what filled it; the next collection does it.
                get_logger("store").warning("garbage stays for now", error=error.message)

    def collect_garbage(self) -> gc.Garbage:
        """Remove layers and blobs no image, snapshot or lease needs; return what went."""
        with self.catalog.database.transaction() as db, self._lock:
            leased = [diff_id for lease in self._leases for diff_id in lease.diff_ids]
            roots: list[Iterable[str]] = [image.diff_ids for image in self.catalog.images()]
            roots += self.catalog.snapshot_diff_ids()
            garbage = gc.find_garbage(self.catalog.layers().values(), self.catalog.blobs(), roots, leased)
            if not garbage.layers and not garbage.blobs:
                return garbage
            self.catalog.drop_content(
                db, [layer.diff_id for layer in garbage.layers], [blob.digest for blob in garbage.blobs]
            )
            # Inside the transaction: the same digest may come again right after it. Killed in between,
            # a row has no file, and the next start forgets it.
            for layer in garbage.layers:
                self.content.discard(self.content.layers / str(layer.number))
            for blob in garbage.blobs:
                self.content.discard(self.content.blob(blob.digest))
        return garbage
