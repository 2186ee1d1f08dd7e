"""What to write to limit a cgroup: from an OCI linux.resources to files and values, v1 and v2. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_V1_UNLIMITED_PIDS = "max"
_CPU_PERIOD = 100_000


class Write(NamedTuple):
    """One value for one file of a controller's directory; ``feature`` names what is lost without it."""

    controller: str
    file: str
    value: str
    feature: str = ""


def for_v1(resources: Mapping[str, Any]) -> list[Write]:
    """Return the writes of version 1 hierarchies, in an order that suits a fresh cgroup.

    On one that has limits, memory.limit and memsw.limit may have to change places (neither may pass
    the other on the way): ``group`` tries those that fail with EINVAL once more after the others.
    """
    writes: list[Write] = []

    def add(controller: str, file: str, value: object, feature: str) -> None:
        if value is not None and value != "":
            writes.append(Write(controller, file, str(value), feature))

    cpuset = resources.get("cpu") or {}
    add("cpuset", "cpuset.cpus", cpuset.get("cpus"), "cpuset")
    add("cpuset", "cpuset.mems", cpuset.get("mems"), "cpuset")
    for entry in resources.get("devices") or ():
        controller_file = "devices.allow" if entry.get("allow") else "devices.deny"
        add("devices", controller_file, device_line(entry), "devices")
    memory = resources.get("memory") or {}
    add("memory", "memory.limit_in_bytes", memory.get("limit"), "memory")
    add("memory", "memory.memsw.limit_in_bytes", memory.get("swap"), "swap")
    add("memory", "memory.soft_limit_in_bytes", memory.get("reservation"), "reservation")
    add("memory", "memory.kmem.tcp.limit_in_bytes", memory.get("kernelTCP"), "kernel_memory")
    add("memory", "memory.swappiness", memory.get("swappiness"), "swappiness")
    if memory.get("disableOOMKiller"):
        add("memory", "memory.oom_control", 1, "oom_kill_disable")
    cpu = resources.get("cpu") or {}
    add("cpu", "cpu.shares", cpu.get("shares") or None, "cpu_shares")
    add("cpu", "cpu.cfs_period_us", cpu.get("period") or None, "cpu_quota")
    add("cpu", "cpu.cfs_quota_us", cpu.get("quota") or None, "cpu_quota")
    # The period first: the runtime must fit into it (kernel sched-rt-group.rst).
    add("cpu", "cpu.rt_period_us", cpu.get("realtimePeriod") or None, "cpu_realtime")
    add("cpu", "cpu.rt_runtime_us", cpu.get("realtimeRuntime") or None, "cpu_realtime")
    add("cpu", "cpu.idle", cpu.get("idle"), "cpu_shares")
    pids = (resources.get("pids") or {}).get("limit")
    if pids is not None:
        add("pids", "pids.max", pids if pids > 0 else _V1_UNLIMITED_PIDS, "pids")
    block = resources.get("blockIO") or {}
    add("blkio", "blkio.bfq.weight", block.get("weight") or None, "blkio_weight")
    for device in block.get("weightDevice") or ():
        value = f"{device['major']}:{device['minor']} {device['weight']}"
        add("blkio", "blkio.bfq.weight_device", value, "blkio_weight_device")
    for key, file in (
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
    ):
        for device in block.get(key) or ():
            add("blkio", file, f"{device['major']}:{device['minor']} {device['rate']}", "blkio_throttle")
    for page in resources.get("hugepageLimits") or ():
        add("hugetlb", f"hugetlb.{page['pageSize']}.limit_in_bytes", page["limit"], "hugetlb")
    return writes


def for_v2(resources: Mapping[str, Any]) -> list[Write]:
    """Return the writes of the version 2 directory (kernel admin-guide/cgroup-v2.rst).

    Device rules are no files there: see ``device_program``.
    """
    writes: list[Write] = []

    def add(controller: str, file: str, value: object, feature: str) -> None:
        if value is not None and value != "":
            writes.append(Write(controller, file, str(value), feature))

    cpu = resources.get("cpu") or {}
    add("cpuset", "cpuset.cpus", cpu.get("cpus"), "cpuset")
    add("cpuset", "cpuset.mems", cpu.get("mems"), "cpuset")
    memory = resources.get("memory") or {}
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit:
        add("memory", "memory.max", _or_max(limit), "memory")
    if swap:
        add("memory", "memory.swap.max", swap_only(limit or 0, swap), "swap")
    add("memory", "memory.low", memory.get("reservation"), "reservation")
    if cpu.get("shares"):
        add("cpu", "cpu.weight", cpu_weight(cpu["shares"]), "cpu_shares")
    if cpu.get("quota") or cpu.get("period"):
        quota, period = cpu.get("quota") or -1, cpu.get("period") or _CPU_PERIOD
        add("cpu", "cpu.max", f"{_or_max(quota)} {period}", "cpu_quota")
    add("cpu", "cpu.idle", cpu.get("idle"), "cpu_shares")
    pids = (resources.get("pids") or {}).get("limit")
    if pids is not None:
        add("pids", "pids.max", pids if pids > 0 else "max", "pids")
    block = resources.get("blockIO") or {}
    if block.get("weight"):
        add("io", "io.weight", io_weight(block["weight"]), "blkio_weight")
    for device in block.get("weightDevice") or ():
        value = f"{device['major']}:{device['minor']} {io_weight(device['weight'])}"
        add("io", "io.weight", value, "blkio_weight_device")
    for key, name in (
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    ):
        for device in block.get(key) or ():
            add(
                "io",
                "io.max",
                f"{device['major']}:{device['minor']} {name}={device['rate'] or 'max'}",
                "blkio_throttle",
            )
    for page in resources.get("hugepageLimits") or ():
        add("hugetlb", f"hugetlb.{page['pageSize']}.max", page["limit"], "hugetlb")
    for file, value in (resources.get("unified") or {}).items():
        add(file.partition(".")[0], file, value, "unified")
    return writes


def cpu_weight(shares: int) -> int:
    """Return cpu.weight (1 to 10000) for v1 shares (2 to 262144), as runc and crun convert."""
    shares = min(max(shares, 2), 262_144)
    return 1 + (shares - 2) * 9_999 // 262_142


def io_weight(weight: int) -> int:
    """Return io.weight (1 to 10000) for a blkio weight (10 to 1000)."""
    weight = min(max(weight, 10), 1_000)
    return 1 + (weight - 10) * 9_999 // 990


def swap_only(limit: int, memory_and_swap: int) -> str:
    """Return memory.swap.max for Docker's figure, which counts memory and swap together."""
    if memory_and_swap < 0:
        return "max"
    return str(max(memory_and_swap - max(limit, 0), 0))


def device_line(entry: Mapping[str, Any]) -> str:
    """Return the line of devices.allow or devices.deny for an entry of linux.resources.devices."""
    kind = entry.get("type") or "a"
    major, minor = (_number_or_star(entry.get(key)) for key in ("major", "minor"))
    return f"{kind} {major}:{minor} {entry.get('access') or 'rwm'}"


def _number_or_star(value: int | None) -> str:
    return "*" if value is None or value < 0 else str(value)


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)
