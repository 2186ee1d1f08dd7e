"""The engine's durable records: one SQLite file, written by one thread, in groups.

Memory is what the engine works on; the store is how it gets back after a kill. A change is put in a
table of pending rows at once and written by the next commit; ``flush`` waits for that commit. Many
changes that wait together share one fsync, and a row changed twice is written once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trine.kit.database import Database
from trine.kit.errors import InternalError, ResourceExhaustedError
from trine.kit.logs import get_logger

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE container (id TEXT PRIMARY KEY, record BLOB NOT NULL, private TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE volume (id TEXT PRIMARY KEY, record BLOB NOT NULL, private TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE setting (id TEXT PRIMARY KEY, record BLOB NOT NULL, private TEXT NOT NULL) WITHOUT ROWID;
"""
_TABLES = ("container", "volume", "setting")
_Row = tuple[bytes, str]


class Store:
    """Rows of containers and volumes; all methods belong to the event loop's thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises InternalError for a schema of another version."""
        self._database = Database(path, SCHEMA, SCHEMA_VERSION)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine-store")
        self._pending: dict[tuple[str, str], _Row | None] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    def load(self, table: str) -> list[tuple[str, bytes, str]]:
        """Return all rows of a table as (id, record, private); for the start, before any put."""
        assert table in _TABLES
        rows = self._database.read(f"SELECT id, record, private FROM {table}")
        return [(row["id"], row["record"], row["private"]) for row in rows]

    def put(self, table: str, key: str, record: bytes, private: str = "{}") -> None:
        """Note a row to be written by the next commit."""
        self._note(table, key, (record, private))

    def delete(self, table: str, key: str) -> None:
        """Note a row to be removed by the next commit."""
        self._note(table, key, None)

    def _note(self, table: str, key: str, row: _Row | None) -> None:
        assert table in _TABLES
        if self._closed:
            return
        self._pending[(table, key)] = row
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="engine-store")

    async def flush(self) -> None:
        """Wait until all that was noted so far is on disk; raises EngineError when it cannot be."""
        if self._closed or not (self._pending or (self._writer and not self._writer.done())):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="engine-store")
        await future

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        # Whoever runs in this turn of the loop gets into this commit.
        await asyncio.sleep(0)
        while self._pending or self._waiting:
            batch, self._pending = self._pending, {}
            waiting, self._waiting = self._waiting, []
            try:
                if batch:
                    await loop.run_in_executor(self._thread, self._commit_twice, batch)
            except Exception as error:
                # Kept, so that the next commit tries again; what changed meanwhile is newer.
                self._pending = {**batch, **self._pending}
                failure = _explain(error)
                get_logger("engine").error("cannot write records", error=str(error), rows=len(batch))
                for future in waiting:
                    if not future.done():
                        future.set_exception(failure)
                if not self._waiting:
                    return
            else:
                for future in waiting:
                    if not future.done():
                        future.set_result(None)

    def _commit_twice(self, batch: dict[tuple[str, str], _Row | None]) -> None:
        try:
            self._commit(batch)
        except ResourceExhaustedError:
            self._commit(batch)  # the database's log begins anew: it may fit now

    def _commit(self, batch: dict[tuple[str, str], _Row | None]) -> None:
        with self._database.transaction() as connection:
            for (table, key), row in batch.items():
                if row is None:
                    connection.execute(f"DELETE FROM {table} WHERE id = ?", (key,))
                else:
                    connection.execute(
                        f"INSERT INTO {table} (id, record, private) VALUES (?, ?, ?) "
                        "ON CONFLICT (id) DO UPDATE SET record = excluded.record, private = excluded.private",
                        (key, *row),
                    )

    async def close(self) -> None:
        """Write what is pending and close the file."""
        try:
            await self.flush()
        finally:
            self._closed = True
            self._thread.shutdown()
            self._database.close()


def _explain(error: Exception) -> InternalError | ResourceExhaustedError:
    if isinstance(error, ResourceExhaustedError):
        return ResourceExhaustedError(error.message, reason="DISK_FULL")
    return InternalError(f"cannot write the engine's records: {error}")
