"""The service's side of the port holder: start it, adopt it, notice its death, ask it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from trine.kit.errors import ConflictError, EngineError, InternalError, InvalidArgumentError, UnavailableError
from trine.kit.logs import get_logger
from trine.network.model import Endpoint, Network, Port, Sandbox

_SCRIPT = Path(__file__).with_name("holder.py")
_VERSION = 2
_HELLO_SECONDS = 5.0
_ANSWER_SECONDS = 15.0  # holding thousands of ports takes under one


class PortHolder:
    """A connection to the holder of one exec-root; makes a holder where there is none."""

    def __init__(self, exec_root: Path, on_fresh: Callable[[], Awaitable[None]]) -> None:
        """``on_fresh`` is awaited when a holder was started anew and must be told everything."""
        self._root = exec_root
        self._on_fresh = on_fresh
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answers: list[asyncio.Future[dict[str, Any]]] = []
        self._lock = asyncio.Lock()
        self._children: list[subprocess.Popen[bytes]] = []
        self._closing = False
        self._watcher: asyncio.Task[None] | None = None
        self.pid = 0

    async def start(self) -> bool:
        """Connect to the running holder or start one; return whether it is a fresh one."""
        async with self._lock:
            if self._writer is not None:
                return False
            if await self._connect():
                return False
            await self._spawn()
            if not await self._connect():
                raise UnavailableError("the port holder does not answer", reason="PORT_HOLDER")
            return True

    async def _connect(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(
                os.fspath(self._root / "ports.sock"), limit=1 << 24
            )
        except OSError:
            return False
        self._reader, self._writer = reader, writer
        self._watcher = asyncio.create_task(self._read(reader, writer))
        try:
            answer = await asyncio.wait_for(self._ask({"op": "hello"}), _HELLO_SECONDS)
        except EngineError:
            return False
        except TimeoutError:
            await self._end_hung(writer)
            return False
        self.pid = int(answer["pid"])
        if answer["version"] != _VERSION:
            await self._ask({"op": "stop"})
            await self._watcher
            return False
        return True

    async def _end_hung(self, writer: asyncio.StreamWriter) -> None:
        """End a holder that does not answer (stopped, or stuck): its ports are bound anew by another."""
        credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = struct.unpack("iII", credentials)[0]
        get_logger("ports").error("the port holder does not answer; ending it", pid=pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if self._watcher is not None:
            await self._watcher

    async def _spawn(self) -> None:
        """Start the holder in a session of its own and wait until it listens."""
        loop = asyncio.get_running_loop()
        self._children = [child for child in self._children if child.poll() is None]
        for _ in range(50):
            child = await loop.run_in_executor(None, self._popen)
            assert child.stdout is not None
            line = await loop.run_in_executor(None, child.stdout.readline)
            child.stdout.close()
            self._children.append(child)
            if line == b"ready\n":
                return
            # Another one holds the lock: it is starting (then we can connect) or just dying.
            await asyncio.sleep(0.02)
            if (self._root / "ports.sock").exists() and await self._probe():
                return
        raise UnavailableError("cannot start the port holder", reason="PORT_HOLDER")

    def _popen(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", os.fspath(_SCRIPT), os.fspath(self._root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    async def _probe(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(os.fspath(self._root / "ports.sock"))
        except OSError:
            return False
        writer.close()
        return True

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand answers to those who asked, in order; at the end of the stream start another holder."""
        try:
            while True:
                length = struct.unpack(">I", await reader.readexactly(4))[0]
                answer = json.loads(await reader.readexactly(length))
                self._answers.pop(0).set_result(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()
        self._reader = self._writer = None
        for waiting in self._answers:
            if not waiting.done():
                waiting.set_exception(UnavailableError("the port holder ended", reason="PORT_HOLDER"))
        self._answers.clear()
        if not self._closing:
            asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        log = get_logger("ports")
        if self._writer is not None:
            return
        log.warning("the port holder ended; starting another")
        try:
            if await self.start():
                await self._on_fresh()
        except EngineError as error:
            log.error("no port holder", error=error.message)

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._writer is None:
            raise UnavailableError("the port holder ended", reason="PORT_HOLDER")
        content = json.dumps(request).encode()
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        writer = self._writer
        writer.write(struct.pack(">I", len(content)) + content)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), _ANSWER_SECONDS)
        except TimeoutError:
            if self._writer is writer:
                await self._end_hung(writer)
            raise UnavailableError("the port holder ended", reason="PORT_HOLDER") from None

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request; a holder that dies meanwhile is replaced and asked again, once."""
        if self._writer is None and await self.start():
            await self._on_fresh()
        try:
            return await self._ask(request)
        except UnavailableError:
            if await self.start():
                await self._on_fresh()
            return await self._ask(request)

    async def hold(self, sandbox: str, ports: Sequence[dict[str, Any]], prefix: str = "") -> list[int]:
        """Hold host ports, all or none; return the host port of each.

        Raises ConflictError (PORT_ALLOCATED) or InvalidArgumentError, in Docker's words behind ``prefix``.
        """
        answer = await self.ask({"op": "hold", "id": sandbox, "ports": list(ports)})
        if answer["ok"]:
            return [int(number) for number in answer["ports"]]
        raise _refusal(answer, prefix)

    async def dns(self, request: dict[str, Any]) -> None:
        """Start or change embedded DNS of a sandbox. Raises InternalError."""
        answer = await self.ask({"op": "dns", **request})
        if not answer["ok"]:
            raise InternalError(f"embedded DNS: {answer.get('message', '')}", reason="DNS")

    async def drop(self, sandbox: str) -> None:
        """Let go of a sandbox's ports and DNS."""
        await self.ask({"op": "drop", "id": sandbox})

    async def known(self) -> set[str]:
        """Return the ids of all sandboxes the holder has something of."""
        answer = await self.ask({"op": "list"})
        return {*answer["ports"], *answer["dns"]}

    async def stop(self) -> None:
        """End the holder itself (uninstall)."""
        self._closing = True
        if self._writer is None and not await self._connect():
            return
        await self._ask({"op": "stop"})
        if self._watcher is not None:
            await self._watcher

    async def close(self) -> None:
        """Disconnect; the holder goes on."""
        self._closing = True
        if self._writer is not None:
            self._writer.close()
        if self._watcher is not None:
            await self._watcher


def _refusal(answer: dict[str, Any], prefix: str) -> EngineError:
    if "host" not in answer:
        return InternalError(f"port holder: {answer.get('message', 'refused')}", reason="PORT_HOLDER")
    host, port, protocol = answer["host"], answer["port"], answer["protocol"]
    written = f"[{host}]" if ":" in host else host
    where = {"host_ip": host, "host_port": str(port), "protocol": protocol}
    if answer.get("exhausted"):
        return ConflictError(f"{prefix}all ports are allocated", reason="PORT_ALLOCATED", metadata=where)
    if answer["errno"] == errno.EADDRINUSE and answer["ours"]:
        return ConflictError(
            f"{prefix}Bind for {written}:{port} failed: port is already allocated",
            reason="PORT_ALLOCATED",
            metadata=where,
        )
    family = "6" if ":" in host else "4"
    if answer["errno"] == errno.EADDRINUSE:
        return ConflictError(
            f"{prefix}Error starting userland proxy: listen {protocol}{family} {written}:{port}: "
            "bind: address already in use",
            reason="PORT_ALLOCATED",
            metadata=where,
        )
    text = os.strerror(answer["errno"]).lower()
    if answer["errno"] == errno.EPROTONOSUPPORT:  # SCTP, which this kernel does not have
        return InvalidArgumentError(
            f"{prefix}Error starting userland proxy: {text}", reason="PORT_UNAVAILABLE", metadata=where
        )
    return InvalidArgumentError(
        f"{prefix}Error starting userland proxy: listen {protocol}{family} {written}:{port}: bind: {text}",
        reason="PORT_UNAVAILABLE",
        metadata=where,
    )


def hosts_of(port: Port, network: Network, ipv6_host: bool) -> list[str]:
    """Return the host addresses a port is published on: its own, or all of IPv4 and of IPv6."""
    if port.host_ip:
        return [port.host_ip]
    if network.host_binding != "0.0.0.0":
        return [network.host_binding]
    return ["0.0.0.0", "::"] if ipv6_host else ["0.0.0.0"]


def hold_request(port: Port, endpoint: Endpoint, hosts: Sequence[str]) -> dict[str, Any]:
    """Return what the holder needs to know about one port."""
    targets = [
        (endpoint.ipv6 if ":" in host and endpoint.ipv6 else endpoint.ipv4, port.container_port)
        for host in hosts
    ]
    return {
        "protocol": port.protocol,
        "hosts": list(hosts),
        "port": port.host_port,
        "end": port.host_port_end,
        "targets": targets,
    }


def hold_again(sandbox: Sandbox, endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return the request that holds a sandbox's ports once more, exactly as they are in force."""
    return [hold_request(port, endpoint, [port.host_ip]) for port in sandbox.ports]


def dns_request(sandbox: Sandbox, upstream: Sequence[str], builtin: frozenset[str]) -> dict[str, Any]:
    """Return what the holder needs to know for a sandbox's DNS; ``builtin`` networks have no names."""
    endpoints = [e for e in sandbox.endpoints if e.network_id not in builtin]
    short = sandbox.id[:12]
    links: dict[str, str] = {}
    for endpoint in endpoints:
        for link in endpoint.links:
            target, _, alias = link.partition(":")
            links[alias or target] = target
    return {
        "id": sandbox.id,
        "netns": sandbox.netns_path if sandbox.dns else "",
        "port": sandbox.dns_port,
        "upstream": list(upstream),
        "links": links,
        "endpoints": [
            {
                "network": e.network_id,
                "network_name": e.network_name,
                "name": sandbox.container_name,
                "names": [*e.aliases, short],
                "ipv4": e.ipv4,
                "ipv6": e.ipv6,
            }
            for e in endpoints
        ],
    }
