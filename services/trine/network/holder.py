"""The port holder: one lean process that keeps host ports and embedded DNS while services come and go.

Started by trine-network as ``python -I -S holder.py EXEC_ROOT`` in a session of its own; listens on
``<exec-root>/ports.sock``. A message is four bytes of length (big endian) and JSON; every request has
one answer, in order:

    {"op": "hello"}                        → {"ok": true, "version": 2, "pid": n}
    {"op": "hold", "id": s, "ports": [{"protocol", "hosts", "port", "end", "targets"}]}
                                           → {"ok": true, "ports": [n, …]}, or what was in use
    {"op": "dns", "id": s, "netns": path, "port": n, "upstream": [...], "links": {...}, "endpoints": [...]}
    {"op": "drop", "id": s}   {"op": "list"}   {"op": "stop"}

"hold" and "dns" replace what the sandbox had; a "hold" that fails leaves what it had.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

if __name__ == "__main__":  # -S: no site-packages, and the path is set by hand
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from trine.linux import netns
from trine.network.dns import ADDRESS, Directory, DnsServer
from trine.network.relay import READ, WRITE, Loop, Relay, TcpRelay, UdpRelay, bind, serve

VERSION = 2
_EPHEMERAL = (49153, 65535)  # where the host does not say its own
Key = tuple[str, str, int]  # protocol, host address, port


class InUseError(Exception):
    """A port cannot be held; ``ours`` when another sandbox has it."""

    def __init__(self, protocol: str, host: str, port: int, number: int, ours: bool) -> None:
        """Keep what the answer needs."""
        super().__init__(f"{protocol} {host}:{port}")
        self.answer = {
            "ok": False,
            "protocol": protocol,
            "host": host,
            "port": port,
            "errno": number,
            "ours": ours,
        }


def ephemeral_range() -> tuple[int, int]:
    """Return the ports to choose from where none is asked for: the host's own range, as Docker (ip(7))."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
            first, last = (int(word) for word in file.read().split())
    except (OSError, ValueError):
        return _EPHEMERAL
    return (first, last) if 0 < first <= last else _EPHEMERAL


class Holder:
    """All sandboxes' ports and DNS servers."""

    def __init__(self, loop: Loop) -> None:
        """Start with nothing held."""
        self.loop = loop
        self._home = netns.open_current()
        self._ports: dict[str, dict[Key, tuple[Relay, tuple[str, int]]]] = {}
        self._owners: dict[Key, str] = {}
        self._directory = Directory()
        self._dns: dict[str, DnsServer] = {}
        self._next = 0
        loop.every_second(self._expire)

    def _expire(self, now: float) -> None:
        for held in self._ports.values():
            for relay, _target in held.values():
                if isinstance(relay, (TcpRelay, UdpRelay)):
                    relay.expire(now)
        for server in self._dns.values():
            server.expire(now)

    def hold(self, sandbox: str, ports: list[dict[str, Any]]) -> list[int]:
        """Hold all ports or none; return the host port of each. Raises InUseError."""
        had = self._ports.get(sandbox, {})
        fresh: dict[Key, tuple[Relay, tuple[str, int]]] = {}
        kept: dict[Key, tuple[Relay, tuple[str, int]]] = {}
        chosen: list[int] = []
        try:
            for port in ports:
                number = self._hold_one(sandbox, port, had, fresh, kept)
                chosen.append(number)
        except BaseException:
            for key, (relay, _target) in fresh.items():
                self._owners.pop(key, None)
                relay.close()
            raise
        for key, (relay, _target) in had.items():
            if key not in kept:
                if key not in fresh:
                    self._owners.pop(key, None)
                relay.close()
        for relay, target in kept.values():
            if isinstance(relay, (TcpRelay, UdpRelay)):
                relay.target = target
        self._ports[sandbox] = {**kept, **fresh}
        return chosen

    def _hold_one(
        self,
        sandbox: str,
        port: dict[str, Any],
        had: dict[Key, tuple[Relay, tuple[str, int]]],
        fresh: dict[Key, tuple[Relay, tuple[str, int]]],
        kept: dict[Key, tuple[Relay, tuple[str, int]]],
    ) -> int:
        protocol, hosts, targets = port["protocol"], port["hosts"], port["targets"]
        wanted = [(host, (target[0], int(target[1]))) for host, target in zip(hosts, targets, strict=True)]
        first, last = int(port["port"]), int(port["end"] or port["port"])
        if first and all((protocol, host, first) in had for host, _target in wanted):
            for host, target in wanted:
                kept[protocol, host, first] = (had[protocol, host, first][0], target)
            return first
        if first and first == last:
            fresh.update(self._bind(sandbox, protocol, wanted, first, fresh))
            return first
        numbers = range(first, last + 1) if first else self._ephemeral()
        problem: InUseError | None = None
        for number in numbers:
            try:
                fresh.update(self._bind(sandbox, protocol, wanted, number, fresh))
            except InUseError as error:
                if error.answer["errno"] != errno.EADDRINUSE:
                    raise
                problem = error
                continue
            if not first:
                self._next = number + 1
            return number
        assert problem is not None
        problem.answer["exhausted"] = True
        raise problem

    def _ephemeral(self) -> list[int]:
        start, end = ephemeral_range()
        following = self._next if start <= self._next <= end else start
        return [*range(following, end + 1), *range(start, following)]

    def _bind(
        self,
        sandbox: str,
        protocol: str,
        wanted: list[tuple[str, tuple[str, int]]],
        number: int,
        fresh: dict[Key, tuple[Relay, tuple[str, int]]],
    ) -> dict[Key, tuple[Relay, tuple[str, int]]]:
        made: dict[Key, tuple[Relay, tuple[str, int]]] = {}
        try:
            for host, target in wanted:
                key = (protocol, host, number)
                if key in fresh:
                    raise InUseError(protocol, host, number, errno.EADDRINUSE, True)
                try:
                    listener = bind(protocol, host, number)
                except OSError as error:
                    ours = self._is_ours(protocol, host, number)
                    raise InUseError(protocol, host, number, error.errno or 0, ours) from error
                made[key] = (serve(self.loop, protocol, listener, target), target)
        except BaseException:
            for relay, _target in made.values():
                relay.close()
            raise
        for key in made:
            self._owners[key] = sandbox
        return made

    def _is_ours(self, protocol: str, host: str, number: int) -> bool:
        everywhere = "::" if ":" in host else "0.0.0.0"
        for other_protocol, other_host, other in self._owners:
            if (other_protocol, other) != (protocol, number) or (":" in other_host) != (":" in host):
                continue
            if other_host == host or everywhere in (other_host, host):
                return True
        return False

    def dns(self, request: dict[str, Any]) -> None:
        """Start or change the DNS server of a sandbox. Raises OSError."""
        sandbox = request["id"]
        server = self._dns.get(sandbox)
        if server is None and request["netns"]:
            udp, tcp = self._open_inside(request["netns"], request["port"])
            server = self._dns[sandbox] = DnsServer(self.loop, self._directory, sandbox, udp, tcp)
        if server is not None:
            server.upstream = list(request["upstream"])
            server.links = {alias.lower(): name for alias, name in request["links"].items()}
        self._directory.put(sandbox, request["endpoints"])

    def _open_inside(self, path: str, port: int) -> tuple[socket.socket, socket.socket]:
        descriptor = netns.open_pin(path)
        try:
            with netns.inside(descriptor, self._home):
                udp = bind("udp", ADDRESS, port)
                try:
                    tcp = bind("tcp", ADDRESS, port)
                except BaseException:
                    udp.close()
                    raise
                return udp, tcp
        finally:
            os.close(descriptor)

    def drop(self, sandbox: str) -> None:
        """Let go of everything of a sandbox."""
        for key, (relay, _target) in self._ports.pop(sandbox, {}).items():
            self._owners.pop(key, None)
            relay.close()
        server = self._dns.pop(sandbox, None)
        if server is not None:
            server.close()
        self._directory.remove(sandbox)

    def state(self) -> dict[str, Any]:
        """Return who holds what."""
        return {
            "ok": True,
            "ports": {
                sandbox: [[*key, *target] for key, (_relay, target) in held.items()]
                for sandbox, held in self._ports.items()
            },
            "dns": sorted(self._dns),
        }

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do one request and return its answer."""
        operation = request.get("op")
        try:
            if operation == "hello":
                return {"ok": True, "version": VERSION, "pid": os.getpid()}
            if operation == "hold":
                return {"ok": True, "ports": self.hold(request["id"], request["ports"])}
            if operation == "dns":
                self.dns(request)
                return {"ok": True}
            if operation == "drop":
                self.drop(request["id"])
                return {"ok": True}
            if operation == "list":
                return self.state()
            if operation == "stop":
                self.loop.stopping = True
                return {"ok": True}
        except InUseError as error:
            return error.answer
        except (OSError, KeyError, ValueError, TypeError) as error:
            return {"ok": False, "errno": getattr(error, "errno", None) or 0, "message": str(error)}
        return {"ok": False, "errno": errno.ENOSYS, "message": f"unknown op {operation!r}"}


class Control:
    """One connected client of the control socket."""

    def __init__(self, holder: Holder, connection: socket.socket) -> None:
        """Watch a fresh connection."""
        self._holder, self._connection = holder, connection
        self._input, self._output = bytearray(), bytearray()
        connection.setblocking(False)
        holder.loop.watch(connection, READ, self._turn)

    def _turn(self, events: int) -> None:
        try:
            if events & READ:
                data = self._connection.recv(1 << 18)
                if not data:
                    self._close()
                    return
                self._input += data
            while len(self._input) >= 4:
                length = struct.unpack_from(">I", self._input)[0]
                if len(self._input) < 4 + length:
                    break
                request = json.loads(bytes(self._input[4 : 4 + length]))
                del self._input[: 4 + length]
                content = json.dumps(self._holder.handle(request)).encode()
                self._output += struct.pack(">I", len(content)) + content
            if self._output:
                sent = self._connection.send(self._output)
                del self._output[:sent]
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._close()
            return
        self._holder.loop.watch(self._connection, READ | (WRITE if self._output else 0), self._turn)

    def _close(self) -> None:
        self._holder.loop.forget(self._connection)
        self._connection.close()


def main(exec_root: str) -> int:
    """Hold ports until told to stop; return the exit status: 1 when another holder is there."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal that goes must not close ports
    lock = os.open(os.path.join(exec_root, "ports.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    path = os.path.join(exec_root, "ports.sock")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.chdir("/")
    os.umask(0o177)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    listener.bind(path)
    listener.listen(16)
    loop = Loop()
    holder = Holder(loop)

    def accept(_events: int) -> None:
        try:
            Control(holder, listener.accept()[0])
        except OSError:
            pass

    def terminated(_events: int) -> None:
        loop.stopping = True

    # SIGTERM ends it, so that a shutdown of the machine does not wait; who stops the services sends it
    # to them alone, and a service that is at work starts another holder.
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    loop.watch(woken, READ, terminated)
    loop.watch(listener, READ, accept)
    os.write(1, b"ready\n")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.close(null)
    loop.run()
    os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
