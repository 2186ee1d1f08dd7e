"""Control groups on the real hierarchies of this host, below a name of our own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trine.runtime import devices
from trine.runtime.cgroups import figures, layout, limits
from trine.runtime.cgroups.group import Group
from trine.runtime.cgroups.layout import CgroupError, Layout

HERE = layout.detect()
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def parent() -> Iterator[str]:
    path = f"/trine-test-{secrets.token_hex(6)}"
    control = Path(HERE.unified, "cgroup.subtree_control") if HERE.unified else None
    before = set(control.read_text().split()) if control else set()
    yield path
    for found in (HERE, unified()):
        group = Group(found, path)
        group.kill()
        group.delete()
        assert not group.exists()
    if control:
        for name in set(control.read_text().split()) - before:
            with contextlib.suppress(OSError):
                control.write_text(f"-{name}")


def unified() -> Layout:
    """The host's version 2 tree as if there were nothing else."""
    if not HERE.unified:
        pytest.skip("no cgroup2 mount")
    return Layout({}, HERE.unified, HERE.unified_controllers, HERE.own)


@pytest.fixture(params=["here", "unified"])
def group(request: pytest.FixtureRequest, parent: str) -> Group:
    made = Group(HERE if request.param == "here" else unified(), f"{parent}/a")
    assert made.create() == []
    return made


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif("cpuset" not in HERE.hierarchies, reason="needs a version 1 cpuset hierarchy")
def test_a_parent_that_another_has_just_made_is_filled(parent: str, sleeper: subprocess.Popen[bytes]) -> None:
    """Many first containers at once: one makes the parent, the next finds it, still without CPUs."""
    for root in HERE.roots():
        Path(f"{root}{parent}").mkdir()
    group = Group(HERE, f"{parent}/a")
    group.create()
    group.join(sleeper.pid)
    assert sleeper.pid in group.pids()


def python_in(group: Group, code: str) -> str:
    """Run Python in a cgroup and return what it prints."""
    start = "import sys; sys.stdin.readline()\n"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", start + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    group.join(process.pid)
    output, _ = process.communicate("go\n", timeout=60)
    return output


def test_create_join_and_delete(group: Group, sleeper: subprocess.Popen[bytes]) -> None:
    assert group.create() == []  # again: as it is
    group.join(sleeper.pid)
    assert group.pids() == [sleeper.pid]
    membership = Path(f"/proc/{sleeper.pid}/cgroup").read_text()
    wanted = len(group.layout.roots())
    assert sum(line.endswith(group.path) for line in membership.splitlines()) == wanted
    with pytest.raises(CgroupError, match="is in use"):
        group.delete(seconds=0.05)
    group.kill()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert group.wait_empty()
    group.delete()
    assert not group.exists()
    group.delete()  # not there: fine
    group.kill()
    assert group.pids() == []


def test_freeze_and_thaw(group: Group) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys\nfor line in sys.stdin: print(line, end='', flush=True)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        group.join(process.pid)
        assert not group.frozen()
        group.freeze()
        assert group.frozen()
        process.stdin.write(b"x\n")
        process.stdin.flush()
        os.set_blocking(process.stdout.fileno(), False)
        assert process.stdout.read() is None  # it cannot answer
        assert Path(f"/proc/{process.pid}/wchan").exists()
        group.thaw()
        assert not group.frozen()
        os.set_blocking(process.stdout.fileno(), True)
        assert process.stdout.readline() == b"x\n"
    finally:
        group.thaw()
        process.kill()
        process.communicate()


def test_kill_also_what_is_frozen_and_below(group: Group) -> None:
    # Version 2 has processes only in leaves.
    inner, other = (Group(group.layout, f"{group.path}/{name}") for name in ("inner/most", "other"))
    inner.create()
    other.create()
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
    for number, process in enumerate(processes):
        (inner if number else other).join(process.pid)
    assert sorted(group.pids()) == sorted(process.pid for process in processes)
    group.freeze()
    group.kill()
    assert [process.wait(10) for process in processes] == [-signal.SIGKILL] * 3
    group.delete()
    assert not inner.exists() and not group.exists()


def test_kill_reaches_a_process_that_forks(group: Group) -> None:
    """A chain: each process makes one child and ends. It waits for us to have it in its cgroup first."""
    chain = "import os, sys\nsys.stdin.readline()\nfor _ in range(2000):\n  if os.fork(): os._exit(0)"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", chain], stdin=subprocess.PIPE)
    assert process.stdin
    group.join(process.pid)
    process.stdin.write(b"go\n")
    process.stdin.close()
    process.wait(10)
    group.kill()
    assert group.wait_empty()
    group.delete()


def test_signal_to_all_leaves_a_frozen_group_frozen(group: Group, sleeper: subprocess.Popen[bytes]) -> None:
    group.join(sleeper.pid)
    group.freeze()
    group.kill(signal.SIGTERM)
    assert group.frozen()
    if group.layout.has_v1:  # version 2 lets a fatal signal through at once
        assert sleeper.poll() is None
    group.thaw()
    assert sleeper.wait(10) == -signal.SIGTERM


def test_join_of_nobody(group: Group) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(ProcessLookupError):
        group.join(process.pid)


def test_a_bad_path_is_refused() -> None:
    for path in ("", "/", "relative", "/a/../b", "//"):
        with pytest.raises(CgroupError, match="invalid cgroup path"):
            Group(HERE, path)


# -- limits, where the controllers are ------------------------------------------------------------

needs_v1 = pytest.mark.skipif(not HERE.has_v1, reason="no version 1 hierarchies")


def value(group: Group, controller: str, file: str) -> str:
    return Path(group.directory(controller), file).read_text().strip()


def test_v2_controllers_are_turned_on_level_by_level(parent: str) -> None:
    there = unified()
    if "hugetlb" not in there.unified_controllers:
        pytest.skip("no controller in this host's version 2 tree to try it with")
    group = Group(there, f"{parent}/deep/a")
    assert group.create({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}) == []
    assert value(group, "hugetlb", "hugetlb.2MB.max") == str(4 << 20)


@needs_v1
def test_v1_limits(parent: str) -> None:
    group = Group(HERE, f"{parent}/a")
    warnings = group.create(
        {
            "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20, "swappiness": 7},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 20},
            "devices": list(devices.DEFAULT_RULES),
        }
    )
    assert warnings == []
    assert value(group, "memory", "memory.limit_in_bytes") == str(64 << 20)
    assert value(group, "memory", "memory.memsw.limit_in_bytes") == str(128 << 20)
    assert value(group, "memory", "memory.soft_limit_in_bytes") == str(32 << 20)
    assert value(group, "memory", "memory.swappiness") == "7"
    assert value(group, "cpu", "cpu.shares") == "512"
    assert value(group, "cpu", "cpu.cfs_quota_us") == "50000"
    assert value(group, "cpuset", "cpuset.cpus") == "0"
    assert value(group, "pids", "pids.max") == "20"
    allowed = value(group, "devices", "devices.list").splitlines()
    assert sorted(allowed) == sorted(
        [
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:1 rwm",
            "c 5:2 rwm",
            "c 136:* rwm",
            "c 10:200 rwm",
        ]
    )


@needs_v1
def test_v1_memory_may_be_raised_and_lowered_with_swap(parent: str) -> None:
    group = Group(HERE, f"{parent}/a")
    group.create({"memory": {"limit": 64 << 20, "swap": 64 << 20}})
    for limit in (256 << 20, 32 << 20, 128 << 20):  # each needs another order of the two writes
        assert group.apply({"memory": {"limit": limit, "swap": limit}}) == []
        assert value(group, "memory", "memory.limit_in_bytes") == str(limit)
        assert value(group, "memory", "memory.memsw.limit_in_bytes") == str(limit)
    group.apply({"memory": {"swap": -1}})
    assert int(value(group, "memory", "memory.memsw.limit_in_bytes")) > 1 << 60


@needs_v1
def test_v1_a_cpuset_inherits_what_it_is_not_told(parent: str) -> None:
    group = Group(HERE, f"{parent}/deep/down")
    group.create()
    host = Path(HERE.hierarchies["cpuset"], "cpuset.cpus").read_text().strip()
    assert value(group, "cpuset", "cpuset.cpus") == host


@needs_v1
def test_a_failed_create_leaves_nothing(parent: str) -> None:
    group = Group(HERE, f"{parent}/a")
    with pytest.raises(CgroupError) as caught:
        group.create({"cpu": {"cpus": "4000"}})
    assert 'failed to write "4000"' in str(caught.value) and "\n" not in str(caught.value)
    assert not group.exists()


@needs_v1
def test_a_limit_the_kernel_lacks_is_a_warning(parent: str) -> None:
    without = Layout({k: v for k, v in HERE.hierarchies.items() if k != "pids"}, "", frozenset(), HERE.own)
    group = Group(without, f"{parent}/a")
    assert group.create({"pids": {"limit": 5}, "blockIO": {"weight": 100}})[0] == (
        "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. "
        "PIDs limit discarded."
    )


@needs_v1
def test_memory_runs_out(parent: str) -> None:
    group = Group(HERE, f"{parent}/a")
    group.create({"memory": {"limit": 16 << 20, "swap": 16 << 20}})
    watch = group.oom_watch()
    try:
        assert group.oom_kills() == 0
        assert python_in(group, "data = bytearray(200 << 20)\nprint('survived')") == ""
        assert int.from_bytes(os.read(watch, 8), sys.byteorder) >= 1
        assert group.oom_kills() == 1
    finally:
        os.close(watch)


@needs_v1
def test_pids_are_limited(parent: str) -> None:
    group = Group(HERE, f"{parent}/a")
    group.create({"pids": {"limit": 3}})
    code = (
        "import os, time\nmade = 0\ntry:\n"
        "  while made < 10:\n    if os.fork() == 0: time.sleep(60); os._exit(0)\n    made += 1\n"
        "except OSError as error: print(made, error.errno)"
    )
    output = python_in_with_leftovers(group, code)
    assert output == "2 11\n"  # two more than itself, then EAGAIN


def python_in_with_leftovers(group: Group, code: str) -> str:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.readline()\n" + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    group.join(process.pid)
    process.stdin.write("go\n")
    process.stdin.flush()
    line = process.stdout.readline()
    group.kill()
    process.communicate()
    return line


PROBE = """
import os
for path, flags in (("/dev/null", os.O_RDWR), ("/dev/urandom", os.O_RDONLY), ("/dev/full", os.O_RDONLY),
                    ("/dev/kmsg", os.O_RDONLY), ("/dev/fuse", os.O_RDWR)):
    try:
        os.close(os.open(path, flags)); print(path, "open")
    except PermissionError: print(path, "refused")
    except OSError as error: print(path, "error", error.errno)
"""


def test_device_rules(group: Group) -> None:
    group.apply({"devices": [dict(rule) for rule in devices.DEFAULT_RULES]})
    lines = dict(line.split(" ", 1) for line in python_in(group, PROBE).splitlines())
    assert lines["/dev/null"] == lines["/dev/urandom"] == lines["/dev/full"] == "open"
    assert lines["/dev/kmsg"] == lines["/dev/fuse"] == "refused"


def test_device_rules_may_be_changed(group: Group) -> None:
    """More than once: the program of version 2 is replaced, not piled up."""
    strict: list[dict[str, Any]] = [dict(devices.DENY_ALL), devices.rule("c", 1, 3, "rwm")]
    for _ in range(2):
        group.apply({"devices": strict})
        lines = dict(line.split(" ", 1) for line in python_in(group, PROBE).splitlines())
        assert (lines["/dev/null"], lines["/dev/urandom"]) == ("open", "refused")
        group.apply({"devices": [dict(devices.ALLOW_ALL)]})
        lines = dict(line.split(" ", 1) for line in python_in(group, PROBE).splitlines())
        assert lines["/dev/urandom"] == "open"
        assert lines["/dev/kmsg"] != "refused"


def test_read_without_write(group: Group) -> None:
    group.apply({"devices": [dict(devices.DENY_ALL), devices.rule("c", 1, 3, "r")]})
    code = (
        "import os\nfor flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):\n"
        "  try: os.open('/dev/null', flags); print('open')\n"
        "  except PermissionError: print('refused')"
    )
    assert python_in(group, code).split() == ["open", "refused", "refused"]


# -- figures and helpers ---------------------------------------------------------------------------


def test_figures(group: Group) -> None:
    before = figures.read(group)
    assert before.pids == 0
    process = subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys; sys.stdin.readline(); data = b'x' * (20 << 20);"
            "print(sum(range(10 ** 6)), flush=True);"
            "sys.stdin.readline()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    group.join(process.pid)
    process.stdin.write(b"go\n")
    process.stdin.flush()
    process.stdout.readline()
    now = figures.read(group)
    process.communicate(b"end\n")
    assert now.cpu_nanos > before.cpu_nanos
    if group.directory("memory") and group.layout.has_v1:
        assert now.memory_bytes > 20 << 20
        assert now.pids == 1


def test_figures_of_what_is_gone_are_zero() -> None:
    assert figures.read(Group(HERE, "/trine-test-none-such")) == figures.Figures()


def test_prime_leaves_us_where_we_are() -> None:
    before = Path("/proc/self/cgroup").read_text()
    layout.prime(HERE)
    assert Path("/proc/self/cgroup").read_text() == before
    layout.prime(Layout({}, "", frozenset(), {}))  # nothing mounted: nothing done


def test_many_at_once(parent: str) -> None:
    """Eight threads make and remove groups below one parent that is not there yet."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                group = Group(HERE, f"{parent}/t{number}-{turn}")
                group.create({"pids": {"limit": 10}})
                group.delete()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_may_be_asked_for() -> None:
    cpus, mems = layout.available(HERE)
    if "cpuset" in HERE.hierarchies:
        assert limits.parse_list(cpus) >= os.sched_getaffinity(0)
        assert limits.parse_list(mems)
    assert layout.available(Layout({}, "", frozenset(), {})) == ("", "")
