"""One connection to a shim: a client or the service. Lean."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from trine.runtime import packets
from trine.runtime.reactor import READ, WRITE
from trine.runtime.shim_process import Process
from trine.runtime.stdio import Client

if TYPE_CHECKING:
    from trine.runtime.shim import Shim


class Peer:
    """The connection, what waits to be sent over it, and its attachments."""

    def __init__(self, shim: Shim, connection: socket.socket) -> None:
        self.shim = shim
        self.connection = connection
        self.watching = False
        self.clients: list[tuple[Process, Client]] = []
        self._queue: list[dict[str, Any]] = []
        connection.setblocking(False)
        shim.reactor.add(connection.fileno(), READ, self._ready)

    def send(self, message: dict[str, Any]) -> None:
        """Send an event now, or when the peer reads again."""
        if self.connection.fileno() < 0:
            return
        if self._queue:
            self._queue.append(message)
            return
        try:
            packets.send(self.connection, message)
        except BlockingIOError:
            self._queue.append(message)
            self.shim.reactor.change(self.connection.fileno(), READ | WRITE)
        except OSError:
            self.shim.reactor.call_later(self.close)

    def _ready(self, events: int) -> None:
        if events & WRITE and self._queue:
            waiting, self._queue = self._queue, []
            for message in waiting:
                self.send(message)
            if not self._queue and self.connection.fileno() >= 0:
                self.shim.reactor.change(self.connection.fileno(), READ)
        if events & ~WRITE:
            self._receive()

    def _receive(self) -> None:
        try:
            message, descriptors = packets.receive(self.connection)
        except BlockingIOError:
            return
        except ValueError as error:
            self.send({"event": "error", "reason": "INVALID_ARGUMENT", "message": str(error)})
            return
        except OSError:
            message, descriptors = None, []
        if message is None:
            self.close()
            return
        self.shim.handle(self, message, descriptors)

    def close(self) -> None:
        """Forget the peer; its attachments are detached."""
        if self.connection.fileno() < 0:
            return
        self.shim.reactor.remove(self.connection.fileno())
        self.connection.close()
        for owner, client in self.clients:
            owner.detach(client)
        self.clients = []
        self.shim.peers.discard(self)
        self.shim.leave_if_done()
