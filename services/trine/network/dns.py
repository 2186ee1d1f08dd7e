"""The embedded DNS server of user-defined networks, at 127.0.0.11 inside each container. Stdlib only.

Runs in the port holder, so that names go on resolving while trine-network is down. It answers A, AAAA
and PTR for containers on the asker's networks (RFC 1035, RFC 3596) and passes everything else,
byte for byte, to the upstream servers, from the host's network.
"""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from trine.network.dns_messages import (
    AAAA,
    ANY,
    PTR,
    SERVFAIL,
    A,
    answer,
    encode_name,
    failure,
    parse_query,
    udp_limit,
)
from trine.network.relay import READ, WRITE, Loop

ADDRESS = "127.0.0.11"
PORT = 53
_TIMEOUT = 2.0
_PENDING = 1024
_TCP_CLIENTS = 128


class Directory:
    """Who is called what on which network. One entry a sandbox, replaced as a whole."""

    def __init__(self) -> None:
        """Start empty."""
        self._sandboxes: dict[str, list[dict[str, Any]]] = {}
        self._names: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._addresses: dict[tuple[str, str], str] = {}

    def put(self, sandbox: str, endpoints: list[dict[str, Any]]) -> None:
        """Set the endpoints of a sandbox: network, network_name, name, names, ipv4, ipv6."""
        self.remove(sandbox)
        self._sandboxes[sandbox] = endpoints
        for endpoint in endpoints:
            network = endpoint["network"]
            for name in self._all_names(endpoint):
                self._names.setdefault((network, name), []).append(endpoint)
            for address in (endpoint["ipv4"], endpoint["ipv6"]):
                if address:
                    full = f"{endpoint['name']}.{endpoint['network_name']}"
                    self._addresses[network, ipaddress.ip_address(address).reverse_pointer] = full

    @staticmethod
    def _all_names(endpoint: dict[str, Any]) -> list[str]:
        plain = list(dict.fromkeys(name.lower() for name in (endpoint["name"], *endpoint["names"]) if name))
        return plain + [f"{name}.{endpoint['network_name'].lower()}" for name in plain]

    def remove(self, sandbox: str) -> None:
        """Forget a sandbox."""
        for endpoint in self._sandboxes.pop(sandbox, []):
            network = endpoint["network"]
            for name in self._all_names(endpoint):
                found = self._names.get((network, name), [])
                found[:] = [other for other in found if other is not endpoint]
                if not found:
                    self._names.pop((network, name), None)
            for address in (endpoint["ipv4"], endpoint["ipv6"]):
                if address:
                    self._addresses.pop((network, ipaddress.ip_address(address).reverse_pointer), None)

    def look_up(
        self, asker: str, name: str, kind: int, links: dict[str, str]
    ) -> list[tuple[int, bytes]] | None:
        """Return the records for a question of a sandbox, None when the name is not ours."""
        networks = [endpoint["network"] for endpoint in self._sandboxes.get(asker, [])]
        if kind == PTR:
            for network in networks:
                full = self._addresses.get((network, name))
                if full is not None:
                    return [(PTR, encode_name(full))]
            return None
        wanted = links.get(name, name).lower()
        for network in networks:
            found = self._names.get((network, wanted))
            if not found:
                continue
            records = []
            for endpoint in found:
                if endpoint["ipv4"] and kind in (A, ANY):
                    records.append((A, ipaddress.IPv4Address(endpoint["ipv4"]).packed))
                if endpoint["ipv6"] and kind in (AAAA, ANY):
                    records.append((AAAA, ipaddress.IPv6Address(endpoint["ipv6"]).packed))
            random.shuffle(records)  # several containers with one alias share the load
            return records
        return None


class _Forward:
    """One question on its way upstream by UDP; tries the next server when one is silent or broken."""

    def __init__(self, server: DnsServer, query: bytes, reply: Callable[[bytes], None]) -> None:
        self._server, self._query, self._reply = server, query, reply
        self._left = list(server.upstream)
        self._socket: socket.socket | None = None
        self._identifier = b""
        self.deadline = 0.0
        server.pending.add(self)
        self.next_server()

    def next_server(self) -> None:
        """Ask the next upstream server; after the last, answer SERVFAIL."""
        self._close()
        while self._left:
            target = self._left.pop(0)
            try:
                self._socket = socket.socket(
                    socket.AF_INET6 if ":" in target else socket.AF_INET,
                    socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                )
                self._socket.connect((target, PORT))
                self._identifier = os.urandom(2)
                self._socket.send(self._identifier + self._query[2:])
            except OSError:
                self._close()
                continue
            self.deadline = time.monotonic() + _TIMEOUT
            self._server.loop.watch(self._socket, READ, self._readable)
            return
        self._server.pending.discard(self)
        self._reply(failure(self._query))

    def _readable(self, _events: int) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            self.next_server()
            return
        if len(data) < 12 or data[:2] != self._identifier or not data[2] & 0x80:
            return
        if data[3] & 0x0F in (SERVFAIL, 5) and self._left:
            self.next_server()
            return
        self._server.pending.discard(self)
        self._close()
        self._reply(self._query[:2] + data[2:])

    def _close(self) -> None:
        if self._socket is not None:
            self._server.loop.forget(self._socket)
            self._socket.close()
            self._socket = None

    def cancel(self) -> None:
        """Give up without an answer."""
        self._server.pending.discard(self)
        self._close()


class _TcpClient:
    """A TCP client (RFC 1035, 4.2.2): one question after the other, big answers fetched by TCP upstream."""

    def __init__(self, server: DnsServer, connection: socket.socket) -> None:
        self._server, self._connection = server, connection
        self._input, self._output = b"", b""
        self._upstream: socket.socket | None = None
        self._upstream_input, self._upstream_output = b"", b""
        self._query = b""
        self._left: list[str] = []
        self._last = time.monotonic()
        server.clients.add(self)
        server.loop.watch(connection, READ, self._turn)

    def _turn(self, events: int) -> None:
        try:
            if events & READ:
                data = self._connection.recv(65535)
                if not data:
                    self.close()
                    return
                self._input += data
                self._last = time.monotonic()
            self._work()
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def _work(self) -> None:
        while not self._query and len(self._input) >= 2:
            length = struct.unpack_from(">H", self._input)[0]
            if len(self._input) < 2 + length:
                break
            query, self._input = self._input[2 : 2 + length], self._input[2 + length :]
            found = self._server.local_answer(query)
            if found is not None:
                self._send(found)
                continue
            self._query, self._left = query, list(self._server.upstream)
            self._ask_next()
        if self._output:
            try:
                self._output = self._output[self._connection.send(self._output) :]
            except BlockingIOError:
                pass
        if len(self._input) > 1 << 17:
            self.close()
            return
        self._server.loop.watch(self._connection, READ | (WRITE if self._output else 0), self._turn)

    def _send(self, message: bytes) -> None:
        self._output += struct.pack(">H", len(message)) + message

    def _ask_next(self) -> None:
        self._close_upstream()
        while self._left:
            target = self._left.pop(0)
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            self._upstream = socket.socket(
                family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
            try:
                self._upstream.connect((target, PORT))
            except BlockingIOError:
                pass
            except OSError:
                self._close_upstream()
                continue
            self._upstream_input = b""
            self._upstream_output = struct.pack(">H", len(self._query)) + self._query
            self._last = time.monotonic()
            self._server.loop.watch(self._upstream, WRITE, self._upstream_turn)
            return
        self._send(failure(self._query))
        self._query = b""

    def _upstream_turn(self, _events: int) -> None:
        assert self._upstream is not None
        try:
            if self._upstream_output:
                self._upstream_output = self._upstream_output[self._upstream.send(self._upstream_output) :]
                if not self._upstream_output:
                    self._server.loop.watch(self._upstream, READ, self._upstream_turn)
                return
            data = self._upstream.recv(65535)
            if not data:
                raise OSError("closed")
            self._upstream_input += data
        except BlockingIOError:
            return
        except OSError:
            self._ask_next()
            self._turn(0)
            return
        if len(self._upstream_input) < 2:
            return
        length = struct.unpack_from(">H", self._upstream_input)[0]
        if len(self._upstream_input) >= 2 + length:
            message = self._upstream_input[2 : 2 + length]
            self._close_upstream()
            self._query = b""
            self._send(message)
            self._turn(0)

    def _close_upstream(self) -> None:
        if self._upstream is not None:
            self._server.loop.forget(self._upstream)
            self._upstream.close()
            self._upstream = None

    def expire(self, now: float) -> None:
        """Give a silent upstream 5 seconds, a silent client 30."""
        if self._query and now - self._last > 5:
            self._ask_next()
            self._turn(0)
        elif now - self._last > 30:
            self.close()

    def close(self) -> None:
        """Close both connections."""
        self._close_upstream()
        self._server.loop.forget(self._connection)
        self._connection.close()
        self._server.clients.discard(self)


class DnsServer:
    """The server of one sandbox; its sockets live in the sandbox's network namespace."""

    def __init__(
        self, loop: Loop, directory: Directory, sandbox: str, udp: socket.socket, tcp: socket.socket
    ) -> None:
        """``udp`` and ``tcp`` are bound (listening), made inside the namespace."""
        self.loop, self._directory, self._sandbox = loop, directory, sandbox
        self.udp, self.tcp = udp, tcp
        self.upstream: list[str] = []
        self.links: dict[str, str] = {}
        self.pending: set[_Forward] = set()
        self.clients: set[_TcpClient] = set()
        loop.watch(udp, READ, self._udp_readable)
        loop.watch(tcp, READ, self._tcp_readable)

    def local_answer(self, query: bytes, udp: bool = False) -> bytes | None:
        """Return the answer of our own, None when upstream is to be asked."""
        question = parse_query(query)
        if question is None:
            return failure(query)
        records = self._directory.look_up(self._sandbox, question.name, question.kind, self.links)
        if records is not None:
            limit = udp_limit(query, question) if udp else 65535
            return answer(query, question, records, limit=limit)
        if not self.upstream:
            return answer(query, question, [], SERVFAIL)
        return None

    def _udp_readable(self, _events: int) -> None:
        for _ in range(64):
            try:
                query, address = self.udp.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError:
                continue
            found = self.local_answer(query, udp=True)
            if found is not None:
                self._reply(found, address)
            elif len(self.pending) >= _PENDING:
                self._reply(failure(query), address)
            else:
                _Forward(self, query, lambda data, address=address: self._reply(data, address))  # type: ignore[misc]

    def _reply(self, data: bytes, address: Any) -> None:
        try:
            self.udp.sendto(data, address)
        except OSError:
            pass

    def _tcp_readable(self, _events: int) -> None:
        try:
            connection, _address = self.tcp.accept()
        except OSError:
            return
        if len(self.clients) >= _TCP_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        _TcpClient(self, connection)

    def expire(self, now: float) -> None:
        """Move questions whose server is silent to the next one."""
        for forward in [f for f in self.pending if now > f.deadline]:
            forward.next_server()
        for client in list(self.clients):
            client.expire(now)

    def close(self) -> None:
        """Close all sockets, so that the namespace can go."""
        for forward in list(self.pending):
            forward.cancel()
        for client in list(self.clients):
            client.close()
        for end in (self.udp, self.tcp):
            self.loop.forget(end)
            end.close()
