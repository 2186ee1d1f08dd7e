"""Measure Trine against docker, podman and crun, interleaved in one run, and print ratios of medians.

python -m bench.run [--only run,ps,…] [--rounds N] [--json]

A B A B …: the machine's drift hits all alike, so ratios hold where milliseconds do not. A ratio below
1 says that Trine is faster (or smaller); iperf alone counts Gbit/s, where more is better. Memory is private
memory of a container's shim.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from bench import iperf, peers
from bench.peers import Peer
from support.place import OwnPlace
from support.stack import BIN

SLEEPER = ("--stop-signal", "KILL", "busybox", "sleep", "3600")


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds the call took."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def run_rm(peer: Peer) -> float:
    return timed(lambda: peer("run", "--rm", "busybox", "true"))


def start(peer: Peer) -> float:
    peer("create", "--name", "bench-start", *SLEEPER)
    try:
        return timed(lambda: peer("start", "bench-start"))
    finally:
        peer("rm", "-f", "bench-start")


def stop(peer: Peer) -> float:
    peer("run", "-d", "--name", "bench-stop", *SLEEPER)
    try:
        return timed(lambda: peer("stop", "bench-stop"))
    finally:
        peer("rm", "-f", "bench-stop")


@contextlib.contextmanager
def sleeper(peer: Peer) -> Iterator[str]:
    peer("run", "-d", "--name", "bench-sleeper", *SLEEPER)
    try:
        yield "bench-sleeper"
    finally:
        peer("rm", "-f", "bench-sleeper")


def execute(peer: Peer) -> float:
    with sleeper(peer) as name:
        peer("exec", name, "true")
        return timed(lambda: peer("exec", name, "true"))


def ps(peer: Peer) -> float:
    with sleeper(peer):
        peer("ps")
        return timed(lambda: peer("ps"))


def version(peer: Peer) -> float:
    return timed(lambda: peer("version"))


def pull(peer: Peer) -> float:
    peer("rmi", "-f", "debian", check=False)
    return timed(lambda: peer("pull", "debian"))


def build(peer: Peer) -> float:
    steps = "".join(f"RUN echo {n} > /{n}\n" for n in range(10))
    with tempfile.TemporaryDirectory() as context:
        Path(context, "Dockerfile").write_text(f"FROM busybox\n{steps}")
        took = timed(lambda: peer("build", "--no-cache", "-t", "bench-build", context))
    peer("rmi", "bench-build")
    return took


def hundred(peer: Peer) -> float:
    """Start 100 containers by 8 clients; raises RuntimeError when one fails."""
    names = [f"bench-{n}" for n in range(100)]
    try:
        with ThreadPoolExecutor(8) as pool:
            return timed(lambda: list(pool.map(lambda n: peer("run", "-d", "--name", n, *SLEEPER), names)))
    finally:
        peer("rm", "-f", *names, check=False)


def attach(peer: Peer) -> float:
    """Return seconds for 100 MB of lines through run, with the default log driver."""
    script = "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 100000000"
    command = [*peer.command, "run", "--rm", "busybox", "sh", "-c", script]
    with subprocess.Popen(
        command, env=peer.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        received = 0
        begin = time.perf_counter()
        while chunk := child.stdout.read(1 << 20):
            received += len(chunk)
        took = time.perf_counter() - begin
    if received != 100_000_000:
        raise RuntimeError(f"{peer.name} attach: {received} bytes came of 100000000")
    return took


def ports(peer: Peer) -> float:
    """Return seconds to start one container that publishes 100 ports."""
    words = ("run", "-d", "--name", "bench-ports", "-p", "21000-21099:21000-21099", *SLEEPER)
    try:
        return timed(lambda: peer(*words))
    finally:
        peer("rm", "-f", "bench-ports", check=False)


def memory(peer: Peer) -> float:
    """Return private KiB of the shim of one sleeping container (proc_pid_smaps(5))."""
    before = _shims(peer)
    with sleeper(peer):
        time.sleep(0.5)
        return statistics.median(_private_kib(pid) for pid in _shims(peer) - before)


def _shims(peer: Peer) -> set[int]:
    found: set[int] = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if peer.shim_word in (directory / "cmdline").read_text().split("\0")[0]:
                found.add(int(directory.name))
    return found


def _private_kib(pid: int) -> float:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(float(row.split()[1]) for row in rows if row.startswith(("Private_Clean", "Private_Dirty")))


ITEMS: dict[str, tuple[Callable[[Peer], float], str, int, bool, float]] = {
    # name: what, unit, rounds, also podman, ratio to docker to reach (0: none set)
    "run": (run_rm, "s", 15, True, 0.5),
    "start": (start, "s", 9, True, 0),
    "exec": (execute, "s", 9, True, 0),
    "stop": (stop, "s", 9, True, 0),
    "ps": (ps, "s", 9, True, 3),
    "version": (version, "s", 9, True, 0),
    "pull": (pull, "s", 5, False, 0.8),
    "build": (build, "s", 3, False, 0.5),
    "hundred": (hundred, "s", 2, False, 0.5),
    "memory": (memory, "KiB", 3, False, 0),
    "attach": (attach, "s", 3, False, 0),
    "ports": (ports, "s", 3, False, 0.2),
}


OTHERS = ("iperf", "oci")  # not measured by a function of one engine


def oci(rounds: int) -> dict[str, list[float]]:
    """Run a bundle by trine-oci, crun and runc in turns; return the seconds of each.

    crun refuses a hybrid cgroup layout, so all three run where version 2 is not mounted.
    """
    programs = {"trine": str(BIN / "trine-oci"), "crun": "crun", "runc": "runc"}
    results: dict[str, list[float]] = {name: [] for name in programs}
    place = OwnPlace()
    try:
        subprocess.run(
            place.command("umount", "-l", "/sys/fs/cgroup/unified"), check=False, capture_output=True
        )
        with peers.bundle() as bundle:
            for number in range(rounds + 1):
                for name, program in programs.items():
                    command = place.command(program, "run", "--bundle", bundle, f"bench-oci-{name}-{number}")
                    begin = time.perf_counter()
                    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
                    if number:
                        results[name].append(time.perf_counter() - begin)
    finally:
        place.close()
    return results


def measure(names: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return, by item and engine, the figure of each round; an item that fails is left out and said."""
    results: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(peers.trine()), stack.enter_context(peers.docker())]
        if any(ITEMS[name][3] for name in names if name in ITEMS):
            try:
                engines.append(stack.enter_context(peers.podman()))
            except (RuntimeError, OSError) as error:
                print(f"podman is left out: {error}", file=sys.stderr)
        for name in names:
            if name == "oci":
                results[name] = oci(rounds or 9)
                continue
            if name == "iperf":
                results[name] = iperf.measure([e for e in engines if e.name != "podman"], rounds or 9)
                print(iperf.row(results[name]), flush=True)
                continue
            what, _, own_rounds, with_podman, _ = ITEMS[name]
            figures: dict[str, list[float]] = {}
            failed: set[str] = set()
            for number in range((rounds or own_rounds) + 1):
                for peer in engines:
                    if peer.name in failed or (peer.name == "podman" and not with_podman):
                        continue
                    try:
                        figure = what(peer)
                    except (RuntimeError, statistics.StatisticsError) as error:
                        failed.add(peer.name)
                        print(f"{name}: {peer.name} failed: {error}", file=sys.stderr)
                        continue
                    if number:  # the first round warms up
                        figures.setdefault(peer.name, []).append(figure)
            results[name] = {n: f for n, f in figures.items() if n not in failed}
            print(row(name, results[name]), flush=True)
    return results


def row(name: str, figures: dict[str, list[float]]) -> str:
    """Return one line: medians of all engines, ratios of Trine to each, and the goal."""
    unit, goal = ("s", 0.0) if name == "oci" else (ITEMS[name][1], ITEMS[name][4])
    medians = {peer: statistics.median(values) for peer, values in figures.items() if values}
    shown = "  ".join(
        f"{peer} {value * 1000:8.1f} ms" if unit == "s" else f"{peer} {value:8.0f} {unit}"
        for peer, value in medians.items()
    )
    ratios = "  ".join(
        f"/{peer} {medians['trine'] / value:.2f}"
        for peer, value in medians.items()
        if peer != "trine" and "trine" in medians
    )
    return f"{name:8} {shown:60} {ratios}" + (f"   (goal {goal} of docker)" if goal else "")


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"comma-separated, of: {', '.join([*ITEMS, *OTHERS])}")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each item (default: its own)")
    parser.add_argument("--json", action="store_true", help="all figures as JSON at the end")
    arguments = parser.parse_args()
    names = [n for n in arguments.only.split(",") if n] or [*ITEMS, *OTHERS]
    unknown = sorted(set(names) - {*ITEMS, *OTHERS})
    if unknown:
        parser.error(f"no such item: {', '.join(unknown)}")
    results = measure(names, arguments.rounds)
    if "oci" in results:
        print(row("oci", results["oci"]))
    if arguments.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
