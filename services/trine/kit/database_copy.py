"""The second copy of a database: written behind, used when the first is damaged.

An emptied or garbled SQLite file would cost everything its owner knows, and what no row owns is removed
at the next start. So a few seconds after a change the whole file is copied (SQLite's own backup, whole
at every moment), and a damaged file is put aside for the copy.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from trine.kit.errors import InternalError
from trine.kit.logs import get_logger

COPY_SECONDS = 2.0  # how old a copy may be


def copy_of(path: Path) -> Path:
    """Return where the copy of a database is."""
    return path.with_name(f"{path.name}.copy")


def complaint(connection: sqlite3.Connection) -> str:
    """Return what is wrong with an open database, "" when nothing is. Raises OperationalError (no damage)."""
    try:
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError:
        raise  # cannot be read or locked
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else found


def mend(path: Path, wrong: str) -> None:
    """Put a damaged (or vanished) file aside and its copy in its place.

    Raises InternalError, with nothing touched, when there is no sound copy.
    """
    copy = copy_of(path)
    if not _is_sound(copy):
        raise InternalError(
            f"{path} is damaged ({wrong}) and has no copy: bring back a backup, or move {path.parent} away "
            "to begin anew (docs/state.md)",
            reason="DAMAGED",
        )
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    age = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(copy.stat().st_mtime))
    _copy(copy, path)
    get_logger("database").error(
        f"{path} is damaged ({wrong}): it was put aside and its copy is used; what changed later is lost",
        copy_of=age, put_aside=aside.name,
    )  # fmt: skip


def _is_sound(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return not complaint(connection)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(source, timeout=10)) as first,
            closing(sqlite3.connect(temporary)) as second,
        ):
            first.backup(second)
        with open(temporary, "rb+") as file:
            os.chmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


class Copier:
    """Copies a database a while after it was changed, on a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Start the thread; the first copy is made when there is none, else after a change."""
        self._path = path
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._failed = False
        if not copy_of(path).exists():
            self._changed.set()
        self._thread = threading.Thread(target=self._run, name=f"copy-{path.stem}", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Say that the file was changed."""
        self._changed.set()

    def close(self) -> None:
        """Stop, and copy what was changed; the database is still open."""
        wanted = self._changed.is_set()
        self._closing.set()
        self._changed.set()
        self._thread.join()
        if wanted:
            self._attempt()

    def _run(self) -> None:
        while True:
            self._changed.wait()
            if self._closing.wait(COPY_SECONDS):  # more changes come: one copy for all
                return
            self._changed.clear()
            if not self._attempt():
                self._changed.set()

    def _attempt(self) -> bool:
        try:
            _copy(self._path, copy_of(self._path))
        except (OSError, sqlite3.Error) as error:
            if not self._failed:  # once: a full disk is told by everybody else, too
                get_logger("database").warning("cannot copy", path=str(self._path), error=str(error))
            self._failed = True
            return False
        self._failed = False
        return True
