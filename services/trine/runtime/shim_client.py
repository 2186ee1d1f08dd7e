"""The service's connection to one shim: requests by number, events to a callback."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

from trine.kit import errors
from trine.runtime import packets

REQUEST_SECONDS = 20.0  # shorter than the service's callers wait: they get the reason, not a deadline
_KINDS: dict[str, type[errors.EngineError]] = {
    "NOT_RUNNING": errors.ConflictError,
    "PAUSED": errors.ConflictError,
    "ALREADY_PAUSED": errors.ConflictError,
    "NOT_PAUSED": errors.ConflictError,
    "ALREADY_RUN": errors.ConflictError,
    "ALREADY_EXISTS": errors.AlreadyExistsError,
    "NO_SUCH_EXEC": errors.NotFoundError,
    "UNSUPPORTED": errors.UnsupportedError,
    "": errors.InternalError,
}
Event = dict[str, Any]


def to_error(event: Event, prefix: str = "") -> errors.EngineError:
    """Return the error of an event with "reason" and "message"."""
    reason = str(event.get("reason", ""))
    kind = _KINDS.get(reason, errors.InvalidArgumentError)
    message = str(event.get("message", "")).replace("\n", " ")
    code = str(event.get("exit_code", ""))
    return kind(prefix + message, reason=reason, metadata={"exit_code": code} if code else None)


def connect(directory: str) -> socket.socket:
    """Connect to <directory>/shim.sock, however long its path. Raises OSError."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            peer.connect(f"/proc/self/fd/{descriptor}/shim.sock")
        finally:
            os.close(descriptor)
    except OSError:
        peer.close()
        raise
    return peer


def end(directory: str) -> bool:
    """Kill the shim that listens in a directory, for one that does not answer; tell whether there was one.

    Its process id is the kernel's word (SO_PEERCRED, unix(7): who called listen), and its end takes its
    container with it.
    """
    try:
        with connect(directory) as peer:
            pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            descriptor = os.pidfd_open(pid)
            try:
                peer.getpeername()  # still connected: the process is still that one
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
    except OSError:
        return False
    return True


class ShimClient:
    """An open connection; ``closed`` is set when the shim has closed it."""

    def __init__(self, peer: socket.socket, on_event: Callable[[Event], None]) -> None:
        """Listen from now on; needs the running loop."""
        self._peer = peer
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Event]] = {}
        self._loop = asyncio.get_running_loop()
        self.closed = asyncio.Event()
        peer.setblocking(False)
        self._loop.add_reader(peer.fileno(), self._readable)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                message, descriptors = packets.receive(self._peer)
            except BlockingIOError:
                return
            except ValueError:
                continue
            except OSError:
                message, descriptors = None, []
            packets.close_all(descriptors)
            if message is None:
                self.close()
                return
            waiting = self._waiting.pop(message["n"], None) if "n" in message else None
            if waiting is not None:
                if not waiting.done():
                    waiting.set_result(message)
            else:
                self._on_event(message)

    def close(self) -> None:
        """Close; whoever waits for an answer gets none."""
        if self.closed.is_set():
            return
        self._loop.remove_reader(self._peer.fileno())
        self._peer.close()
        self.closed.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result({"event": "error", "reason": "NOT_RUNNING", "message": "shim is gone"})
        self._waiting = {}
        self._on_event({"event": "closed"})

    async def request(
        self,
        operation: str,
        descriptors: list[int] | None = None,
        *,
        prefix: str = "",
        seconds: float = REQUEST_SECONDS,
        **fields: Any,
    ) -> Event:
        """Ask and return the answer.

        Raises EngineError: what the shim says, with ``prefix`` before a fault of the command;
        ConflictError (NOT_RUNNING) when it is gone; DeadlineExceededError.
        """
        number = next(self._numbers)
        waiting: asyncio.Future[Event] = self._loop.create_future()
        self._waiting[number] = waiting
        message = {"op": operation, "n": number, **fields}
        while not self.closed.is_set():
            try:
                packets.send(self._peer, message, descriptors)
                break
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except OSError:
                self.close()
        if self.closed.is_set() and not waiting.done():
            raise errors.ConflictError("container is not running", reason="NOT_RUNNING")
        try:
            answer = await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            raise errors.DeadlineExceededError("the container's shim does not answer") from None
        finally:
            self._waiting.pop(number, None)
        if answer.get("event") == "error":
            raise to_error(answer, prefix)
        return answer
