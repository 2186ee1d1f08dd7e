"""ps for `top`, samples for `stats`."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trine.runtime import top, usage
from trine.runtime.cgroups import layout
from trine.runtime.cgroups.group import Group

PS = """UID        PID  PPID  C STIME TTY          TIME CMD
root         1     0  0 05:23 ?        00:00:06 /sbin/init a  b
root        77     1  0 05:23 ?        00:00:00 sleep 10
root        78    77  0 05:23 ?        00:00:00 [defunct]
"""


def test_rows_of_ours_with_the_command_in_one_cell() -> None:
    titles, rows = top.parse(PS, {1, 78})
    assert titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert rows == [
        ["root", "1", "0", "0", "05:23", "?", "00:00:06", "/sbin/init a b"],
        ["root", "78", "77", "0", "05:23", "?", "00:00:00", "[defunct]"],
    ]


def test_threads_follow_their_process() -> None:
    text = "PID TTY COMMAND\n5 ? a\n- - -\n6 ? b\n- - -\n"
    assert top.parse(text, {5})[1] == [["5", "?", "a"], ["-", "-", "-"]]


@pytest.mark.parametrize("text", ["", "\n", "UID CMD\nroot x\n"])
def test_no_pid_column(text: str) -> None:
    with pytest.raises(top.TopError) as caught:
        top.parse(text, {1})
    assert str(caught.value) == "Couldn't find PID field in ps output"


def test_a_column_that_is_no_number() -> None:
    with pytest.raises(top.TopError, match="Unexpected pid 'x'"):
        top.parse("PID CMD\nx y\n", {1})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-o ppid=PID", 'specifying "ppid=PID" is not allowed'),
        ("-o cmd", "Couldn't find PID field in ps output"),
        ("--no-such-option", "ps: error: unknown gnu long option"),
        ("-o pid\0", "ps: invalid argument"),
    ],
)
def test_arguments_of_real_ps(arguments: str, words: str) -> None:
    with pytest.raises(top.TopError) as caught:
        top.run([os.getpid()], arguments)
    assert str(caught.value) == words


@pytest.mark.parametrize("arguments", ["", "aux", "-o pid,cmd", "-o pid=PID,cmd", "-e f"])
def test_real_ps_shows_only_ours(arguments: str) -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        titles, rows = top.run([process.pid], arguments)
        place = titles.index("PID")
        assert [row[place] for row in rows] == [str(process.pid)]
        assert rows[0][-1].endswith("sleep 600")
        assert all(len(row) == len(titles) for row in rows)
    finally:
        process.kill()
        process.wait()


def test_nobody() -> None:
    assert top.run([])[1] == []


# -- usage -----------------------------------------------------------------------------------------


def test_host_figures() -> None:
    text = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 1 1\n"
    assert usage.system_cpu_nanos(text) == 280 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert usage.system_cpu_nanos("") == 0
    assert usage.memory_total("MemFree: 1 kB\nMemTotal:       2048 kB\n") == 2 << 20


def test_network_totals_leave_out_loopback() -> None:
    text = (
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop\n"
        "    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n"
        "  eth0:  7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n"
        "  eth1:3 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0\n"
    )
    assert usage.network_totals(text) == (10, 13)
    assert usage.network_totals("") == (0, 0)


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group(layout.detect(), f"/trine-test-{secrets.token_hex(6)}")
    made.create({"memory": {"limit": 256 << 20}} if "memory" in layout.detect().hierarchies else {})
    yield made
    made.kill()
    made.delete()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_samples_of_a_busy_process_in_its_own_network(group: Group) -> None:
    code = (
        "import socket, sys\nsys.stdin.readline()\nsum(range(3 * 10 ** 6))\n"
        "print(len(open('/proc/net/dev').read().splitlines()), flush=True)\nsys.stdin.readline()"
    )
    process = subprocess.Popen(
        ["unshare", "-n", sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        group.join(process.pid)
        sampler = usage.Sampler(group, process.pid)
        first = sampler.sample()
        assert (first.previous_cpu_usage_nanos, first.previous_system_cpu_usage_nanos) == (0, 0)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "3\n"  # two heads and lo
        second = sampler.sample()
        assert second.previous_cpu_usage_nanos == first.cpu_usage_nanos < second.cpu_usage_nanos
        assert second.previous_system_cpu_usage_nanos == first.system_cpu_usage_nanos
        assert second.read_at_unix_nanos > first.read_at_unix_nanos
        assert second.online_cpus == os.sysconf("SC_NPROCESSORS_ONLN")
        assert (second.network_received_bytes, second.network_sent_bytes) == (0, 0)
        if group.directory("memory") and group.layout.has_v1:
            assert second.memory_limit_bytes == 256 << 20
            assert second.pids == 1
    finally:
        process.kill()
        process.communicate()
    gone = sampler.sample()
    assert gone.pids == 0


def test_the_hosts_network_is_nobodys() -> None:
    sampler = usage.Sampler(Group(layout.detect(), "/trine-test-none-such"), os.getpid())
    sample = sampler.sample()
    assert (sample.network_received_bytes, sample.network_sent_bytes) == (0, 0)
    assert sample.memory_limit_bytes > 0
