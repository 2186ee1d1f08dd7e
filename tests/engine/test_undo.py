"""The stack of inverses: when they run, in which order, and what cannot stop them."""

from __future__ import annotations

import asyncio

import pytest

from trine.engine.undo import Undo, run_to_end


def inverse(done: list[str], name: str, error: Exception | None = None):  # type: ignore[no-untyped-def]
    async def run() -> None:
        done.append(name)
        if error is not None:
            raise error

    return run


def test_a_failure_runs_the_inverses_newest_first_whatever_becomes_of_each() -> None:
    done: list[str] = []

    async def use_case() -> None:
        async with Undo("test") as undo:
            undo.push("first", inverse(done, "first"))
            undo.push("second", inverse(done, "second", RuntimeError("no")))
            undo.push("third", inverse(done, "third"))
            raise KeyError("step 4")

    with pytest.raises(KeyError, match="step 4"):
        asyncio.run(use_case())
    assert done == ["third", "second", "first"]


@pytest.mark.parametrize("keep", [True, False])
def test_a_success_runs_none(keep: bool) -> None:
    done: list[str] = []

    async def use_case() -> None:
        async with Undo("test") as undo:
            undo.push("first", inverse(done, "first"))
            if keep:
                undo.keep()

    asyncio.run(use_case())
    assert done == []


def test_what_was_kept_is_not_undone_by_a_later_failure() -> None:
    done: list[str] = []

    async def use_case() -> None:
        async with Undo("test") as undo:
            undo.push("first", inverse(done, "first"))
            undo.keep()
            undo.push("second", inverse(done, "second"))
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(use_case())
    assert done == ["second"]


def test_cancelled_twice_it_still_runs_to_its_end() -> None:
    done: list[str] = []
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        await go_on.wait()
        done.append("slow")

    async def use_case() -> None:
        async with Undo("test") as undo:
            undo.push("first", inverse(done, "first"))
            undo.push("slow", slow)
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.ensure_future(use_case())
        await asyncio.sleep(0)
        task.cancel()
        await reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert done == ["slow", "first"]


def test_run_to_end_tells_how_the_work_ended() -> None:
    async def work(outcome: BaseException | None) -> None:
        if outcome is not None:
            raise outcome

    asyncio.run(run_to_end(work(None)))
    with pytest.raises(KeyError):
        asyncio.run(run_to_end(work(KeyError())))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run_to_end(work(asyncio.CancelledError())))


def test_run_to_end_tells_of_the_cancellation_of_its_caller() -> None:
    async def main() -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            reached.set()
            await go_on.wait()

        task = asyncio.ensure_future(run_to_end(work()))
        await reached.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
