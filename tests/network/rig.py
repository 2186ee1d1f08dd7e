"""A host of its own for tests: two network namespaces, "host" with the service in it and "outside".

198.51.100.0/24 (TEST-NET-2) and 2001:db8:51::/64 join them. The service is entered by nsenter --net
only (ip netns exec would give it a mount namespace of its own, and its pins with it).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc

from trine.kit.errors import EngineError, from_rpc_error
from trine.linux import netns
from trine.v1 import network_pb2 as pb
from trine.v1 import network_pb2_grpc

T = TypeVar("T")
HOST4, OUTSIDE4 = "198.51.100.1", "198.51.100.2"
HOST6, OUTSIDE6 = "2001:db8:51::1", "2001:db8:51::2"


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def in_netns(path: str, work: Callable[[], T]) -> T:
    """Run ``work`` in a thread of its own that has joined a namespace."""
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                netns.enter(descriptor)
            finally:
                os.close(descriptor)
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def tcp_server(path: str, port: int, host: str = "", text: str = "hello") -> socket.socket:
    """Serve TCP in a namespace: each client is told ``text`` and its own address. Close to end."""
    family = socket.AF_INET6 if ":" in host or not host else socket.AF_INET

    def make() -> socket.socket:
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind((host or "::", port))
        found.listen(64)
        return found

    listener = in_netns(path, make)

    def answer(client: socket.socket, address: Any) -> None:
        with client:
            client.sendall(f"{text} {address[0].removeprefix('::ffff:')}\n".encode())
            while data := client.recv(65536):
                client.sendall(data)

    def loop() -> None:
        while True:
            try:
                client, address = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client, address), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return listener


def udp_server(path: str, port: int, text: str = "hello") -> socket.socket:
    """Serve UDP in a namespace: each datagram is answered with ``text`` and the client's address."""

    def make() -> socket.socket:
        found = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind(("::", port))
        return found

    server = in_netns(path, make)

    def loop() -> None:
        while True:
            try:
                _data, address = server.recvfrom(65535)
                if not address:  # shut down
                    return
                server.sendto(f"{text} {address[0].removeprefix('::ffff:')}\n".encode(), address)
            except OSError:
                return

    threading.Thread(target=loop, daemon=True).start()
    return server


def stop(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()


def tcp(path: str, host: str, port: int, timeout: float = 3.0, source: str = "") -> str:
    """Connect from a namespace and return the first line; "" when it does not answer in time."""

    def work() -> str:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            if source:
                client.bind((source, 0))
            try:
                client.connect((host, port))
                return client.makefile().readline().strip()
            except OSError:
                return ""

    return in_netns(path, work)


def udp(path: str, host: str, port: int, timeout: float = 3.0) -> str:
    """Send a datagram from a namespace and return the answer, "" when none comes in time."""

    def work() -> str:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            try:
                client.connect((host, port))
                client.send(b"?")
                return client.recv(65535).decode().strip()
            except OSError:
                return ""

    return in_netns(path, work)


def ping(path: str, host: str, timeout: float = 3.0) -> bool:
    """ICMP echo from a namespace (icmp(7), ping sockets)."""

    def work() -> bool:
        six = ":" in host
        family = socket.AF_INET6 if six else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
        with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
            raw.settimeout(timeout)
            identifier = secrets.randbits(16)
            packet = struct.pack(">BBHHH", 128 if six else 8, 0, 0, identifier, 1) + b"trine"
            if not six:
                total = sum(struct.unpack(f">{(len(packet) + 1) // 2}H", packet + b"\0" * (len(packet) % 2)))
                total = (total & 0xFFFF) + (total >> 16)
                packet = packet[:2] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + packet[4:]
            deadline = time.monotonic() + timeout
            try:
                raw.sendto(packet, (host, 0))
                while time.monotonic() < deadline:
                    data = raw.recv(2048)
                    reply = data if six else data[(data[0] & 15) * 4 :]
                    if reply[0] == (129 if six else 0) and reply[4:6] == struct.pack(">H", identifier):
                        return True
            except OSError:
                return False
            return False

    return in_netns(path, work)


def dns(path: str, name: str, kind: int = 1, server: str = "127.0.0.11") -> tuple[int, list[bytes]]:
    """Ask a DNS question by UDP from a namespace; return (code, record data)."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    query = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)

    def work() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect((server, 53))
            client.send(query)
            return client.recv(65535)

    return parse_dns(in_netns(path, work), len(query))


def parse_dns(data: bytes, offset: int) -> tuple[int, list[bytes]]:
    _identifier, flags, _questions, answers = struct.unpack_from(">HHHH", data)
    found = []
    for _ in range(answers):
        offset += 2 if data[offset] & 0xC0 else data.index(0, offset) + 1 - offset
        _kind, _klass, _ttl, length = struct.unpack_from(">HHIH", data, offset)
        found.append(data[offset + 10 : offset + 10 + length])
        offset += 10 + length
    return flags & 15, found


def names(records: Sequence[bytes]) -> list[str]:
    """Decode uncompressed names (PTR)."""
    result = []
    for data in records:
        labels, offset = [], 0
        while data[offset]:
            labels.append(data[offset + 1 : offset + 1 + data[offset]].decode())
            offset += 1 + data[offset]
        result.append(".".join(labels))
    return result


def wait_for(condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Poll until ``condition`` gives something true; what matters is that it comes, not when."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")


class Rig:
    """One host with one or more services on it."""

    def __init__(self, backend: str = "nft", flags: Sequence[str] = ()) -> None:
        self.backend, self.flags = backend, list(flags)
        tag = secrets.token_hex(3)
        self.host, self.outside = f"/run/netns/tnh-{tag}", f"/run/netns/tno-{tag}"
        self._names = (f"tnh-{tag}", f"tno-{tag}")
        self.directory = Path(tempfile.mkdtemp(prefix="tn-"))
        self.exec_root, self.data_root = self.directory / "x", self.directory / "d"
        self.process: subprocess.Popen[str] | None = None
        self._channel: grpc.Channel | None = None
        host, outside = self._names
        for name in self._names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "out0", "netns", outside, "type", "veth", "peer", "ext0", "netns", host)
        for name, link, four, six in ((host, "ext0", HOST4, HOST6), (outside, "out0", OUTSIDE4, OUTSIDE6)):
            run("ip", "-n", name, "address", "add", f"{four}/24", "dev", link)
            run("ip", "-n", name, "address", "add", f"{six}/64", "dev", link, "nodad")
            run("ip", "-n", name, "link", "set", link, "up")
        # A new namespace starts with what the machine has; the tests start from a plain host.
        self.sysctl("net/ipv4/ip_forward", "0")
        self.sysctl("net/ipv6/conf/all/forwarding", "0")

    # The service

    def command(self, *more: str) -> list[str]:
        return [
            "nsenter",
            f"--net={self.host}",
            sys.executable,
            "-I",
            "-m",
            "trine.network.main",
            "--data-root",
            os.fspath(self.data_root),
            "--exec-root",
            os.fspath(self.exec_root),
            "--firewall-backend",
            self.backend,
            *self.flags,
            *more,
        ]

    def start(self, *more: str) -> network_pb2_grpc.NetworkServiceStub:
        log = (self.directory / "log").open("a")
        self.process = subprocess.Popen(self.command(*more), stderr=log, text=True)
        log.close()
        self._channel = grpc.insecure_channel(
            f"unix:{self.exec_root}/network.sock",
            options=[
                ("grpc.initial_reconnect_backoff_ms", 20),
                ("grpc.max_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 20),
            ],
        )
        stub = network_pb2_grpc.NetworkServiceStub(self._channel)
        deadline = time.monotonic() + 20
        while True:
            try:
                stub.GetNetworkInfo(pb.GetNetworkInfoRequest(), timeout=5)
                return stub
            except grpc.RpcError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"service did not start: {self.log()}") from None
                time.sleep(0.02)

    @property
    def stub(self) -> network_pb2_grpc.NetworkServiceStub:
        assert self._channel is not None
        return network_pb2_grpc.NetworkServiceStub(self._channel)

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def _end(self, number: int) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def restart(self, *more: str) -> network_pb2_grpc.NetworkServiceStub:
        self.kill()
        return self.start(*more)

    def holder_pid(self) -> int:
        """The pid of the port holder, from its lock's owner on the socket (SO_PEERCRED)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(os.fspath(self.exec_root / "ports.sock"))
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return int(struct.unpack("iII", credentials)[0])

    def close(self) -> None:
        """Clean up: the service, its holder, its pins, the directory; bridges and rules go with their host.

        (``--cleanup`` has tests of its own; here it would cost half a second a test.)
        """
        with contextlib.suppress(Exception):
            self.kill()
        with contextlib.suppress(OSError):
            os.kill(self.holder_pid(), signal.SIGKILL)
        for pin in self.directory.glob("x*/netns/*"):
            netns.unpin(os.fspath(pin))
        for name in self._names:
            run("ip", "netns", "delete", name, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    # Short ways to call it

    def sandbox(self, identifier: str, *networks: str | pb.EndpointRequest, **more: Any) -> pb.Sandbox:
        endpoints = [
            n if isinstance(n, pb.EndpointRequest) else pb.EndpointRequest(network=n) for n in networks
        ]
        more.setdefault("container_name", identifier)
        request = pb.CreateSandboxRequest(id=identifier, endpoints=endpoints, **more)
        return self.stub.CreateSandbox(request, timeout=30).sandbox

    def delete(self, identifier: str) -> None:
        self.stub.DeleteSandbox(pb.DeleteSandboxRequest(id=identifier), timeout=30)

    def network(self, name: str, **more: Any) -> pb.Network:
        self.stub.CreateNetwork(pb.CreateNetworkRequest(name=name, **more), timeout=30)
        return self.get_network(name)

    def get_network(self, name: str) -> pb.Network:
        return self.stub.GetNetwork(pb.GetNetworkRequest(name=name), timeout=30).network

    def pin(self, identifier: str) -> str:
        return os.fspath(self.exec_root / "netns" / identifier)

    # What the host has

    def on_host(self, *command: str, check: bool = True) -> str:
        return run("nsenter", f"--net={self.host}", *command, check=check)

    def sysctl(self, key: str, value: str) -> None:
        """Set a sysctl of the host's namespace."""
        in_netns(self.host, lambda: Path("/proc/sys", key).write_text(value))

    def rules(self, version: int = 4) -> list[str]:
        """All rules and chains of the host, by the backend in use, without counters."""
        program = f"{'iptables' if version == 4 else 'ip6tables'}-{self.backend}-save"
        lines = self.on_host(program).splitlines()
        return [line.split(" [")[0] for line in lines if line and not line.startswith("#")]

    def links(self) -> set[str]:
        lines = run("ip", "-n", self._names[0], "-o", "link").splitlines()
        return {line.split(": ")[1].split("@")[0] for line in lines}

    def veths(self) -> set[str]:
        return {name for name in self.links() if name.startswith("veth")}

    def pins(self) -> set[str]:
        return {entry.name for entry in (self.exec_root / "netns").iterdir()} - {"default"}

    def outside_route(self, subnet: str) -> None:
        """A LAN neighbour that routes a container subnet to the host."""
        six = ["-6"] if ":" in subnet else []
        run("ip", *six, "-n", self._names[1], "route", "replace", subnet, "via", HOST6 if six else HOST4)


@contextlib.contextmanager
def refused() -> Iterator[list[EngineError]]:
    """Expect a call to fail; the error is in the list afterwards."""
    caught: list[EngineError] = []
    try:
        yield caught
    except grpc.RpcError as error:
        caught.append(from_rpc_error(error))
        assert "\n" not in caught[0].message
        return
    raise AssertionError("the call succeeded")


def port(host: int, container: int, protocol: str = "tcp", ip: str = "", end: int = 0) -> pb.PortMapping:
    return pb.PortMapping(
        host_ip=ip, host_port=host, host_port_end=end, container_port=container, protocol=protocol
    )
