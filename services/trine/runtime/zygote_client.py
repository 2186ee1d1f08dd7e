"""The service's side of the zygote: started by exec, started again when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trine.kit.errors import InternalError, UnavailableError
from trine.kit.logs import get_logger
from trine.linux import process
from trine.runtime import packets, zygote

_READY_SECONDS = 10.0


class ZygoteClient:
    """Starts the zygote and gives it requests. One loop, no threads."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._pid = 0
        self._pidfd = -1
        self._log = get_logger("zygote")
        self._lock = asyncio.Lock()
        self.on_restart: Callable[[], None] | None = None

    @property
    def pid(self) -> int:
        """The zygote's process, 0 when there is none."""
        return self._pid

    async def start(self) -> None:
        """Start it and wait until it serves. Raises InternalError."""
        mine, theirs = packets.pair()
        root = str(Path(zygote.__file__).resolve().parents[2])
        argv = zygote.command([root])
        # A path of its own for each trine.* part would do as well; the services' tree has all it needs.
        self._pid = os.posix_spawn(
            argv[0],
            argv,
            {"PATH": os.defpath, "LC_CTYPE": "C.UTF-8"},
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), zygote.CHANNEL)],
            setsid=True,
        )
        theirs.close()
        self._pidfd = process.pidfd_open(self._pid)
        mine.setblocking(False)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(mine.fileno(), _set, ready)
        try:
            await asyncio.wait_for(ready, _READY_SECONDS)
            message, _ = packets.receive(mine)
        except (TimeoutError, OSError):
            message = None
        finally:
            loop.remove_reader(mine.fileno())
        if message is None:
            mine.close()
            raise InternalError("the zygote does not start")
        self._channel = mine
        loop.add_reader(self._pidfd, self._died)
        self._log.debug("zygote ready", pid=self._pid)

    def _died(self) -> None:
        self._forget()
        self._log.warning("zygote died; starting another")
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def _forget(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass
        if self._channel is not None:
            self._channel.close()
        self._channel, self._pid, self._pidfd = None, 0, -1

    async def _restart(self) -> None:
        async with self._lock:
            if self._channel is not None:
                return
            for attempt in range(10):
                try:
                    await self.start()
                    return
                except (InternalError, OSError) as error:
                    self._log.error("cannot start the zygote", error=str(error))
                    await asyncio.sleep(min(0.1 * 2**attempt, 5.0))

    async def request(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Have one fork made; it gets ``descriptors``. Raises UnavailableError when there is no zygote."""
        for _ in range(3):
            if self._channel is None:
                await self._restart()
            if self._channel is None:
                break
            try:
                packets.send(self._channel, message, descriptors)
                return
            except BlockingIOError:
                await asyncio.sleep(0.002)
            except OSError:
                await asyncio.sleep(0.01)  # it is dying: _died starts another
        raise UnavailableError("the runtime's zygote does not answer")

    async def stop(self) -> None:
        """Close its channel, at which it ends; its children go on."""
        if self._pid:
            self._forget_reader()
            if self._channel is not None:
                self._channel.close()
            await asyncio.to_thread(os.waitpid, self._pid, 0)
            os.close(self._pidfd)
            self._channel, self._pid, self._pidfd = None, 0, -1

    def _forget_reader(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)


def _set(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
