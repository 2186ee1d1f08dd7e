"""iperf3 between two containers, against two namespaces joined by a hand-made bridge, in turns.

The containers run the host's own iperf3, mounted with its libraries, so no mirror is needed. A figure is
Gbit/s that were received; more is better. All run for a second at a time, one after the other.

"trine" and "docker" are iperf3 in containers, with all that a container is: on a busy machine the scheduler
gives each container one share, and a program outside more. "trine-net" is the same pair of namespaces with
programs outside, as "veth" has them, both before all others on the machine (chrt(1)): the network alone.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sysconfig
from collections.abc import Callable, Iterator

from bench.peers import Peer
from support.place import OwnPlace, Place, connect

SECONDS = "1"
_LIBRARIES = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
_BRIDGE = "bench0"
# Where an engine has turned forwarding on, what is not its own is dropped, as by Docker.
_ACCEPT = f"iptables -I FORWARD -i {_BRIDGE} -o {_BRIDGE} -j ACCEPT"
_MOUNTS = (
    "-v", "/usr/bin/iperf3:/iperf3:ro", "-v", f"{_LIBRARIES}:/host:ro", "-e", "LD_LIBRARY_PATH=/host",
)  # fmt: skip


def _first() -> list[str]:
    """Return what makes a program go before all others, nothing where that is not allowed."""
    words = ["chrt", "--rr", "10"]
    try:
        return words if subprocess.run([*words, "true"], capture_output=True).returncode == 0 else []
    except OSError:
        return []


def _received(report: str) -> float:
    return float(json.loads(report)["end"]["sum_received"]["bits_per_second"]) / 1e9


@contextlib.contextmanager
def _serving(command: list[str]) -> Iterator[None]:
    """Run a server until the end of the block."""
    listening = subprocess.Popen(
        [*command, "-s", "--forceflush"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert listening.stdout is not None
        while line := listening.stdout.readline():
            if "listening" in line:
                break
        yield
    finally:
        listening.kill()
        listening.communicate()


def _client(command: list[str]) -> Callable[[], float]:
    def once() -> float:
        done = subprocess.run([*command, "-J", "-t", SECONDS], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"iperf3: {done.stdout[-300:]}")
        return _received(done.stdout)

    return once


@contextlib.contextmanager
def containers(peer: Peer) -> Iterator[dict[str, Callable[[], float]]]:
    """Start a server's and a client's container; give what measures once, inside and from outside."""
    names = ("bench-iperf-server", "bench-iperf-client")
    try:
        peer("pull", "-q", "debian")
        peer("run", "-d", "--name", names[0], *_MOUNTS, "debian", "/iperf3", "-s")
        peer("run", "-d", "--name", names[1], *_MOUNTS, "debian", "sleep", "3600")
        shown = [
            peer("inspect", "-f", "{{.State.Pid}} {{.NetworkSettings.IPAddress}}", n).stdout for n in names
        ]
        (server, address), (client, _) = (text.split() for text in shown)
        inside = ("exec", names[1], "/iperf3", "-J", "-t", SECONDS, "-c", address)
        outside = [
            [*_first(), "nsenter", "--target", pid, "--net", "iperf3", "-p", "5202"]
            for pid in (server, client)
        ]
        with _serving(outside[0]):
            yield {
                peer.name: lambda: _received(peer(*inside).stdout),
                f"{peer.name}-net": _client([*outside[1], "-c", address]),
            }
    finally:
        peer("rm", "-f", *names, check=False)


@contextlib.contextmanager
def by_hand(middle: Place) -> Iterator[Callable[[], float]]:
    """Join two namespaces by a bridge in a third, "middle"; give what measures once."""
    with contextlib.ExitStack() as stack:
        client, server = OwnPlace(), OwnPlace()
        for place in (client, server):
            stack.callback(place.close)
        for words in (f"ip link add {_BRIDGE} type bridge", f"ip link set {_BRIDGE} up", _ACCEPT):
            subprocess.run(middle.command(*words.split()), check=True)
        for number, place in ((2, client), (3, server)):
            port = f"{_BRIDGE}p{number}"
            connect(place, "eth0", middle, port)
            subprocess.run(middle.command("ip", "link", "set", port, "master", _BRIDGE), check=True)
            address = place.command("ip", "address", "add", f"10.99.99.{number}/24", "dev", "eth0")
            subprocess.run(address, check=True)
        with _serving([*_first(), *server.command("iperf3")]):
            yield _client([*_first(), *client.command("iperf3", "-c", "10.99.99.3")])


def measure(engines: list[Peer], rounds: int) -> dict[str, list[float]]:
    """Return Gbit/s of each round, by engine and for the hand-made ones.

    "veth" is on Trine's host, where the kernel takes bridged packets through FORWARD whatever bridge they
    cross (bridge-nf-call-iptables); "veth-bare" is on one without any other rule.
    """
    figures: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        ways: dict[str, Callable[[], float]] = {}
        for engine in engines:
            ways |= stack.enter_context(containers(engine))
        bare = OwnPlace()
        stack.callback(bare.close)
        ways["veth-bare"] = stack.enter_context(by_hand(bare))
        host = next((engine.place for engine in engines if engine.place), None)
        if host is not None:
            ways["veth"] = stack.enter_context(by_hand(host))
        for number in range(rounds + 1):
            for name, once in ways.items():
                figure = once()
                if number:  # the first round warms up
                    figures.setdefault(name, []).append(figure)
    return figures


def row(figures: dict[str, list[float]]) -> str:
    """Return one line: medians, and what share of the hand-made one each has."""
    medians = {name: statistics.median(values) for name, values in figures.items()}
    shown = "  ".join(f"{name} {value:.1f}" for name, value in medians.items())
    base = medians["veth"]
    shares = "  ".join(f"{name}/veth {value / base:.2f}" for name, value in medians.items() if name != "veth")
    return f"iperf    {shown} Gbit/s   {shares}   (goal: trine at least 0.95 of veth)"
