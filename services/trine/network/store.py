"""Durable rows. Networks live with the data; sandboxes live and die with the kernel objects they describe.

``<data-root>/network/network.db`` holds networks (synchronous=FULL: they outlive a power cut).
``<exec-root>/sandboxes.db`` holds sandboxes: namespaces and links do not outlive a boot, so their rows
need to survive kill -9 only, and synchronous=NORMAL (no fsync a commit) is enough.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from trine.kit.database import Database
from trine.network.model import Network, Sandbox, network_from_json, sandbox_from_json, to_json

_NETWORKS = """
CREATE TABLE network (id TEXT PRIMARY KEY, state TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL)
"""
_SANDBOXES = """
CREATE TABLE sandbox (id TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE trash (number INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL)
"""


class NetworkStore:
    """Networks, each in state "creating", "ready" or "deleting"."""

    def __init__(self, data_root: Path) -> None:
        """Open or create the database. Raises InternalError for another version's."""
        directory = data_root / "network"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = Database(directory / "network.db", _NETWORKS, 1)

    def load(self) -> list[tuple[str, Network]]:
        """Return all (state, network)."""
        rows = self._database.read("SELECT state, content FROM network")
        return [(row["state"], network_from_json(row["content"])) for row in rows]

    def put(self, network: Network, state: str) -> None:
        """Insert or replace a network."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO network VALUES (?, ?, ?)", (network.id, state, to_json(network))
            )

    def delete(self, identifier: str) -> None:
        """Delete a network's row."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM network WHERE id = ?", (identifier,))

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class SandboxStore:
    """Sandboxes, and what is left to clear away of deleted ones (trash)."""

    def __init__(self, exec_root: Path) -> None:
        """Open or create the database."""
        self._database = Database(exec_root / "sandboxes.db", _SANDBOXES, 1)
        self._database.read("PRAGMA synchronous=NORMAL")

    def load(self) -> list[Sandbox]:
        """Return all sandboxes, whatever their state."""
        return [
            sandbox_from_json(row["content"]) for row in self._database.read("SELECT content FROM sandbox")
        ]

    def load_trash(self) -> list[tuple[int, Sandbox]]:
        """Return what deleted sandboxes may have left."""
        rows = self._database.read("SELECT number, content FROM trash")
        return [(row["number"], sandbox_from_json(row["content"])) for row in rows]

    def put(self, sandbox: Sandbox) -> None:
        """Insert or replace a sandbox."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO sandbox VALUES (?, ?)", (sandbox.id, to_json(sandbox)))

    def throw_away(self, sandbox: Sandbox, remains: Sandbox) -> int:
        """Delete a sandbox (or, with equal ids kept, only parts of it) and note what is to be cleared away.

        ``remains`` is what stays to be cleared. Returns its number.
        """
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sandbox WHERE id = ?", (sandbox.id,))
            return self._insert(connection, remains)

    def shrink(self, sandbox: Sandbox, remains: Sandbox) -> int:
        """Replace a sandbox by one without some endpoint, and note that endpoint as trash."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO sandbox VALUES (?, ?)", (sandbox.id, to_json(sandbox)))
            return self._insert(connection, remains)

    @staticmethod
    def _insert(connection: sqlite3.Connection, remains: Sandbox) -> int:
        cursor = connection.execute("INSERT INTO trash (content) VALUES (?)", (to_json(remains),))
        return int(cursor.lastrowid or 0)

    def cleared(self, number: int) -> None:
        """Forget trash that was cleared away."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM trash WHERE number = ?", (number,))

    def close(self) -> None:
        """Close the database."""
        self._database.close()
