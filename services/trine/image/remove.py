"""docker rmi and docker image prune: Docker's rules about what may go, and its lines.

The rules and texts are those of Docker engine 20.10 (daemon/images/image_delete.go describes them);
which containers use an image is told by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trine.image import listing, reference, spec
from trine.image.models import Image
from trine.image.reference import Reference, short_id
from trine.image.store import ImageStore
from trine.kit.errors import ConflictError, EngineError, InvalidArgumentError


@dataclass(frozen=True)
class Use:
    """A container that uses an image."""

    image_id: str
    container_id: str
    running: bool


@dataclass(frozen=True)
class Removed:
    """One line of the answer: exactly one of the two is set."""

    untagged: str = ""
    deleted: str = ""


@dataclass
class _Conflict(Exception):
    error: ConflictError
    used: bool


def _references(image: Image) -> list[Reference]:
    return [reference.parse_canonical(name) for name in (*image.tags, *image.digests)]


def is_single_reference(references: list[Reference]) -> bool:
    """Whether all names are of one repository with at most one tag."""
    if len(references) <= 1:
        return len(references) == 1
    tags = [found for found in references if not found.digest]
    if len(tags) > 1:
        return False
    repositories = {found.name for found in references if found.digest}
    single = tags[0] if tags else references[0]
    return repositories == {single.name}


class Remover:
    """One request: names and images go in transactions of their own, as the lines say."""

    def __init__(self, store: ImageStore, uses: list[Use]) -> None:
        """``uses`` as the coordinator knows them."""
        self._store = store
        self._uses = uses
        self.records: list[Removed] = []

    def remove(self, name: str, *, force: bool, prune: bool) -> None:
        """Remove a name, or an image. Raises NotFoundError, ConflictError in Docker's words."""
        image = self._store.resolve(name)
        references = _references(image)
        quiet = False
        if not reference.id_prefix_matches(image.id, name):
            user = next((use for use in self._uses if use.image_id == image.id), None)
            if not force and user is not None and is_single_reference(references):
                raise ConflictError(
                    f'conflict: unable to remove repository reference "{name}" (must force) - container '
                    f"{short_id(user.container_id)} is using its referenced image {short_id(image.id)}",
                    reason="IMAGE_IN_USE",
                )
            references = self._untag(image, reference.parse(name).with_default_tag(), references)
            if references:
                return
            quiet = True
        elif is_single_reference(references):
            self._check(image, hard=True, stopped=not force, names=False)
            for found in references:
                self._drop_name(found)
        try:
            self._delete(image.id, force, prune, quiet)
        except _Conflict as conflict:
            raise conflict.error from None
        finally:
            self._store.collect_garbage()

    def _untag(self, image: Image, name: Reference, references: list[Reference]) -> list[Reference]:
        """Remove a name, and the digests of its repository when no tag of it is left; return the rest."""
        if name.digest:
            name = name.with_digest(name.digest)
        self._drop_name(name)
        references = [found for found in references if found != name]
        if name.digest or any(not found.digest and found.name == name.name for found in references):
            return references
        rest: list[Reference] = []
        for found in references:
            if found.digest and found.name == name.name:
                self._drop_name(found)
            else:
                rest.append(found)
        return rest

    def _drop_name(self, name: Reference) -> None:
        with self._store.catalog.database.transaction() as db:
            self._store.catalog.drop_name(db, name)
        self.records.append(Removed(untagged=name.familiar))

    def _check(self, image: Image, *, hard: bool, stopped: bool, names: bool) -> None:
        error = self._conflict(image, stopped=stopped, names=names) if hard else None
        if error is not None:
            raise error.error

    def _conflict(self, image: Image, *, stopped: bool, names: bool) -> _Conflict | None:
        def conflict(text: str, *, forced: bool, used: bool = False) -> _Conflict:
            how = "cannot be forced" if forced else "must be forced"
            message = f"conflict: unable to delete {short_id(image.id)} ({how}) - {text}"
            return _Conflict(ConflictError(message, reason="IMAGE_IN_USE"), used)

        if self._store.children(image.id):
            return conflict("image has dependent child images", forced=True)
        uses = [use for use in self._uses if use.image_id == image.id]
        for use in uses:
            if use.running:
                text = f"image is being used by running container {short_id(use.container_id)}"
                return conflict(text, forced=True, used=True)
        if names and (image.tags or image.digests):
            return conflict("image is referenced in multiple repositories", forced=False)
        if stopped and uses:
            text = f"image is being used by stopped container {short_id(uses[0].container_id)}"
            return conflict(text, forced=False, used=True)
        return None

    def _delete(self, image_id: str, force: bool, prune: bool, quiet: bool) -> None:
        while image_id:
            image = self._store.catalog.image(image_id)
            if image is None:
                return
            conflict = self._conflict(image, stopped=not force, names=not force)
            if conflict is not None:
                dangling = not image.tags and not image.digests and not self._store.children(image_id)
                if quiet and (not dangling or conflict.used):
                    return
                raise conflict
            self._forget(image)
            image_id, force, quiet = (image.parent if prune else ""), False, True

    def _forget(self, image: Image) -> None:
        before = spec.chain_ids(image.diff_ids)
        with self._store.catalog.database.transaction() as db:
            self._store.catalog.drop_image(db, image.id)
            others: set[str] = set()
            for other in self._store.catalog.images():
                others.update(spec.chain_ids(other.diff_ids))
            for diff_ids in self._store.catalog.snapshot_diff_ids():
                others.update(spec.chain_ids(diff_ids))
        self.records += [Removed(untagged=found.familiar) for found in _references(image)]
        self.records.append(Removed(deleted=image.id))
        self.records += [Removed(deleted=chain) for chain in reversed(before) if chain not in others]


def prune_images(
    store: ImageStore, uses: list[Use], show_all: bool, filters: list[str]
) -> tuple[list[Removed], int]:
    """Remove dangling (or all unused) images; return the lines and the bytes that came free."""
    found = listing.split_filters(filters, ("until", "label", "label!", "dangling"))
    if len(found.get("until", [])) > 1:
        raise InvalidArgumentError("more than one until filter specified")
    until = listing.parse_until(found["until"][0]) if "until" in found else 0
    dangling = listing.boolean(found.get("dangling", []), "dangling")
    dangling_only = dangling if dangling is not None else not show_all
    before = _sizes(store)
    parents = store.catalog.parents()
    remover = Remover(store, uses)
    for image in store.images():
        references = _references(image)
        if image.id in parents and (dangling_only or not references):
            continue
        if until and image.created_nanos > until:
            continue
        labels = listing.image_labels(image)
        if not listing.labels_match(found.get("label", []), labels):
            continue
        if any(listing.labels_match([item], labels) for item in found.get("label!", [])):
            continue
        if dangling_only and image.tags:
            continue
        for name in [str(item) for item in references] or [image.id]:
            try:
                remover.remove(name, force=False, prune=True)
            except EngineError:
                continue  # in use: stays, as in Docker
    store.collect_garbage()
    return remover.records, size_of_gone(before, _sizes(store))


def _sizes(store: ImageStore) -> dict[str, int]:
    """Return layers by diff id and blobs by digest, with their sizes."""
    sizes = {f"layer {layer.diff_id}": layer.size for layer in store.catalog.layers().values()}
    return {**sizes, **{f"blob {blob.digest}": blob.size for blob in store.catalog.blobs()}}


def size_of_gone(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """Return the size of what is no more; what others pulled meanwhile doesn't count against it."""
    return sum(size for key, size in before.items() if key not in after)
