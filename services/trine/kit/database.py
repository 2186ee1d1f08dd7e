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

from trine.kit.errors import InternalError, ResourceExhaustedError

T = TypeVar("T")


class Database:
    """An open database. ``transaction`` may be used from any thread; one runs at a time."""

    def __init__(
        self, path: Path, schema: str, version: int, migrations: dict[int, str] | None = None
    ) -> None:
        """Open or create ``path``.

        ``schema`` makes version ``version`` in an empty file; ``migrations[n]`` is a script from n to
        n + 1. Raises InternalError when the file has another version and no way leads from there.
        """
        self.path = path
        self._lock = threading.RLock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"db-{path.stem}")
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._prepare(schema, version, migrations or {})
        path.chmod(0o600)

    def _prepare(self, schema: str, version: int, migrations: dict[int, str]) -> None:
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found == 0:
            self._script(schema, version)
            return
        while found < version and found in migrations:
            self._script(migrations[found], found + 1)
            found += 1
        if found != version:
            raise InternalError(
                f"{self.path} has schema {found}, this version of Trine reads {version}: "
                "start the version that wrote it, or move the file away (docs/state.md)",
                reason="SCHEMA_MISMATCH",
            )

    def _script(self, script: str, version: int) -> None:
        self._connection.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version={version};COMMIT;")

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
                if isinstance(error, sqlite3.OperationalError) and "disk is full" in str(error):
                    raise ResourceExhaustedError(
                        f"write {self.path}: no space left on device", reason="NO_SPACE"
                    ) from None
                raise

    def read(self, query: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of one query."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction on the database's own thread; the event loop goes on meanwhile."""

        def call() -> T:
            with self.transaction() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, call)

    def close(self) -> None:
        """Finish the running transaction and close."""
        self._writer.shutdown()
        with self._lock:
            self._connection.close()
