"""The store: what flush answered for is there after a kill; changes that wait together share a commit."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from trine.engine.store import Store
from trine.kit.errors import EngineError, ResourceExhaustedError


def test_what_was_flushed_is_there_without_close(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store(tmp_path / "engine.db")
        store.put("container", "a", b"1")
        store.put("container", "b", b"2", '{"x":1}')
        store.put("container", "a", b"3")
        await store.flush()
        store.delete("container", "b")
        await store.flush()
        (tmp_path / "copy").mkdir()
        for path in tmp_path.glob("engine.db*"):
            shutil.copy(path, tmp_path / "copy")
        other = Store(tmp_path / "copy" / "engine.db")
        assert other.load("container") == [("a", b"3", "{}")]
        await other.close()
        await store.close()

    asyncio.run(main())


def test_many_wait_for_few_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store = Store(tmp_path / "engine.db")
        commits: list[int] = []
        commit = store._commit

        def counted(batch: Any) -> None:
            commits.append(len(batch))
            commit(batch)

        monkeypatch.setattr(store, "_commit", counted)

        async def one(number: int) -> None:
            store.put("container", str(number), b"x")
            await store.flush()

        await asyncio.gather(*(one(n) for n in range(100)))
        assert sum(commits) == 100 and len(commits) < 10
        await store.close()

    asyncio.run(main())


def test_a_write_that_fails_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store = Store(tmp_path / "engine.db")
        commit = store._commit

        def full(_batch: Any) -> None:
            raise ResourceExhaustedError("write engine.db: no space left on device")

        monkeypatch.setattr(store, "_commit", full)
        store.put("volume", "v", b"1")
        with pytest.raises(EngineError, match="no space left on device"):
            await store.flush()
        monkeypatch.setattr(store, "_commit", commit)
        store.put("volume", "w", b"2")
        await store.flush()
        assert [row[0] for row in sorted(store.load("volume"))] == ["v", "w"]
        await store.close()

    asyncio.run(main())
