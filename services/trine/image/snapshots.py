"""Writable snapshots: two directories and one row each, over layers that are there already.

On the path of every ``run``: one transaction, three mkdir, nothing synced but the row.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from trine.image.content import Content
from trine.image.metadata import Catalog
from trine.image.models import Snapshot
from trine.kit.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Snapshots:
    """The snapshots of one store."""

    def __init__(self, catalog: Catalog, content: Content) -> None:
        """Use these; the empty layer (for an empty root) is made when first needed."""
        self._catalog = catalog
        self._content = content
        self._empty = content.root / "empty"
        self._lock = threading.Lock()

    def lower_directories(self, diff_ids: Sequence[str]) -> list[Path]:
        """Return the directories of layers given base first, topmost first. Raises NotFoundError.

        A layer that occurs twice counts where it is topmost (overlayfs refuses the same directory
        twice, and the lower one could add nothing); nothing is below a layer with an opaque root.
        """
        result: dict[Path, None] = {}
        for diff_id in reversed(diff_ids):
            layer = self._catalog.layer(diff_id)
            if layer is None:
                raise NotFoundError(f"layer does not exist: {diff_id}", reason="NO_SUCH_LAYER")
            result.setdefault(self._content.layer(layer.number))
            if layer.opaque_root:
                break
        return list(result)

    def _lower(self, diff_ids: Sequence[str]) -> tuple[Path, ...]:
        found = self.lower_directories(diff_ids)
        if not found:
            # overlayfs wants a lower directory; an empty one of ours stands for nothing.
            self._empty.mkdir(mode=0o755, exist_ok=True)
            found = [self._empty]
        return tuple(found)

    def _record(self, row: sqlite3.Row, whole: bool = True) -> Snapshot:
        """Return a row as a snapshot; without ``whole`` also one that lost its layers."""
        directory = self._content.snapshot(row["number"])
        diff_ids = tuple(json.loads(row["diff_ids"]))
        try:
            lower = self._lower(diff_ids)
        except NotFoundError:
            if whole:
                raise
            lower = ()
        return Snapshot(
            key=row["key"],
            number=row["number"],
            image_id=row["image_id"],
            created_nanos=row["created_nanos"],
            lower=lower,
            upper=directory / "fs",
            work=directory / "work",
            diff_ids=diff_ids,
        )

    def prepare(self, key: str, image_id: str, diff_ids: Sequence[str]) -> Snapshot:
        """Make a snapshot, or return the one that is there. Raises AlreadyExistsError, NotFoundError."""
        if not _KEY.fullmatch(key):
            raise InvalidArgumentError(f"invalid snapshot key {key!r}", reason="INVALID_KEY")
        with self._catalog.database.transaction() as db:
            rows = self._catalog.snapshot_rows(key)
            if rows:
                found = self._record(rows[0])
                if found.image_id != image_id or found.diff_ids != tuple(diff_ids):
                    raise AlreadyExistsError(f"snapshot {key} already exists with another image")
                self._content.make_snapshot(found.number)
                return found
            lower = self._lower(diff_ids)
            created = time.time_ns()
            number = self._catalog.put_snapshot(db, key, image_id, diff_ids, created)
            self._content.make_snapshot(number)
        directory = self._content.snapshot(number)
        return Snapshot(
            key, number, image_id, created, lower, directory / "fs", directory / "work", tuple(diff_ids)
        )

    def get(self, key: str) -> Snapshot:
        """Return a snapshot. Raises NotFoundError."""
        rows = self._catalog.snapshot_rows(key)
        if not rows:
            raise NotFoundError(f"No such snapshot: {key}", reason="NO_SUCH_SNAPSHOT")
        return self._record(rows[0])

    def all(self) -> list[Snapshot]:
        """Return all snapshots."""
        return [self._record(row, whole=False) for row in self._catalog.snapshot_rows()]

    def delete(self, key: str) -> Snapshot | None:
        """Delete a snapshot; return what it was, None when there was none."""
        with self._catalog.database.transaction() as db:
            rows = self._catalog.snapshot_rows(key)
            if not rows:
                return None
            gone = self._record(rows[0], whole=False)
            self._catalog.drop_snapshot(db, key)
        self._content.discard(self._content.snapshot(gone.number))
        return gone


def usage(path: Path) -> int:
    """Return the bytes of the files below a directory, each inode once (docker ps -s)."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [str(path)]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif found.st_nlink == 1 or (found.st_dev, found.st_ino) not in seen:
                        seen.add((found.st_dev, found.st_ino))
                        total += found.st_size
        except OSError:
            continue  # gone, or deeper than a path can say
    return total
