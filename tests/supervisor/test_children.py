"""Services as processes: started, killed and back, adopted, given up on, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from trine.kit import logs
from trine.kit.errors import UnavailableError
from trine.supervisor.children import OrphanReaper, ServiceProcess

TINY = str(Path(__file__).with_name("tiny_service.py"))
logs.configure("fatal")


def tiny(tmp_path: Path, on_back: Callable[[str], Awaitable[None]] | None = None) -> ServiceProcess:
    address = f"unix://{tmp_path}/t.sock"
    return ServiceProcess("tiny", address, [sys.executable, TINY, address, str(tmp_path / "fail")], on_back)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never came true")


def test_killed_service_is_back_and_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        told: list[str] = []

        async def on_back(name: str) -> None:
            told.append(name)

        service = tiny(tmp_path, on_back)
        await service.start()
        first = service.process_id
        assert first
        os.kill(first, signal.SIGKILL)
        await until(lambda: bool(told))
        assert told == ["tiny"]
        assert service.restarts == 1
        assert service.process_id not in (0, first)
        await service.stop()
        assert service.process_id == 0

    asyncio.run(scenario())


def test_running_service_is_adopted_and_restarted_when_it_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        stranger = subprocess.Popen([sys.executable, TINY, f"unix://{tmp_path}/t.sock"])
        try:
            await until(lambda: (tmp_path / "t.sock").exists())
            service = tiny(tmp_path)
            await service.start()
            assert service.adopted
            assert service.process_id == stranger.pid
            stranger.kill()
            stranger.wait()
            await until(lambda: service.serving and service.process_id not in (0, stranger.pid))
            assert not service.adopted
            await service.stop()
        finally:
            if stranger.poll() is None:
                stranger.kill()
                stranger.wait()

    asyncio.run(scenario())


def test_running_service_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    """One that listens, holds the lock and never answers must not keep trined from starting."""

    async def scenario() -> None:
        stranger = subprocess.Popen([sys.executable, TINY, f"unix://{tmp_path}/t.sock"])
        try:
            await until(lambda: (tmp_path / "t.sock").exists())
            stranger.send_signal(signal.SIGSTOP)
            service = tiny(tmp_path)
            await service.start()
            assert not service.adopted
            assert service.process_id not in (0, stranger.pid)
            assert stranger.wait(10) == -signal.SIGKILL
            await service.stop()
        finally:
            if stranger.poll() is None:
                stranger.kill()
                stranger.wait()

    asyncio.run(scenario())


def test_service_apart_is_followed_and_never_ended(tmp_path: Path) -> None:
    """Its owner replaces it faster than two health checks: the return is told all the same."""

    async def scenario() -> None:
        told: list[str] = []

        async def on_back(name: str) -> None:
            told.append(name)

        address = f"unix://{tmp_path}/t.sock"
        command = [sys.executable, TINY, address]
        stranger = subprocess.Popen(command)
        try:
            await until(lambda: (tmp_path / "t.sock").exists())
            service = ServiceProcess("tiny", address, [], on_back)
            await service.start()
            assert (service.process_id, service.adopted, told) == (0, False, [])
            for number in (1, 2):
                stranger.kill()
                stranger.wait()
                stranger = subprocess.Popen(command)
                await until(lambda n=number: len(told) == n)  # type: ignore[misc]
            assert service.serving
            await service.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    asyncio.run(scenario())


def test_service_that_cannot_start_is_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "fail").touch()
        service = tiny(tmp_path)
        with pytest.raises(UnavailableError) as caught:
            await service.start()
        assert "ended with status 3" in caught.value.message
        await service.stop()

    asyncio.run(scenario())


def test_reaper_leaves_others_children_alone(tmp_path: Path) -> None:
    mine = subprocess.Popen(["true"])
    orphan = subprocess.Popen(["true"])
    for pid in (mine.pid, orphan.pid):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    reaper = OrphanReaper(lambda: {mine.pid})
    reaper.sweep()
    assert Path(f"/proc/{orphan.pid}").exists()
    reaper.sweep()
    assert not Path(f"/proc/{orphan.pid}").exists()
    assert mine.wait() == 0
    orphan.returncode = 0
