"""Forgetting build cache: `builder prune`.

The images of the steps are images like all others (`images -a` lists them): they go by `rmi` and
`image prune`. Here only what lets a later build find them goes.
"""

from __future__ import annotations

import time

from trine.image.build.cache import BuildCache
from trine.image.build.gotext import parse_duration
from trine.image.store import ImageStore
from trine.kit.errors import InvalidArgumentError


def prune_cache(store: ImageStore, cache: BuildCache, everything: bool, filters: list[str]) -> list[str]:
    """Forget entries whose images no name needs (or all); return their keys.

    Filter: ``until=24h`` (not used since). Raises InvalidArgumentError.
    """
    before = _until(filters)
    needed = set() if everything else _needed(store)
    keys = [
        entry.key
        for entry in cache.entries()
        if entry.image_id not in needed and (before is None or entry.used_nanos < before)
    ]
    cache.forget(keys)
    return keys


def _needed(store: ImageStore) -> set[str]:
    """Return the images with a name or a snapshot, and all they were made from."""
    images = {image.id: image for image in store.images()}
    pending = [image.id for image in images.values() if image.tags or image.digests]
    pending += [snapshot.image_id for snapshot in store.snapshots()]
    needed: set[str] = set()
    while pending:
        image_id = pending.pop()
        if image_id in needed or image_id not in images:
            continue
        needed.add(image_id)
        pending.append(images[image_id].parent)
    return needed


def _until(filters: list[str]) -> int | None:
    before: int | None = None
    for text in filters:
        name, _, value = text.partition("=")
        if name not in ("until", "unused-for"):
            raise InvalidArgumentError(f"failed to prune build cache: Invalid filter '{name}'")
        try:
            before = time.time_ns() - parse_duration(value)
        except ValueError as error:
            raise InvalidArgumentError(str(error)) from None
    return before
