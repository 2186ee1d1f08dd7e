"""What must hold after any trouble: the engine's records equal what the kernel and the disk have."""

from __future__ import annotations

import re
import time
from pathlib import Path

from support import traces
from support.stack import Stack


def containers(stack: Stack) -> dict[str, str]:
    """Return full id -> status of all containers."""
    lines = stack.must("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}").splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def problems(stack: Stack) -> list[str]:
    """Return every difference between records and world, as lines; empty when all is well."""
    found: list[str] = []
    known = containers(stack)
    running = {identity for identity, state in known.items() if state in ("running", "paused")}
    for identity, state in known.items():
        if state in ("removing", "dead"):
            found.append(f"container {identity[:12]} is {state}")
    for identity in running:
        pid = int(stack.inspect(identity, "{{.State.Pid}}"))
        if not Path(f"/proc/{pid}").exists():
            found.append(f"container {identity[:12]} runs by the records, its process {pid} is gone")
    found += _namespaces(stack, running)
    found += _shims(stack, running)
    found += _cgroups(stack, running)
    found += _rules(stack, running)
    found += _folders(stack, known)
    found += _networks(stack)
    found += _volumes(stack)
    mounts = [p for p in traces.mounts(stack.place, stack.root) if "/netns/" not in p]
    found += [f"mounted: {point}" for point in mounts]
    return found


def _namespaces(stack: Stack, running: set[str]) -> list[str]:
    folder = stack.exec_root / "netns"
    have = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    result = [f"network namespace left: {name[:20]}" for name in have - running]
    veths = [name for name in traces.links(stack.place) if name.startswith("veth") or "veth" in name]
    template = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    endpoints = sum(len(stack.inspect(identity, template).split()) for identity in running)
    if len(veths) != endpoints:
        result.append(f"{len(veths)} veths ({veths}) for {endpoints} endpoints of running containers")
    return result


def _shims(stack: Stack, running: set[str]) -> list[str]:
    folder = stack.exec_root / "runtime"
    have = (
        {p.name for p in folder.iterdir() if re.fullmatch(r"[0-9a-f]{64}", p.name)}
        if folder.is_dir()
        else set()
    )
    return [f"shim folder left: {name[:12]}" for name in have - running] + [
        f"running without a shim folder: {name[:12]}" for name in running - have
    ]


def _cgroups(stack: Stack, running: set[str]) -> list[str]:
    have = {
        match[0]
        for path in traces.cgroups(stack.cgroup_parent)
        for match in [re.findall(r"[0-9a-f]{64}", path)]
        if match
    }
    return [f"cgroup left: {name[:12]}" for name in have - running] + [
        f"running without a cgroup: {name[:12]}" for name in running - have
    ]


def _rules(stack: Stack, running: set[str]) -> list[str]:
    addresses = set()
    for identity in running:
        text = stack.inspect(identity, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}")
        addresses.update(text.split())
    result = []
    for line in traces.rules(stack.place):
        for address in re.findall(r"(?:--to-destination |-d )(172\.17\.\d+\.\d+)", line):
            if address not in addresses and not address.endswith(".0"):
                result.append(f"rule of nobody: {line}")
    return result


def _networks(stack: Stack) -> list[str]:
    """Bridges of networks, by name: each network has its bridge, each bridge of ours its network."""
    lines = stack.must(
        "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Driver}} {{.Name}}"
    ).splitlines()
    wanted = {f"br-{line.split()[0][:12]}" for line in lines if line.split()[1:] != ["bridge", "bridge"]}
    wanted -= {f"br-{line.split()[0][:12]}" for line in lines if line.split()[1] != "bridge"}
    have = {name for name in traces.links(stack.place) if name.startswith("br-")}
    return [f"bridge without a network: {name}" for name in have - wanted] + [
        f"network without a bridge: {name}" for name in wanted - have
    ]


def _volumes(stack: Stack) -> list[str]:
    known = set(stack.must("volume", "ls", "-q").split())
    folder = stack.data_root / "engine" / "volumes"
    have = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    return [f"volume without a row: {name}" for name in have - known] + [
        f"volume without a folder: {name}" for name in known - have
    ]


def _folders(stack: Stack, known: dict[str, str]) -> list[str]:
    result = []
    base = stack.data_root / "runtime" / "containers"
    if base.is_dir():
        result += [f"runtime data left: {p.name[:12]}" for p in base.iterdir() if p.name not in known]
    temporary = stack.data_root / "image" / "tmp"
    if temporary.is_dir():
        result += [f"temporary file left: {p.name}" for p in temporary.iterdir()]
    snapshots = stack.data_root / "image" / "snapshots"
    if snapshots.is_dir():
        count = len([p for p in snapshots.iterdir() if p.is_dir()])
        if count > len(known):
            result.append(f"{count} snapshots for {len(known)} containers")
    return result


def check(stack: Stack, timeout: float = 60.0) -> None:
    """Wait until nothing is wrong (removals go on in the background); AssertionError with what stays wrong."""
    deadline = time.monotonic() + timeout
    while True:
        wrong = problems(stack)
        if not wrong:
            return
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(wrong) + "\n--- log\n" + stack.log()[-3000:])
        time.sleep(0.2)
