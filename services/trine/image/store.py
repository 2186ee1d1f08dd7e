"""The image store's internal API: what use cases (pull, push, commit, build, …) work with.

``ImageStore`` is blocking and thread-safe: call it from worker threads, never from the event loop.
Errors are kit.errors with Docker's wording. All state changes are one transaction each; what is
added without an image that uses it is kept only while a ``lease`` pins it, and is garbage after.

    with store.lease() as lease:
        snapshot = store.prepare_snapshot(key, image_id)     # mount it, run something, or write to .upper
        layer = store.commit_snapshot(key, lease, consume=True)
        image = store.add_image(config_with(layer.diff_id), parent=image_id, built_here=True)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trine.image.models import Blob, Credentials, Emit, Image, Layer, Pulled, Snapshot
from trine.image.operation import Operation


class Lease:
    """Keeps layers from the garbage collector until it is released (end of ``store.lease()``)."""

    def __init__(self) -> None:
        self.diff_ids: set[str] = set()
        self.images: set[str] = set()

    def pin(self, *, diff_ids: Iterable[str] = (), images: Iterable[str] = ()) -> None:
        """Keep these too."""


class ImageStore:
    """One data root, one owner."""

    # --- images and names -------------------------------------------------------------------
    def resolve(self, name: str) -> Image:
        """Return the image a reference, id, unique id prefix or digest names.

        Raises NotFoundError (NO_SUCH_IMAGE, "No such image: x:latest"), InvalidArgumentError.
        """
        raise NotImplementedError

    def find(self, name: str) -> Image | None:
        """As ``resolve``, but None when there is no such image."""
        raise NotImplementedError

    def image(self, image_id: str) -> Image:
        """Return the image with this full id. Raises NotFoundError."""
        raise NotImplementedError

    def images(self) -> list[Image]:
        """Return all images, any order."""
        raise NotImplementedError

    def children(self, image_id: str) -> list[str]:
        """Return the ids of images made here from this one (Image.parent), any order."""
        raise NotImplementedError

    def add_image(
        self, config: dict[str, Any] | bytes, *, parent: str = "", built_here: bool = False, tag: str = ""
    ) -> Image:
        """Record an image whose layers (rootfs.diff_ids) are all here; return it.

        The same config gives the same id and is no error; a non-empty ``parent`` is kept then, and
        ``built_here`` only ever turns on. ``tag`` (any spelling, validated) is set in the same
        transaction. Raises InvalidArgumentError for a config that is not one, NotFoundError for a
        missing layer.
        """
        raise NotImplementedError

    def tag(self, image_id: str, name: str) -> str:
        """Give the image the name ``repo[:tag]``, taking it from another; return the canonical name."""
        raise NotImplementedError

    def untag(self, name: str) -> None:
        """Forget a name; the image stays. No error when there is no such name."""
        raise NotImplementedError

    def remove_image(self, image_id: str) -> None:
        """Forget an image without any question (no conflict rules) and collect what only it used."""
        raise NotImplementedError

    def pull(
        self,
        name: str,
        operation: Operation,
        emit: Emit,
        *,
        platform: str = "",
        auth: Credentials | None = None,
    ) -> Pulled:
        """Pull one reference, telling ``emit`` Docker's lines and layer states. Raises EngineError."""
        raise NotImplementedError

    # --- layers -----------------------------------------------------------------------------
    def layer(self, diff_id: str) -> Layer | None:
        """Return a layer that is here, or None."""
        raise NotImplementedError

    def layer_directories(self, diff_ids: Sequence[str]) -> list[Path]:
        """Return the directories to stack for these layers (base first), topmost first, deduplicated."""
        raise NotImplementedError

    def add_layer_from_tar(self, source: Path, lease: Lease, operation: Operation) -> Layer:
        """Unpack a tar (plain, gzip, xz, bzip2, zstd) as a new layer; a gzip blob is kept of it.

        Layers with the same content are one. Raises InvalidArgumentError for a hostile or broken tar.
        """
        raise NotImplementedError

    def add_layer_from_directory(self, source: Path, lease: Lease, operation: Operation) -> Layer:
        """Make a layer of a directory in overlayfs upper format (0:0 devices are whiteouts)."""
        raise NotImplementedError

    def blob_of(self, diff_id: str) -> Blob:
        """Return a blob of that layer. Raises NotFoundError."""
        raise NotImplementedError

    # --- snapshots --------------------------------------------------------------------------
    def prepare_snapshot(
        self, key: str, image_id: str = "", *, diff_ids: Sequence[str] | None = None
    ) -> Snapshot:
        """Make a writable snapshot over an image, or over a list of layers (base first), or over nothing.

        The same key and content again returns what is there; the same key with another image raises
        AlreadyExistsError.
        """
        raise NotImplementedError

    def snapshot(self, key: str) -> Snapshot:
        """Return a snapshot. Raises NotFoundError."""
        raise NotImplementedError

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots."""
        raise NotImplementedError

    def delete_snapshot(self, key: str) -> None:
        """Delete a snapshot and its files; no error when there is none. It must not be mounted."""
        raise NotImplementedError

    def commit_snapshot(
        self, key: str, lease: Lease, operation: Operation, *, consume: bool = False
    ) -> Layer:
        """Make a layer of what changed in a snapshot; the layer of an empty diff is a layer like any other.

        With ``consume`` the snapshot's directory itself becomes the layer (a rename: fast) and the
        snapshot is gone; without, it stays as it was. The mount points the runtime makes (empty
        /etc/hosts, /dev, …) are left out. ``spec.EMPTY_DIFF_ID`` is the diff id of an empty layer.
        """
        raise NotImplementedError

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Pin what the block makes; at its end what nothing uses becomes garbage."""
        lease = Lease()
        yield lease
