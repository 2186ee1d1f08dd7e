"""The pure half of control groups: what is mounted, what is written, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.runtime import devices
from trine.runtime.cgroups import device_program, figures, layout, limits, plan
from trine.v1 import image_pb2

HYBRID = """
23 1 0:22 / / rw - overlay overlay rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
35 31 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
36 23 0:33 / /elsewhere rw,relatime - cgroup cgroup rw,memory
""".strip()
V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_a_hybrid_host() -> None:
    found = layout.parse(HYBRID, "2:memory:/a\n1:cpu,cpuacct:/b\n0::/c\n", "")
    assert (found.mode, found.version) == (layout.HYBRID, 1)
    assert found.root_of("cpuacct") == "/sys/fs/cgroup/cpu,cpuacct"
    assert found.root_of("memory") == "/sys/fs/cgroup/memory"
    assert found.root_of("pids") == ""
    assert found.own == {"memory": "/a", "cpu": "/b", "cpuacct": "/b", "": "/c"}
    assert found.roots() == [
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/cpu,cpuacct",
        "/sys/fs/cgroup/systemd",
        "/sys/fs/cgroup/unified",
    ]
    assert ("cpu,cpuacct", "cgroup", "cpu,cpuacct") in found.inside()


def test_a_version_2_host() -> None:
    found = layout.parse(V2, "0::/user.slice\n", "cpuset cpu io memory pids\n")
    assert (found.mode, found.version) == (layout.UNIFIED, 2)
    assert found.root_of("memory") == "/sys/fs/cgroup"
    assert found.roots() == ["/sys/fs/cgroup"]
    assert found.inside() == [("", "cgroup2", "")]
    assert layout.features(found) >= {"memory", "cpu_quota", "cpuset", "pids", "blkio_weight", "freezer"}
    assert "oom_kill_disable" not in layout.features(found)


def test_a_version_1_host() -> None:
    text = "\n".join(line for line in HYBRID.splitlines() if "cgroup2" not in line)
    assert layout.parse(text, "1:memory:/\n").mode == layout.LEGACY


def lines(writes: list[plan.Write]) -> list[tuple[str, str, str]]:
    return [(write.controller, write.file, write.value) for write in writes]


RESOURCES: dict[str, Any] = {
    "memory": {"limit": 100, "swap": 300, "reservation": 50, "swappiness": 0, "disableOOMKiller": True},
    "cpu": {"shares": 1024, "quota": 5000, "period": 10000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 9},
    "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}]},
    "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "access": "r"}],
}


def test_version_1_writes() -> None:
    assert lines(plan.for_v1(RESOURCES)) == [
        ("cpuset", "cpuset.cpus", "0-1"),
        ("cpuset", "cpuset.mems", "0"),
        ("devices", "devices.deny", "a *:* rwm"),
        ("devices", "devices.allow", "c 1:* r"),
        ("memory", "memory.limit_in_bytes", "100"),
        ("memory", "memory.memsw.limit_in_bytes", "300"),
        ("memory", "memory.soft_limit_in_bytes", "50"),
        ("memory", "memory.swappiness", "0"),
        ("memory", "memory.oom_control", "1"),
        ("cpu", "cpu.shares", "1024"),
        ("cpu", "cpu.cfs_period_us", "10000"),
        ("cpu", "cpu.cfs_quota_us", "5000"),
        ("pids", "pids.max", "9"),
        ("blkio", "blkio.bfq.weight", "500"),
        ("blkio", "blkio.throttle.read_bps_device", "8:0 7"),
    ]


def test_version_2_writes() -> None:
    assert lines(plan.for_v2(RESOURCES)) == [
        ("cpuset", "cpuset.cpus", "0-1"),
        ("cpuset", "cpuset.mems", "0"),
        ("memory", "memory.max", "100"),
        ("memory", "memory.swap.max", "200"),
        ("memory", "memory.low", "50"),
        ("cpu", "cpu.weight", "39"),
        ("cpu", "cpu.max", "5000 10000"),
        ("pids", "pids.max", "9"),
        ("io", "io.weight", "4950"),
        ("io", "io.max", "8:0 rbps=7"),
    ]


@pytest.mark.parametrize(
    ("resources", "v1", "v2"),
    [
        ({}, [], []),
        ({"pids": {"limit": -1}}, [("pids", "pids.max", "max")], [("pids", "pids.max", "max")]),
        ({"cpu": {"quota": -1}}, [("cpu", "cpu.cfs_quota_us", "-1")], [("cpu", "cpu.max", "max 100000")]),
        (
            {"memory": {"limit": 5, "swap": -1}},
            [("memory", "memory.limit_in_bytes", "5"), ("memory", "memory.memsw.limit_in_bytes", "-1")],
            [("memory", "memory.max", "5"), ("memory", "memory.swap.max", "max")],
        ),
        (
            {"memory": {"limit": 5, "swap": 5}},
            [("memory", "memory.limit_in_bytes", "5"), ("memory", "memory.memsw.limit_in_bytes", "5")],
            [("memory", "memory.max", "5"), ("memory", "memory.swap.max", "0")],
        ),
        ({"unified": {"memory.high": "7"}}, [], [("memory", "memory.high", "7")]),
    ],
)
def test_writes(resources: dict[str, Any], v1: list[Any], v2: list[Any]) -> None:
    assert lines(plan.for_v1(resources)) == v1
    assert lines(plan.for_v2(resources)) == v2


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000), (1, 1), (10**9, 10000)])
def test_cpu_weight(shares: int, weight: int) -> None:
    assert plan.cpu_weight(shares) == weight


# -- device programs -------------------------------------------------------------------------------


def ask(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Run the eBPF program, as far as it uses the machine, for one access."""
    import struct

    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    code = list(struct.iter_unpack("<BBhi", program))
    registers: dict[int, int] = {}
    place = 0
    while True:
        op, pair, offset, immediate = code[place]
        dst, src = pair & 15, pair >> 4
        place += 1
        if op == 0x61:
            registers[dst] = struct.unpack_from("=I", context, offset)[0]
        elif op == 0xBC:
            registers[dst] = registers[src]
        elif op == 0xB7:
            registers[dst] = immediate
        elif op == 0x54:
            registers[dst] &= immediate & 0xFFFFFFFF
        elif op == 0x74:
            registers[dst] >>= immediate
        elif op == 0x55:
            place += offset if registers[dst] != immediate else 0
        elif op == 0x15:
            place += offset if registers[dst] == immediate else 0
        elif op == 0x5D:
            place += offset if registers[dst] != registers[src] else 0
        elif op == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(hex(op))


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 1, 11, "r", False),
        ("c", 1, 11, "m", True),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "r", False),
        ("b", 8, 0, "rm", False),
        ("c", 136, 42, "rw", True),
        ("b", 136, 42, "rw", False),
        ("c", 10, 229, "rw", False),
    ],
)
def test_default_device_program(kind: str, major: int, minor: int, access: str, allowed: bool) -> None:
    program = device_program.build(devices.DEFAULT_RULES)
    assert ask(program, kind, major, minor, access) is allowed


_NUMBER = st.one_of(st.none(), st.integers(0, 3))
_ACCESS = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
_RULE = st.builds(
    lambda allow, kind, major, minor, access: devices.rule(kind, major, minor, access, allow),
    st.booleans(),
    st.sampled_from("abc"),
    _NUMBER,
    _NUMBER,
    _ACCESS,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_RULE, max_size=8), st.sampled_from("bc"), st.integers(0, 4), st.integers(0, 4), _ACCESS)
def test_the_program_says_what_the_rules_say(
    rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: str
) -> None:
    program = device_program.build(rules)
    assert ask(program, kind, major, minor, access) == device_program.allows(
        rules, kind, major, minor, access
    )


def test_without_rules_everything_is_allowed() -> None:
    assert ask(device_program.build([]), "c", 9, 9, "rwm")


# -- limits ----------------------------------------------------------------------------------------

EVERYTHING = frozenset(limits._DISCARDED)


def wanted(**fields: Any) -> image_pb2.Resources:
    return image_pb2.Resources(**fields)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"memory_bytes": 6 * MIB - 1}, "Minimum memory limit allowed is 6MB"),
        (
            {"memory_bytes": 10 * MIB, "memory_swap_bytes": 9 * MIB},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"memory_swap_bytes": 9 * MIB},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            {"memory_swappiness": 101, "memory_swappiness_set": True},
            "Invalid value: 101, valid memory swappiness range is 0-100",
        ),
        ({"memory_reservation_bytes": 1}, "Minimum memory reservation allowed is 6MB"),
        (
            {"memory_bytes": 10 * MIB, "memory_reservation_bytes": 11 * MIB},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ({"kernel_memory_bytes": 1}, "Minimum kernel memory limit allowed is 6MB"),
        (
            {"nano_cpus": 5_000_000_000},
            "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
        ),
        ({"nano_cpus": -1}, "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        (
            {"nano_cpus": 1_000_000_000, "cpu_period_micros": 1000},
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            {"nano_cpus": 1_000_000_000, "cpu_quota_micros": 1000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"cpu_period_micros": 999},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ({"cpu_quota_micros": 1}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"cpuset_cpus": "0,9"}, "Requested CPUs are not available - requested 0,9, available: 0-3"),
        ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus: invalid format: x"),
        ({"cpuset_cpus": "3-1"}, "Invalid value 3-1 for cpuset cpus: invalid format: 3-1"),
        ({"cpu_shares": -1}, "shares: invalid argument"),
        (
            {"cpu_realtime_period_micros": 5, "cpu_realtime_runtime_micros": 6},
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ),
        ({"cpuset_mems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
    ],
)
def test_bad_limits(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(limits.LimitError) as caught:
        limits.check(wanted(**fields), 4, "0-3", "0")
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"memory_bytes": 6 * MIB, "memory_swap_bytes": -1},
        {"memory_bytes": 6 * MIB, "memory_swap_bytes": 6 * MIB},
        {"memory_swap_bytes": -1},
        {"nano_cpus": 4_000_000_000},
        {"nano_cpus": 10_000_000},
        {"cpuset_cpus": "0-3", "cpuset_mems": "0"},
        {"cpu_quota_micros": -1},
        {"pids_limit": -1},
    ],
)
def test_good_limits(fields: dict[str, Any]) -> None:
    limits.check(wanted(**fields), 4, "0-3", "0")


def test_what_the_kernel_lacks_is_cleared_with_dockers_words() -> None:
    asked = wanted(memory_bytes=10 * MIB, pids_limit=5, blkio_weight=100, cpu_shares=3)
    assert limits.discard_unsupported(asked, EVERYTHING - {"swap", "blkio_weight"}) == [
        "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
        "Memory limited without swap.",
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    ]
    assert (asked.memory_bytes, asked.memory_swap_bytes, asked.blkio_weight) == (10 * MIB, -1, 0)
    assert (asked.pids_limit, asked.cpu_shares) == (5, 3)


def test_nothing_lacks_nothing_is_said() -> None:
    asked = wanted(memory_bytes=10 * MIB, oom_kill_disable=True, cpuset_cpus="0")
    assert limits.discard_unsupported(asked, EVERYTHING) == []
    asked = wanted(oom_kill_disable=True)
    assert limits.discard_unsupported(asked, EVERYTHING) == [
        "OOM killer is disabled for the container, but no memory limit is set, "
        "this can result in the system running out of resources."
    ]
    with pytest.raises(limits.LimitError, match="NanoCPUs can not be set"):
        limits.discard_unsupported(wanted(nano_cpus=1), EVERYTHING - {"cpu_quota"})


def test_info_warnings() -> None:
    assert limits.info_warnings(EVERYTHING, 1) == []
    assert limits.info_warnings(EVERYTHING - {"swap", "oom_kill_disable"}, 1) == [
        "WARNING: No swap limit support",
        "WARNING: No oom kill disable support",
    ]
    assert limits.info_warnings(EVERYTHING - {"oom_kill_disable"}, 2) == []


# -- figures ---------------------------------------------------------------------------------------


def test_block_totals() -> None:
    v1 = "8:0 Read 100\n8:0 Write 7\n8:0 Sync 1\n8:16 Read 1\n8:0 Total 107\nTotal 108\n"
    assert figures.block_totals_v1(v1) == (101, 7)
    v2 = "8:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=0\n"
    assert figures.block_totals_v2(v2) == (101, 7)
    assert figures.block_totals_v1("") == figures.block_totals_v2("") == (0, 0)


def test_memory_without_cache() -> None:
    assert figures.without_cache(100, 30) == 70
    assert figures.without_cache(30, 100) == 30
