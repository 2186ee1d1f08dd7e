"""A service's durable state: one SQLite file with one owner, written by one thread.

WAL with synchronous=FULL: a committed transaction survives power loss and kill -9 (sqlite.org/wal.html).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from trine.kit.database_copy import Copier, complaint, copy_of, mend
from trine.kit.errors import InternalError, ResourceExhaustedError
from trine.kit.files import sync_directory

T = TypeVar("T")
# Room kept in file and log: on a full disk containers can still be stopped and removed, their ends written.
RESERVE_BYTES = 512 * 1024
_PAGE_BYTES = 4096
_CHECKPOINT_PAGES = 100  # the log begins anew before it outgrows its room


class Database:
    """An open database. ``transaction`` may be used from any thread; one runs at a time."""

    def __init__(
        self, path: Path, schema: str, version: int, migrations: dict[int, str] | None = None
    ) -> None:
        """Open or create ``path``.

        ``schema`` makes version ``version`` of a new file; ``migrations[n]`` is a script from n to
        n + 1. A damaged file is replaced by its copy (``database_copy``). Raises InternalError when the file
        has another version and no way leads from there, when it is damaged without a copy, or unreadable.
        """
        self.path = path
        self._lock = threading.RLock()
        try:
            if not path.exists() and not copy_of(path).exists():
                _create(path, schema, version)
            self._connection = _open_sound(path)
            self._connection.row_factory = sqlite3.Row
            self._migrate(version, migrations or {})
            self._reserve()
        except (OSError, sqlite3.Error) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            raise InternalError(f"cannot open {path}: {text}", reason="CANNOT_OPEN") from error
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"db-{path.stem}")
        self._copier = Copier(path)

    def _migrate(self, version: int, migrations: dict[int, str]) -> None:
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        while found < version and found in migrations:
            _script(self._connection, migrations[found], found + 1)
            found += 1
        if found != version:
            raise InternalError(
                f"{self.path} has schema {found}, this version of Trine reads {version}: "
                f"start the version that wrote it, or move {self.path.parent} away (docs/state.md)",
                reason="SCHEMA_MISMATCH",
            )

    def _reserve(self) -> None:
        """Make free pages in the file and room in its log; on a disk that is full already: what there is."""
        log = self.path.with_name(f"{self.path.name}-wal")
        have = log.stat().st_size if log.exists() else 0
        free = int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
        if min(have, free * _PAGE_BYTES) >= RESERVE_BYTES // 2:
            return
        try:
            self._connection.execute("DROP TABLE IF EXISTS reserve")
            # Two transactions: pages freed in the one that made them would never be written.
            self._connection.execute("CREATE TABLE reserve AS SELECT zeroblob(?) AS room", (RESERVE_BYTES,))
            self._connection.execute("DROP TABLE reserve")
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside BEGIN IMMEDIATE … COMMIT; an exception rolls back."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                # A COMMIT that failed (disk full) leaves the transaction open, or has rolled back itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and _is_full(error):
                    self._recycle()
                    raise ResourceExhaustedError(
                        f"write {self.path}: no space left on device", reason="NO_SPACE"
                    ) from None
                raise
        self._copier.changed()

    def _recycle(self) -> None:
        """Have the next transaction write at the log's beginning, where there is room; best effort."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        except sqlite3.Error:
            pass  # whoever comes next is told that the disk is full

    def read(self, query: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of one query."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction on the database's own thread; the event loop goes on meanwhile."""

        def call() -> T:
            with self.transaction() as connection:
                return work(connection)

        def call_twice() -> T:
            try:
                return call()
            except ResourceExhaustedError:
                return call()  # the log begins anew: it may fit now

        return await asyncio.get_running_loop().run_in_executor(self._writer, call_twice)

    def close(self) -> None:
        """Finish the running transaction and close."""
        self._writer.shutdown()
        self._copier.close()
        with self._lock:
            self._connection.close()


def _open_sound(path: Path) -> sqlite3.Connection:
    """Open a file, or its copy when it is damaged. Raises OSError, sqlite3.Error, InternalError.

    Checked over the connection that stays: the last one closed would give back the log and its room.
    """
    wrong = "file is missing"
    if path.exists():
        wrong = "file is empty"
        if path.stat().st_size:
            connection = _connect(path)
            wrong = complaint(connection)
            if not wrong:
                return _configure(connection)
            connection.close()
    mend(path, wrong)
    return _configure(_connect(path))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)


def _configure(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    return connection


def _is_full(error: sqlite3.OperationalError) -> bool:
    return "disk is full" in str(error)


def _create(path: Path, schema: str, version: int) -> None:
    """Make a database beside and rename it: a file of that name has its tables, an empty one lost them."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    connection = sqlite3.connect(temporary, isolation_level=None)
    try:
        _script(connection, schema, version)
    finally:
        connection.close()
    temporary.chmod(0o600)
    temporary.replace(path)
    sync_directory(path.parent)


def _script(connection: sqlite3.Connection, script: str, version: int) -> None:
    connection.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version={version};COMMIT;")
