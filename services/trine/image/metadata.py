"""The catalog: what images, names, layers, blobs and snapshots there are, in one SQLite file.

Functions that change something take the connection of a running transaction; reads may be used
anywhere. Parsed images are kept in memory (they never change).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from trine.image import spec
from trine.image.models import Blob, Image, Layer
from trine.image.reference import Reference
from trine.kit.database import Database

_VERSION = 1
_SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (
  id TEXT PRIMARY KEY, raw BLOB NOT NULL, parent TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL,
  manifest_digest TEXT NOT NULL DEFAULT '', tagged_nanos INTEGER NOT NULL DEFAULT 0,
  built_here INTEGER NOT NULL DEFAULT 0);
CREATE INDEX images_parent ON images(parent);
CREATE TABLE names (
  name TEXT NOT NULL, tag TEXT NOT NULL, image_id TEXT NOT NULL, PRIMARY KEY (name, tag));
CREATE INDEX names_image ON names(image_id);
CREATE TABLE digests (
  name TEXT NOT NULL, digest TEXT NOT NULL, image_id TEXT NOT NULL, PRIMARY KEY (name, digest));
CREATE INDEX digests_image ON digests(image_id);
CREATE TABLE manifests (
  digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, raw BLOB NOT NULL, image_id TEXT NOT NULL);
CREATE TABLE layers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
  tar_size INTEGER NOT NULL, opaque_root INTEGER NOT NULL, durable INTEGER NOT NULL DEFAULT 0);
CREATE TABLE blobs (
  digest TEXT PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT NOT NULL, diff_id TEXT NOT NULL,
  durable INTEGER NOT NULL DEFAULT 0);
CREATE INDEX blobs_diff ON blobs(diff_id);
CREATE TABLE sources (
  digest TEXT NOT NULL, host TEXT NOT NULL, repository TEXT NOT NULL, PRIMARY KEY (digest, host, repository));
CREATE TABLE snapshots (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, image_id TEXT NOT NULL,
  diff_ids TEXT NOT NULL, created_nanos INTEGER NOT NULL);
"""


def _layer(row: sqlite3.Row) -> Layer:
    return Layer(row["number"], row["diff_id"], row["size"], row["tar_size"], bool(row["opaque_root"]))


def _blob(row: sqlite3.Row) -> Blob:
    return Blob(row["digest"], row["size"], row["media_type"], row["diff_id"])


class Catalog:
    """Rows in, records out."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises InternalError when another version wrote it."""
        self.database = Database(path, _SCHEMA, _VERSION)
        self._parsed: dict[str, spec.ConfigFacts] = {}

    # --- images --------------------------------------------------------------------------------
    def _facts(self, image_id: str, raw: bytes) -> spec.ConfigFacts:
        found = self._parsed.get(image_id)
        if found is None:
            found = self._parsed[image_id] = spec.parse_config(raw)
        return found

    def _image(self, row: sqlite3.Row, tags: Sequence[str], digests: Sequence[str]) -> Image:
        facts = self._facts(row["id"], row["raw"])
        return Image(
            id=row["id"],
            raw=row["raw"],
            config=facts.config,
            diff_ids=facts.diff_ids,
            created_nanos=facts.created_nanos,
            size=row["size"],
            parent=row["parent"],
            manifest_digest=row["manifest_digest"],
            tagged_nanos=row["tagged_nanos"],
            built_here=bool(row["built_here"]),
            tags=tuple(tags),
            digests=tuple(digests),
        )

    def image(self, image_id: str) -> Image | None:
        """Return one image with its names."""
        rows = self.database.read("SELECT * FROM images WHERE id = ?", (image_id,))
        if not rows:
            return None
        tags = self.database.read("SELECT name, tag FROM names WHERE image_id = ? ORDER BY 1, 2", (image_id,))
        digests = self.database.read(
            "SELECT name, digest FROM digests WHERE image_id = ? ORDER BY 1, 2", (image_id,)
        )
        return self._image(
            rows[0],
            [f"{r['name']}:{r['tag']}" for r in tags],
            [f"{r['name']}@{r['digest']}" for r in digests],
        )

    def images(self) -> list[Image]:
        """Return all images with their names."""
        tags: dict[str, list[str]] = {}
        digests: dict[str, list[str]] = {}
        for row in self.database.read("SELECT * FROM names ORDER BY name, tag"):
            tags.setdefault(row["image_id"], []).append(f"{row['name']}:{row['tag']}")
        for row in self.database.read("SELECT * FROM digests ORDER BY name, digest"):
            digests.setdefault(row["image_id"], []).append(f"{row['name']}@{row['digest']}")
        return [
            self._image(row, tags.get(row["id"], ()), digests.get(row["id"], ()))
            for row in self.database.read("SELECT * FROM images")
        ]

    def image_ids(self, prefix: str) -> list[str]:
        """Return the ids that begin with "sha256:" and these hex digits (validated by the caller)."""
        rows = self.database.read(
            "SELECT id FROM images WHERE id >= ? AND id < ?", (f"sha256:{prefix}", f"sha256:{prefix}g")
        )
        return [row["id"] for row in rows]

    def children(self, image_id: str) -> list[str]:
        """Return ids of images made from this one here."""
        return [
            row["id"] for row in self.database.read("SELECT id FROM images WHERE parent = ?", (image_id,))
        ]

    def parents(self) -> set[str]:
        """Return the ids that are some image's parent."""
        return {row["parent"] for row in self.database.read("SELECT DISTINCT parent FROM images")}

    def named(self, reference: Reference) -> str | None:
        """Return the id a tag or digest reference stands for."""
        if reference.digest:
            rows = self.database.read(
                "SELECT image_id FROM digests WHERE name = ? AND digest = ?",
                (reference.name, reference.digest),
            )
        else:
            rows = self.database.read(
                "SELECT image_id FROM names WHERE name = ? AND tag = ?", (reference.name, reference.tag)
            )
        return rows[0]["image_id"] if rows else None

    def tags_of(self, name: str) -> list[str]:
        """Return the local tags of a repository (canonical name)."""
        return [
            r["tag"] for r in self.database.read("SELECT tag FROM names WHERE name = ? ORDER BY 1", (name,))
        ]

    def put_image(
        self, db: sqlite3.Connection, image_id: str, raw: bytes, size: int, parent: str, built_here: bool
    ) -> None:
        """Add an image, or complete one that is there (parent, built_here)."""
        db.execute(
            "INSERT INTO images (id, raw, size, parent, built_here) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET "
            "parent = CASE WHEN excluded.parent != '' THEN excluded.parent ELSE parent END, "
            "built_here = max(built_here, excluded.built_here)",
            (image_id, raw, size, parent, int(built_here)),
        )

    def put_manifest(
        self, db: sqlite3.Connection, image_id: str, digest: str, media_type: str, raw: bytes, *, main: bool
    ) -> None:
        """Keep a manifest of an image; ``main`` makes it the one to push and save."""
        db.execute(
            "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?)", (digest, media_type, raw, image_id)
        )
        if main:
            db.execute("UPDATE images SET manifest_digest = ? WHERE id = ?", (digest, image_id))

    def manifest(self, digest: str) -> tuple[str, bytes] | None:
        """Return media type and bytes of a manifest kept here."""
        rows = self.database.read("SELECT media_type, raw FROM manifests WHERE digest = ?", (digest,))
        return (rows[0]["media_type"], rows[0]["raw"]) if rows else None

    def put_name(self, db: sqlite3.Connection, reference: Reference, image_id: str) -> None:
        """Let a tag or digest reference stand for an image."""
        if reference.digest:
            db.execute(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?)",
                (reference.name, reference.digest, image_id),
            )
        if reference.tag:
            db.execute(
                "INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (reference.name, reference.tag, image_id)
            )
            db.execute("UPDATE images SET tagged_nanos = ? WHERE id = ?", (time.time_ns(), image_id))

    def drop_name(self, db: sqlite3.Connection, reference: Reference) -> bool:
        """Forget one name; return whether it was there."""
        if reference.digest:
            cursor = db.execute(
                "DELETE FROM digests WHERE name = ? AND digest = ?", (reference.name, reference.digest)
            )
        else:
            cursor = db.execute(
                "DELETE FROM names WHERE name = ? AND tag = ?", (reference.name, reference.tag)
            )
        return cursor.rowcount > 0

    def drop_image(self, db: sqlite3.Connection, image_id: str) -> None:
        """Forget an image, its names and manifests. Children keep their layers and lose their parent."""
        for table in ("names", "digests", "manifests"):
            db.execute(f"DELETE FROM {table} WHERE image_id = ?", (image_id,))
        db.execute("UPDATE images SET parent = '' WHERE parent = ?", (image_id,))
        db.execute("DELETE FROM images WHERE id = ?", (image_id,))
        self._parsed.pop(image_id, None)

    # --- layers and blobs ----------------------------------------------------------------------
    def layer(self, diff_id: str) -> Layer | None:
        """Return a layer, or None."""
        rows = self.database.read("SELECT * FROM layers WHERE diff_id = ?", (diff_id,))
        return _layer(rows[0]) if rows else None

    def layers(self) -> dict[str, Layer]:
        """Return all layers by diff id."""
        return {row["diff_id"]: _layer(row) for row in self.database.read("SELECT * FROM layers")}

    def put_layer(
        self, db: sqlite3.Connection, diff_id: str, size: int, tar_size: int, opaque_root: bool
    ) -> int:
        """Add a layer; return the number of its directory."""
        cursor = db.execute(
            "INSERT INTO layers (diff_id, size, tar_size, opaque_root) VALUES (?, ?, ?, ?)",
            (diff_id, size, tar_size, int(opaque_root)),
        )
        return int(cursor.lastrowid or 0)

    def blob(self, digest: str) -> Blob | None:
        """Return a blob by its own digest."""
        rows = self.database.read("SELECT * FROM blobs WHERE digest = ?", (digest,))
        return _blob(rows[0]) if rows else None

    def blobs_of(self, diff_id: str) -> list[Blob]:
        """Return the blobs of a layer."""
        return [_blob(r) for r in self.database.read("SELECT * FROM blobs WHERE diff_id = ?", (diff_id,))]

    def blobs(self) -> list[Blob]:
        """Return all blobs."""
        return [_blob(row) for row in self.database.read("SELECT * FROM blobs")]

    def put_blob(self, db: sqlite3.Connection, blob: Blob) -> None:
        """Add a blob whose file is in place."""
        db.execute(
            "INSERT OR IGNORE INTO blobs (digest, size, media_type, diff_id) VALUES (?, ?, ?, ?)",
            (blob.digest, blob.size, blob.media_type, blob.diff_id),
        )

    def put_source(self, db: sqlite3.Connection, digest: str, host: str, repository: str) -> None:
        """Remember that a registry has a blob: a push can mount it from there."""
        db.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?)", (digest, host, repository))

    def sources(self, digest: str, host: str) -> list[str]:
        """Return repositories of a registry known to have a blob."""
        rows = self.database.read(
            "SELECT repository FROM sources WHERE digest = ? AND host = ? ORDER BY 1", (digest, host)
        )
        return [row["repository"] for row in rows]

    def drop_content(self, db: sqlite3.Connection, diff_ids: Iterable[str], digests: Iterable[str]) -> None:
        """Forget layers and blobs."""
        db.executemany("DELETE FROM layers WHERE diff_id = ?", [(d,) for d in diff_ids])
        gone = [(d,) for d in digests]
        db.executemany("DELETE FROM blobs WHERE digest = ?", gone)
        db.executemany("DELETE FROM sources WHERE digest = ?", gone)

    # --- durability ----------------------------------------------------------------------------
    def pending_durability(self) -> tuple[list[str], list[str]]:
        """Return diff ids and blob digests whose files may still be in the page cache only."""
        layers = [r["diff_id"] for r in self.database.read("SELECT diff_id FROM layers WHERE durable = 0")]
        blobs = [r["digest"] for r in self.database.read("SELECT digest FROM blobs WHERE durable = 0")]
        return layers, blobs

    def mark_durable(self, diff_ids: Iterable[str], digests: Iterable[str]) -> None:
        """Their files are on disk."""
        with self.database.transaction() as db:
            db.executemany("UPDATE layers SET durable = 1 WHERE diff_id = ?", [(d,) for d in diff_ids])
            db.executemany("UPDATE blobs SET durable = 1 WHERE digest = ?", [(d,) for d in digests])

    def fact(self, key: str) -> str:
        """Return a remembered fact, "" when there is none."""
        rows = self.database.read("SELECT value FROM facts WHERE key = ?", (key,))
        return str(rows[0]["value"]) if rows else ""

    def snapshot_diff_ids(self) -> list[list[str]]:
        """Return the layers below each snapshot."""
        return [json.loads(row["diff_ids"]) for row in self.database.read("SELECT diff_ids FROM snapshots")]

    def set_fact(self, key: str, value: str) -> None:
        """Remember a fact."""
        with self.database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    # --- snapshots -----------------------------------------------------------------------------
    def snapshot_rows(self, key: str | None = None) -> list[sqlite3.Row]:
        """Return the row of one snapshot, or all."""
        if key is None:
            return self.database.read("SELECT * FROM snapshots")
        return self.database.read("SELECT * FROM snapshots WHERE key = ?", (key,))

    def put_snapshot(
        self, db: sqlite3.Connection, key: str, image_id: str, diff_ids: Sequence[str], created_nanos: int
    ) -> int:
        """Add a snapshot; return the number of its directory."""
        cursor = db.execute(
            "INSERT INTO snapshots (key, image_id, diff_ids, created_nanos) VALUES (?, ?, ?, ?)",
            (key, image_id, json.dumps(list(diff_ids)), created_nanos),
        )
        return int(cursor.lastrowid or 0)

    def drop_snapshot(self, db: sqlite3.Connection, key: str) -> None:
        """Forget a snapshot."""
        db.execute("DELETE FROM snapshots WHERE key = ?", (key,))
