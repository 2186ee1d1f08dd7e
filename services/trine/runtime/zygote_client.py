"""The service's side of the zygote: started by exec, started again when it dies."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import socket
from pathlib import Path
from typing import Any

from trine.kit.errors import InternalError, UnavailableError
from trine.kit.logs import get_logger
from trine.linux import process
from trine.runtime import packets, zygote

_READY_SECONDS = 10.0
_SERVE_SECONDS = 8.0  # a fork takes 1 ms: one that takes this long is stuck or stopped
_STOP_SECONDS = 2.0


class ZygoteClient:
    """Starts the zygote and gives it requests. One loop, no threads."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._pid = 0
        self._pidfd = -1
        self._log = get_logger("zygote")
        self._lock = asyncio.Lock()
        self._unserved: collections.deque[asyncio.Future[None]] = collections.deque()

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
        loop.add_reader(mine.fileno(), self._hear)
        loop.add_reader(self._pidfd, self._died)
        self._log.debug("zygote ready", pid=self._pid)

    def _hear(self) -> None:
        """Take the zygote's word that it served the oldest request."""
        assert self._channel is not None
        try:
            message, _ = packets.receive(self._channel)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            message = None
        if message is None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())  # its pidfd tells the rest
        elif self._unserved:
            _set(self._unserved.popleft())

    def _died(self) -> None:
        self._forget()
        self._log.warning("zygote died; starting another")
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def _forget(self) -> None:
        self._close_channel()
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass
        self._pid, self._pidfd = 0, -1

    def _close_channel(self) -> None:
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        # Whether it served them is told by the descriptors that were passed: all copies closed, or not.
        while self._unserved:
            _set(self._unserved.popleft())

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
        """Have one fork made; it gets ``descriptors``.

        Returns when it is made, or when the zygote died meanwhile (then the other end of what was passed
        says so). Raises UnavailableError when there is no zygote, or it is stuck: that one is ended.
        """
        for _ in range(3):
            if self._channel is None:
                await self._restart()
            if self._channel is None:
                break
            try:
                packets.send(self._channel, message, descriptors)
            except BlockingIOError:
                await asyncio.sleep(0.002)
            except OSError:
                await asyncio.sleep(0.01)  # it is dying: _died starts another
            else:
                await self._served()
                return
        raise UnavailableError("the runtime's zygote does not answer")

    async def _served(self) -> None:
        served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unserved.append(served)
        stuck = self._pidfd
        try:
            await asyncio.wait_for(asyncio.shield(served), _SERVE_SECONDS)
        except TimeoutError:
            if self._pidfd == stuck and not served.done():
                self._log.error("the zygote does not answer: killed", pid=self._pid)
                process.pidfd_send_signal(stuck, signal.SIGKILL)
            raise UnavailableError(
                "the runtime's zygote did not answer and is being replaced, try again"
            ) from None

    async def stop(self) -> None:
        """Close its channel, at which it ends; its children go on."""
        if not self._pid:
            return
        loop = asyncio.get_running_loop()
        self._close_channel()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._pidfd, _set, ended)  # instead of _died
        try:
            await asyncio.wait_for(asyncio.shield(ended), _STOP_SECONDS)
        except TimeoutError:
            process.pidfd_send_signal(self._pidfd, signal.SIGKILL)  # it was stopped, or is stuck
        await asyncio.to_thread(os.waitpid, self._pid, 0)
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pid, self._pidfd = 0, -1


def _set(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
