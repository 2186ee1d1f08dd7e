"""What a container uses, read from its cgroup: the numbers behind `trine stats`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from trine.runtime.cgroups.group import Group

_V1_NO_LIMIT = 1 << 62  # v1 says "unlimited" by a number near 2**63


class Figures(NamedTuple):
    """One reading. Bytes and nanoseconds; 0 where the controller is not there."""

    cpu_nanos: int = 0
    memory_bytes: int = 0  # without inactive page cache, as `docker stats` counts
    memory_limit_bytes: int = 0  # 0: none
    memory_peak_bytes: int = 0
    pids: int = 0
    block_read_bytes: int = 0
    block_written_bytes: int = 0


def read(group: Group) -> Figures:
    """Return a reading; a controller that vanished or is not mounted gives zeros, never an error."""
    return _read_v1(group) if group.layout.has_v1 else _read_v2(group)


def _read_v1(group: Group) -> Figures:
    memory = group.directory("memory")
    usage = _number(memory, "memory.usage_in_bytes")
    inactive = _pairs(memory, "memory.stat").get("total_inactive_file", 0)
    limit = _number(memory, "memory.limit_in_bytes")
    block = group.directory("blkio")
    text = _text(block, "blkio.bfq.io_service_bytes_recursive") if block else ""
    reads, writes = block_totals_v1(text)
    if not reads and not writes:
        reads, writes = block_totals_v1(_text(block, "blkio.throttle.io_service_bytes_recursive"))
    return Figures(
        cpu_nanos=_number(group.directory("cpuacct"), "cpuacct.usage"),
        memory_bytes=without_cache(usage, inactive),
        memory_limit_bytes=0 if limit >= _V1_NO_LIMIT else limit,
        memory_peak_bytes=_number(memory, "memory.max_usage_in_bytes"),
        pids=_number(group.directory("pids"), "pids.current"),
        block_read_bytes=reads,
        block_written_bytes=writes,
    )


def _read_v2(group: Group) -> Figures:
    where = group.directory("memory")
    usage = _number(where, "memory.current")
    inactive = _pairs(where, "memory.stat").get("inactive_file", 0)
    reads, writes = block_totals_v2(_text(where, "io.stat"))
    return Figures(
        cpu_nanos=_pairs(where, "cpu.stat").get("usage_usec", 0) * 1_000,
        memory_bytes=without_cache(usage, inactive),
        memory_limit_bytes=_number(where, "memory.max"),
        memory_peak_bytes=_number(where, "memory.peak"),
        pids=_number(where, "pids.current"),
        block_read_bytes=reads,
        block_written_bytes=writes,
    )


def without_cache(usage: int, inactive_file: int) -> int:
    """Return memory usage as Docker's client shows it: inactive page cache taken off where that is less."""
    return usage - inactive_file if inactive_file < usage else usage


def block_totals_v1(text: str) -> tuple[int, int]:
    """Return bytes read and written over all devices ("8:0 Read 4096" lines)."""
    sums = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in sums:
            sums[parts[1]] += int(parts[2])
    return sums["Read"], sums["Write"]


def block_totals_v2(text: str) -> tuple[int, int]:
    """Return bytes read and written over all devices ("8:0 rbytes=4096 wbytes=0 …" lines)."""
    sums = {"rbytes": 0, "wbytes": 0}
    for line in text.splitlines():
        for part in line.split()[1:]:
            name, _, value = part.partition("=")
            if name in sums:
                sums[name] += int(value)
    return sums["rbytes"], sums["wbytes"]


def _text(directory: str, file: str) -> str:
    if not directory:
        return ""
    try:
        descriptor = os.open(f"{directory}/{file}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 1 << 18).decode()
    except OSError:
        return ""  # the cgroup went meanwhile (ENODEV)
    finally:
        os.close(descriptor)


def _number(directory: str, file: str) -> int:
    text = _text(directory, file).strip()
    return int(text) if text.isdecimal() else 0  # "max" is no number: no limit


def _pairs(directory: str, file: str) -> Mapping[str, int]:
    found = {}
    for line in _text(directory, file).splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            found[name] = int(value)
    return found
