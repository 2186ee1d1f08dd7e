"""User-space relays of the port holder: TCP by splice(2), UDP by a table of clients. Stdlib only.

They serve what the kernel's DNAT does not: 127.0.0.1 and [::1] on the host, IPv6 clients of an IPv4
container, a container that calls its own host's published port, and everything with --iptables=false.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
_SPLICE_MOVE_NONBLOCK = 3
_PIPE_BYTES = 1 << 16
_UDP_SECONDS = 90.0
_UDP_CLIENTS = 4096
_IP_PKTINFO = 8
_IPPROTO_SCTP = 132
Callback = Callable[[int], None]


class Loop:
    """An epoll loop with one callback a descriptor, and timers looked at once a second."""

    def __init__(self) -> None:
        """Make an empty loop."""
        self._selector = selectors.DefaultSelector()
        self._timers: list[Callable[[float], None]] = []
        self.stopping = False

    def watch(self, descriptor: Any, events: int, callback: Callback) -> None:
        """Call ``callback(events)`` when the descriptor is ready; 0 events: stop watching it."""
        try:
            key = self._selector.get_key(descriptor)
        except KeyError:
            if events:
                self._selector.register(descriptor, events, callback)
            return
        if not events:
            self._selector.unregister(descriptor)
        elif key.events != events or key.data != callback:
            self._selector.modify(descriptor, events, callback)

    def forget(self, descriptor: Any) -> None:
        """Stop watching a descriptor, watched or not."""
        try:
            self._selector.unregister(descriptor)
        except (KeyError, ValueError):
            pass

    def every_second(self, callback: Callable[[float], None]) -> None:
        """Call ``callback(now)`` about once a second."""
        self._timers.append(callback)

    def run(self) -> None:
        """Run until ``stopping`` is set. An error of one callback does not stop the others."""
        last = time.monotonic()
        while not self.stopping:
            for key, events in self._selector.select(1.0):
                # A callback before may have closed and unregistered this one.
                if self._selector.get_map().get(key.fd) is not key:
                    continue
                try:
                    key.data(events)
                except OSError:
                    self.forget(key.fileobj)
            now = time.monotonic()
            if now - last >= 1.0:
                last = now
                for timer in self._timers:
                    timer(now)


class _Direction:
    """One way of a connection: bytes wait in a pipe, never in Python."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.waiting = 0
        self.ended = False
        self.closed = False

    def pump(self) -> None:
        """Move what can be moved. Raises OSError when the connection is broken."""
        for _ in range(16):  # then others get their turn
            if self.waiting:
                try:
                    self.waiting -= os.splice(
                        self.read_end, self.target.fileno(), self.waiting, flags=_SPLICE_MOVE_NONBLOCK
                    )
                except BlockingIOError:
                    return
                continue
            if self.ended:
                if not self.closed:
                    self.closed = True
                    self.target.shutdown(socket.SHUT_WR)
                return
            try:
                moved = os.splice(
                    self.source.fileno(), self.write_end, _PIPE_BYTES, flags=_SPLICE_MOVE_NONBLOCK
                )
            except BlockingIOError:
                return
            if moved == 0:
                self.ended = True
            self.waiting += moved

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


class _Connection:
    """A client and the container, joined."""

    def __init__(self, relay: TcpRelay, client: socket.socket, target: tuple[str, int]) -> None:
        self._relay, self._loop, self._client = relay, relay.loop, client
        self._server = socket.socket(
            socket.AF_INET6 if ":" in target[0] else socket.AF_INET,
            socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        )
        self._ways: list[_Direction] = []
        self._done = False
        result = self._server.connect_ex(target)
        if result not in (0, errno.EINPROGRESS):
            self.close(reset=True)
            return
        self._loop.watch(self._server, WRITE, self._connected)

    def _connected(self, _events: int) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close(reset=True)
            return
        for end in (self._client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._ways.append(_Direction(self._client, self._server))
            self._ways.append(_Direction(self._server, self._client))
        except OSError:
            self.close(reset=True)
            return
        self._turn(0)

    def _turn(self, _events: int) -> None:
        try:
            for way in self._ways:
                way.pump()
        except OSError:
            self.close(reset=True)
            return
        if all(way.closed for way in self._ways):
            self.close()
            return
        up, down = self._ways
        self._interest(self._client, up, down)
        self._interest(self._server, down, up)

    def _interest(self, end: socket.socket, reading: _Direction, writing: _Direction) -> None:
        wanted = 0
        if not reading.ended and not reading.waiting:
            wanted |= READ
        if writing.waiting:
            wanted |= WRITE
        self._loop.watch(end, wanted, self._turn)

    def close(self, reset: bool = False) -> None:
        """Close both ends; with ``reset`` the client sees a reset, as when nothing listens."""
        if self._done:
            return
        self._done = True
        for end in (self._client, self._server):
            self._loop.forget(end)
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        for way in self._ways:
            way.close()
        self._relay.connections.discard(self)


class TcpRelay:
    """A held TCP port: what the kernel does not redirect arrives here."""

    def __init__(self, loop: Loop, listener: socket.socket, target: tuple[str, int]) -> None:
        """``listener`` is bound and listening."""
        self.loop, self.listener, self.target = loop, listener, target
        self.connections: set[_Connection] = set()
        self._paused = False
        loop.watch(listener, READ, self._accept)

    def _accept(self, _events: int) -> None:
        for _ in range(64):
            try:
                client, _address = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self.loop.forget(self.listener)  # else the loop would spin; resumed in a second
                    self._paused = True
                return  # or the client is gone already
            client.setblocking(False)
            try:
                self.connections.add(connection := _Connection(self, client, self.target))
                if connection._done:
                    self.connections.discard(connection)
            except OSError:
                client.close()

    def expire(self, _now: float) -> None:
        """Accept again after descriptors had run out."""
        if self._paused:
            self._paused = False
            self.loop.watch(self.listener, READ, self._accept)

    def close(self) -> None:
        """Close the port and its connections."""
        self.loop.forget(self.listener)
        self.listener.close()
        for connection in list(self.connections):
            connection.close(reset=True)


class _UdpClient:
    __slots__ = ("ancillary", "last", "socket")

    def __init__(self, upstream: socket.socket, ancillary: list[tuple[int, int, bytes]]) -> None:
        self.socket, self.ancillary, self.last = upstream, ancillary, time.monotonic()


class UdpRelay:
    """A held UDP port; answers leave from the address the question came to (ip(7), IP_PKTINFO)."""

    def __init__(self, loop: Loop, listener: socket.socket, target: tuple[str, int]) -> None:
        """``listener`` is bound."""
        self.loop, self.listener, self.target = loop, listener, target
        self._clients: dict[Any, _UdpClient] = {}
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        loop.watch(listener, READ, self._from_client)

    def _from_client(self, _events: int) -> None:
        for _ in range(64):
            try:
                data, ancillary, _flags, address = self.listener.recvmsg(65535, 256)
            except BlockingIOError:
                return
            except OSError:
                continue
            client = self._clients.get(address)
            if client is None:
                client = self._open(address, ancillary)
                if client is None:
                    continue
            client.last = time.monotonic()
            try:
                client.socket.send(data)
            except OSError:
                pass

    def _open(self, address: Any, ancillary: list[tuple[int, int, bytes]]) -> _UdpClient | None:
        if len(self._clients) >= _UDP_CLIENTS:
            oldest = min(self._clients, key=lambda key: self._clients[key].last)
            self._drop(oldest)
        family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
        try:
            upstream = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            upstream.connect(self.target)
        except OSError:
            return None
        client = _UdpClient(upstream, [_reply_from(item) for item in ancillary if _is_packet_info(item)])
        self._clients[address] = client
        self.loop.watch(upstream, READ, lambda _events: self._from_server(address, client))
        return client

    def _from_server(self, address: Any, client: _UdpClient) -> None:
        for _ in range(64):
            try:
                data = client.socket.recv(65535)
            except BlockingIOError:
                return
            except OSError:  # ECONNREFUSED: nothing listens in the container
                return
            client.last = time.monotonic()
            try:
                self.listener.sendmsg([data], client.ancillary, 0, address)
            except OSError:
                pass

    def _drop(self, address: Any) -> None:
        client = self._clients.pop(address)
        self.loop.forget(client.socket)
        client.socket.close()

    def expire(self, now: float) -> None:
        """Forget clients that were silent for 90 seconds, as docker-proxy does."""
        for address in [a for a, c in self._clients.items() if now - c.last > _UDP_SECONDS]:
            self._drop(address)

    def close(self) -> None:
        """Close the port."""
        for address in list(self._clients):
            self._drop(address)
        self.loop.forget(self.listener)
        self.listener.close()


def _is_packet_info(item: tuple[int, int, bytes]) -> bool:
    return (item[0], item[1]) in (
        (socket.IPPROTO_IP, _IP_PKTINFO),
        (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
    )


def _reply_from(item: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """Turn received packet information into what makes the answer come from the same address."""
    level, kind, data = item
    if kind == _IP_PKTINFO and level == socket.IPPROTO_IP:
        # struct in_pktinfo: index, spec_dst, addr. Index 0: let routing choose the interface.
        return level, kind, struct.pack("=i4s4s", 0, data[4:8], bytes(4))
    return level, kind, data[:16] + struct.pack("=i", 0) if not data.startswith(b"\xfe\x80") else data


class Held:
    """A port that is only held: SCTP, which the kernel redirects or nobody."""

    def __init__(self, listener: socket.socket) -> None:
        """Keep the socket open."""
        self.listener = listener

    def close(self) -> None:
        """Close the port."""
        self.listener.close()


Relay = TcpRelay | UdpRelay | Held


def bind(protocol: str, host: str, port: int) -> socket.socket:
    """Return a bound (TCP: listening) socket.

    Raises OSError: EADDRINUSE, EADDRNOTAVAIL, EACCES, and EPROTONOSUPPORT where the kernel has no SCTP.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    number = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": _IPPROTO_SCTP}[protocol]
    found = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, number)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        if protocol != "udp":
            found.listen(1024)
    except BaseException:
        found.close()
        raise
    return found


def serve(loop: Loop, protocol: str, listener: socket.socket, target: tuple[str, int]) -> Relay:
    """Start the relay that fits."""
    if protocol == "tcp":
        return TcpRelay(loop, listener, target)
    if protocol == "udp":
        return UdpRelay(loop, listener, target)
    return Held(listener)
