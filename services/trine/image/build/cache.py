"""The build cache: which image a step made before, by what it started from and what it did.

Entries come only from steps executed here. An image that was pulled, loaded or imported can be a
base, but never answers for a step (CVE-2024-24557), however its config looks. The table lives in
the store's catalog, written in the transaction that adds the image, and goes with the image.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trine.image.models import Image
from trine.image.store import ImageStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS build_cache (
  key TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
  created_nanos INTEGER NOT NULL, used_nanos INTEGER NOT NULL)
"""
_INDEX = "CREATE INDEX IF NOT EXISTS build_cache_image ON build_cache(image_id)"


def step_key(
    parent_id: str, container_config: dict[str, Any], platform: str = "", contents: Sequence[str] = ()
) -> str:
    """Return the key of a step: parent image, config with the step's normalised command, platform.

    RUN has the build args it sees in its command; ``contents`` are the digests of what COPY or ADD copy.
    """
    parts = [parent_id, container_config, platform, list(contents)]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class CacheEntry:
    """One step remembered."""

    key: str
    image_id: str
    created_nanos: int
    used_nanos: int


class BuildCache:
    """The table. Thread-safe."""

    def __init__(self, store: ImageStore) -> None:
        """Use (and make) the table in the store's catalog."""
        self._store = store
        self._database = store.catalog.database
        with self._database.transaction() as db:
            db.execute(_SCHEMA)
            db.execute(_INDEX)

    def find(self, key: str) -> Image | None:
        """Return the image a step made, when it is still here with all its layers."""
        rows = self._database.read("SELECT image_id FROM build_cache WHERE key = ?", (key,))
        image = self._store.catalog.image(rows[0]["image_id"]) if rows else None
        if image is None or any(self._store.layer(d) is None for d in image.diff_ids):
            return None
        return image

    def remember(self, db: sqlite3.Connection, key: str, image_id: str) -> None:
        """Note, in a running transaction, what a step made."""
        now = time.time_ns()
        db.execute("INSERT OR REPLACE INTO build_cache VALUES (?, ?, ?, ?)", (key, image_id, now, now))

    def touch(self, keys: list[str]) -> None:
        """Note that entries were used."""
        if not keys:
            return
        now = time.time_ns()
        with self._database.transaction() as db:
            db.executemany("UPDATE build_cache SET used_nanos = ? WHERE key = ?", [(now, k) for k in keys])

    def entries(self) -> list[CacheEntry]:
        """Return all entries, oldest first."""
        rows = self._database.read("SELECT * FROM build_cache ORDER BY created_nanos, key")
        return [CacheEntry(r["key"], r["image_id"], r["created_nanos"], r["used_nanos"]) for r in rows]

    def forget(self, keys: list[str]) -> None:
        """Drop entries; their images stay."""
        with self._database.transaction() as db:
            db.executemany("DELETE FROM build_cache WHERE key = ?", [(k,) for k in keys])
