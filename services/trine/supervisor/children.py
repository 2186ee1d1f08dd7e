"""The service processes: started in order, health-checked, restarted with back-off, adopted.

A service that already answers on its socket is adopted as it is: its process id comes from the
kernel (SO_PEERCRED, unix(7)), its end from a pidfd (pidfd_open(2)); no pid file is trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from trine.kit.channel import is_serving, open_channel, wait_until_serving
from trine.kit.errors import UnavailableError
from trine.kit.logs import get_logger
from trine.kit.server import parse_address

START_SECONDS = 15.0
CHECK_SECONDS = 2.0
CHECKS_BEFORE_KILL = 5
FIRST_BACKOFF_SECONDS = 0.05
LAST_BACKOFF_SECONDS = 5.0
STEADY_SECONDS = 10.0


@dataclass
class ServiceProcess:
    """One service and the process that serves it."""

    name: str  # image, runtime, network
    address: str  # where it listens
    command: Sequence[str]  # how to start it; empty: it runs elsewhere and is only watched
    on_back: Callable[[str], Awaitable[None]] | None = None  # told each time it serves again after an end
    process_id: int = 0  # 0: not running, or elsewhere
    restarts: int = 0  # since trined started
    adopted: bool = False  # was running before
    serving: bool = False  # as of the last check
    channel: grpc.aio.Channel = field(init=False)
    _child: subprocess.Popen[bytes] | None = None
    _pidfd: int = -1
    _stopping: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        """Open the channel; it connects when first used and again after each end."""
        self.channel = open_channel(self.address)
        self._log = get_logger("supervisor").bind(service=self.name)

    @property
    def child_id(self) -> int:
        """Process id of our own child, 0 when adopted or elsewhere."""
        return self._child.pid if self._child is not None else 0

    async def start(self) -> None:
        """Adopt the service or start it, wait until it serves, and keep watching it.

        Raises UnavailableError when it does not serve in time.
        """
        if await self._is_answering():
            self.adopted = self._adopt()
        elif self.command:
            await self._end_silent()
            self._spawn()
        self.serving = await self._until_serving()
        if not self.serving:
            code = self._child.poll() if self._child is not None else None
            reason = (
                f"it ended with status {code}" if code is not None else f"no answer in {START_SECONDS:.0f} s"
            )
            raise UnavailableError(f"the {self.name} service does not serve {self.address}: {reason}")
        watching = self._keep() if self.command else self._follow()
        self._task = asyncio.create_task(watching, name=f"keep-{self.name}")

    async def _is_answering(self) -> bool:
        kind, path = parse_address(self.address)
        if kind == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CHECK_SECONDS)  # a full backlog of one that is stopped blocks
                try:
                    probe.connect(path)
                except OSError:
                    return False
        # Someone listens: give a busy service time before it is held for dead.
        return await wait_until_serving(self.channel, 5.0)

    def _adopt(self) -> bool:
        if parse_address(self.address)[0] != "unix" or not self.command:
            return False
        pid = self._listener()
        self._watch(pid)
        self._log.info("adopted", process_id=pid)
        return True

    def _listener(self) -> int:
        """Return the process that listens on our socket. Raises OSError when nobody does."""
        kind, path = parse_address(self.address)
        if kind != "unix":
            raise ConnectionRefusedError(self.address)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CHECK_SECONDS)
            probe.connect(path)
            pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)

    async def _end_silent(self) -> None:
        """Kill one that listens and does not answer (stopped, stuck): it holds the lock ours needs."""
        try:
            pid = self._listener()
        except OSError:
            return
        self._log.error("does not answer: killed", process_id=pid)
        self._watch(pid)
        self.signal(signal.SIGKILL)
        await self._ended.wait()
        self._ended.clear()

    def _spawn(self) -> None:
        # vfork and exec: nothing of ours runs in the child (see kit.fork_guard). Its own session, so
        # that a Ctrl-C at trined's terminal reaches trined alone.
        # That we are ready is ours to tell systemd (sd_notify(3)); it warns of others who do.
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self._child = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True, close_fds=True,
            env=environment,
        )  # fmt: skip
        self._watch(self._child.pid)
        self._log.info("started", process_id=self._child.pid)

    def _watch(self, pid: int) -> None:
        self.process_id = pid
        self._ended.clear()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        if self._child is not None and self._child.pid == self.process_id:
            self._child.wait()
        self.process_id = 0
        self.serving = False
        self._ended.set()

    async def _until_serving(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._ended.is_set():
                return False
            if await wait_until_serving(self.channel, 0.25):
                return True
        return False

    async def _keep(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        since = time.monotonic()
        missed = 0
        while not self._stopping:
            ended = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), CHECK_SECONDS)
                ended = True
            if self._stopping:
                return
            if not ended:
                if await is_serving(self.channel, CHECK_SECONDS):
                    if not self.serving:
                        await self._tell_back()
                    missed, self.serving = 0, True
                    continue
                missed += 1
                self.serving = False
                if missed < CHECKS_BEFORE_KILL:
                    continue
                self._log.error("does not answer health checks: killed", process_id=self.process_id)
                self.signal(signal.SIGKILL)
                await self._ended.wait()
            backoff = FIRST_BACKOFF_SECONDS if time.monotonic() - since > STEADY_SECONDS else backoff * 2
            backoff = min(backoff, LAST_BACKOFF_SECONDS)
            self._log.warning("ended", restart_in_seconds=backoff)
            await asyncio.sleep(backoff)
            if self._stopping:
                return
            since, missed = time.monotonic(), 0
            self.restarts += 1
            self.adopted = False
            try:
                self._spawn()
            except OSError as error:
                self._log.error("cannot start", error=str(error))
                continue
            self.serving = await self._until_serving()
            if self.serving:
                await self._tell_back()

    async def _follow(self) -> None:
        """Watch a service that somebody else runs: not ours to start again, but its return is told.

        A broken connection is noticed at once, so that even a restart between two checks is.
        """
        ready = grpc.ChannelConnectivity.READY
        while not self._stopping:
            if self.serving:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.channel.wait_for_state_change(ready), CHECK_SECONDS)
                if self.channel.get_state() is ready and await is_serving(self.channel, CHECK_SECONDS):
                    continue
                self.serving = False
                self._log.warning("away", address=self.address)
            if await wait_until_serving(self.channel, CHECK_SECONDS):
                self.serving = True
                self._log.info("back", address=self.address)
                await self._tell_back()

    async def _tell_back(self) -> None:
        if self.on_back is None:
            return
        try:
            await self.on_back(self.name)
        except Exception as error:
            self._log.error("recovery after restart failed", error=str(error))

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing when it has none."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the process: SIGTERM, then SIGKILL; a service that runs elsewhere is left alone."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
        if self.process_id and self.command:
            self.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._ended.wait(), timeout_seconds)
            except TimeoutError:
                self._log.error("does not stop: killed", process_id=self.process_id)
                self.signal(signal.SIGKILL)
                await self._ended.wait()
        await self.channel.close()


class OrphanReaper:
    """Reaps shims that became ours because their zygote and runtime service ended (prctl(2), subreaper).

    Only zombies seen in two sweeps in a row and not among ``own`` are reaped, so that nobody who waits
    for a child of his own is robbed of its status.
    """

    def __init__(self, own: Callable[[], set[int]]) -> None:
        """Keep how to learn which children others wait for."""
        self._own = own
        self._seen: set[int] = set()

    def sweep(self) -> None:
        """Look once."""
        zombies = {pid for pid in _children() if _is_zombie(pid)} - self._own()
        for pid in zombies & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = zombies - self._seen

    async def run(self) -> None:
        """Sweep every two seconds, for ever."""
        while True:
            await asyncio.sleep(2)
            self.sweep()


def _children() -> list[int]:
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children", "rb") as file:
            found += [int(pid) for pid in file.read().split()]
    return found


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False
