"""The kit: errors cross the wire whole, state is durable, locks die with their owner, nobody forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from trine.kit import errors, fork_guard
from trine.kit.channel import is_serving, open_channel
from trine.kit.database import Database
from trine.kit.files import lock_file, write_atomically
from trine.kit.server import Service, parse_address, run

SCHEMA = "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT)"


def test_database_refuses_another_schema(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Database(path, SCHEMA, 1).close()
    with pytest.raises(errors.InternalError) as caught:
        Database(path, SCHEMA, 2)
    assert caught.value.reason == "SCHEMA_MISMATCH"
    migrated = Database(path, SCHEMA, 2, {1: "ALTER TABLE thing ADD COLUMN size INTEGER DEFAULT 7"})
    with migrated.transaction() as connection:
        connection.execute("INSERT INTO thing(name) VALUES('x')")
    assert migrated.read("SELECT size FROM thing")[0]["size"] == 7
    migrated.close()


def test_transaction_rolls_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", SCHEMA, 1)
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("INSERT INTO thing(name) VALUES('x')")
        raise ZeroDivisionError
    assert database.read("SELECT * FROM thing") == []

    def add(connection: sqlite3.Connection) -> int:
        return connection.execute("INSERT INTO thing(name) VALUES('y')").lastrowid or 0

    assert asyncio.run(database.run(add)) == 1
    database.close()


def test_committed_survives_kill(tmp_path: Path) -> None:
    script = (
        "import sys, os\nfrom pathlib import Path\nfrom trine.kit.database import Database\n"
        f"d = Database(Path({str(tmp_path / 'a.db')!r}), {SCHEMA!r}, 1)\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    with d.transaction() as c: c.execute('INSERT INTO thing(name) VALUES(?)', (str(n),))\n"
        "    print(n, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = 0
    while told < 5:
        told = int(child.stdout.readline())
    child.kill()
    told = max([told, *(int(line) for line in child.stdout.read().splitlines() if line)])
    child.wait()
    child.stdout.close()
    database = Database(tmp_path / "a.db", SCHEMA, 1)
    assert len(database.read("SELECT * FROM thing")) >= told
    database.close()


def test_atomic_write_keeps_the_old_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"old", 0o640)
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_lock_is_exclusive_and_dies_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "l"
    script = (
        "from pathlib import Path; from trine.kit.files import lock_file\n"
        f"print(lock_file(Path({str(path)!r})), flush=True)\n"
        "import time; time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() != "None"
    assert lock_file(path) is None
    assert path.read_text().strip() == str(child.pid)
    child.kill()
    child.wait()
    child.stdout.close()
    lock = lock_file(path)
    assert lock is not None
    os.close(lock)


def test_fork_is_refused_where_grpc_is_loaded() -> None:
    script = (
        "import os, subprocess\nfrom trine.kit import fork_guard\nfork_guard.install()\nimport grpc\n"
        "subprocess.run(['true'], check=True)\n"
        "try:\n    os.fork()\nexcept RuntimeError as e:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.parametrize("text", ["", "tcp:/x", "tcp://host", "http://x", "relative"])
def test_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("unix:///a/b") == ("unix", "/a/b")
    assert parse_address("/a/b") == ("unix", "/a/b")
    assert parse_address("tcp://127.0.0.1:99") == ("tcp", "127.0.0.1:99")


def _handlers() -> Any:
    async def fail(request: bytes, context: Any) -> bytes:
        if request == b"known":
            raise errors.NotFoundError("No such thing: x", reason="NO_SUCH_THING", metadata={"name": "x"})
        raise ValueError("secret\nsecond line")

    return grpc.method_handlers_generic_handler("t.T", {"Fail": grpc.unary_unary_rpc_method_handler(fail)})


async def _call(address: str, request: bytes) -> errors.EngineError:
    channel = open_channel(address)
    try:
        call: Any = channel.unary_unary("/t.T/Fail")
        await call(request)
    except grpc.RpcError as error:
        return errors.from_rpc_error(error)
    finally:
        await channel.close()
    raise AssertionError("no error")


def test_server_tells_errors_whole_and_stops_on_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An audit hook cannot be removed, and tests of system calls in this process fork.
    monkeypatch.setattr(fork_guard, "install", lambda: None)
    address = f"unix://{tmp_path}/s.sock"

    async def scenario() -> None:
        async def register(server: Any) -> list[str]:
            server.add_generic_rpc_handlers((_handlers(),))
            return ["t.T"]

        serving = asyncio.create_task(run(Service("test", [address], register)))
        channel = open_channel(address)
        while not await is_serving(channel):
            assert not serving.done()
            await asyncio.sleep(0.01)
        assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o660
        known = await _call(address, b"known")
        assert isinstance(known, errors.NotFoundError)
        assert (known.message, known.reason, known.metadata) == (
            "No such thing: x",
            "NO_SUCH_THING",
            {"name": "x"},
        )
        unknown = await _call(address, b"unknown")
        assert isinstance(unknown, errors.InternalError)
        assert "\n" not in unknown.message
        with pytest.raises(errors.ConflictError):
            await run(Service("test", [address], register))
        await channel.close()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == 0

    asyncio.run(scenario())


def _with_one_row(path: Path) -> None:
    database = Database(path, SCHEMA, 1)
    with database.transaction() as connection:
        connection.execute("INSERT INTO thing(name) VALUES('kept')")
    database.close()  # copies


@pytest.mark.parametrize("damage", ["emptied", "garbage", "cut", "gone"])
def test_damaged_database_is_replaced_by_its_copy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.db"
    _with_one_row(path)
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"emptied": b"", "garbage": os.urandom(9000), "cut": whole[: len(whole) // 2]}[damage]
        )
    database = Database(path, SCHEMA, 1)
    assert [row["name"] for row in database.read("SELECT name FROM thing")] == ["kept"]
    database.close()
    assert bool(list(tmp_path.glob("a.db.damaged-*"))) == (damage != "gone")


@pytest.mark.parametrize("damage", [b"", b"not a database" * 300])
def test_damaged_database_without_a_copy_is_refused_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    """An empty file is damage too: taken for a new one, all its owner has would be removed as nobody's."""
    path = tmp_path / "a.db"
    _with_one_row(path)
    (tmp_path / "a.db.copy").unlink()
    path.write_bytes(damage)
    with pytest.raises(errors.InternalError, match=r"is damaged .* and has no copy"):
        Database(path, SCHEMA, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]
    assert path.read_bytes() == damage


def test_database_is_copied_a_while_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trine.kit.database_copy.COPY_SECONDS", 0.01)
    database = Database(tmp_path / "a.db", SCHEMA, 1)
    with database.transaction() as connection:
        connection.execute("INSERT INTO thing(name) VALUES('x')")
    deadline = time.monotonic() + 20
    while True:  # no close: a process that is killed makes no last copy
        with contextlib.suppress(sqlite3.Error):
            copy = sqlite3.connect(f"file:{tmp_path}/a.db.copy?mode=ro&immutable=1", uri=True)
            found = copy.execute("SELECT name FROM thing").fetchall()
            copy.close()
            if found == [("x",)]:
                break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    database.close()
