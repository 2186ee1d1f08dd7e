"""kill -9 of each service and of all at once, under a container that publishes a port and logs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from chaos.invariants import check
from support.stack import Stack

VICTIMS = [
    ("image",), ("network",), ("runtime",), ("zygote",), ("trined",),
    ("image", "network", "runtime", "trined"), ("image", "network", "runtime", "zygote", "trined"),
]  # fmt: skip
COUNTER = "mkdir /w; echo page >/w/index.html; httpd -h /w; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done"


def wait_for_page(stack: Stack) -> None:
    done = stack.sh(
        "curl -sS -m 2 --retry 40 --retry-all-errors --retry-delay 0 --retry-max-time 4 localhost:8080"
    )
    assert done.stdout == "page\n", done.stderr


def start_counter(stack: Stack) -> None:
    stack.must("run", "-d", "--name", "count", "-p", "8080:80", "busybox", "sh", "-c", COUNTER)
    wait_for_page(stack)


def revive(stack: Stack) -> None:
    if stack.trined is None:
        stack.start()
    stack.wait_until_serving()


@pytest.mark.parametrize("victims", VICTIMS, ids="+".join)
def test_containers_run_on(stack: Stack, victims: tuple[str, ...]) -> None:
    start_counter(stack)
    pid = stack.inspect("count", "{{.State.Pid}}")
    stack.kill(*victims)
    wait_for_page(stack)
    time.sleep(0.3)
    revive(stack)
    wait_for_page(stack)
    assert stack.inspect("count", "{{.State.Pid}} {{.State.Running}} {{.RestartCount}}") == f"{pid} true 0"
    assert "count" in stack.must("ps", "--format", "{{.Names}}")
    check(stack)
    # A command inside, a listener on its output, its end and its removal.
    assert stack.must("exec", "count", "cat", "/w/index.html") == "page"
    listener = stack.spawn("attach", "--no-stdin", "--sig-proxy=false", "count")
    assert listener.stdout is not None
    assert listener.stdout.readline().startswith("line ")
    listener.kill()
    listener.communicate()
    stack.must("stop", "-t", "0", "count")
    lines = stack.must("logs", "count").splitlines()
    assert lines == [f"line {i}" for i in range(len(lines))] and len(lines) > 30
    assert stack.inspect("count", "{{.State.ExitCode}}") == "137"
    stack.must("start", "count")
    wait_for_page(stack)
    stack.must("rm", "-f", "count")
    assert stack.sh("curl -s -m 2 localhost:8080").returncode == 7
    check(stack)


def test_an_end_while_nobody_looked_is_told_truly(stack: Stack) -> None:
    stack.must("run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 0.7; echo last words; exit 23")
    stack.kill("image", "network", "runtime", "zygote", "trined")
    before = time.time()
    time.sleep(1.5)
    stack.start()
    assert stack.inspect("ends", "{{.State.Status}} {{.State.ExitCode}}") == "exited 23"
    finished = stack.inspect("ends", "{{.State.FinishedAt}}")
    moment = time.mktime(time.strptime(finished[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert before - 1 <= moment <= before + 1.4
    assert stack.must("logs", "ends") == "last words"
    check(stack)


def test_a_restart_policy_holds_over_a_restart(stack: Stack) -> None:
    stack.sleeper("always", "--restart", "always")
    stack.sleeper("never")
    stack.kill("image", "network", "runtime", "zygote", "trined")
    for pid, words in stack.processes().items():
        if "sleep" in words or "trap" in words:
            os.kill(pid, signal.SIGKILL)
    stack.start()
    time.sleep(0.5)
    assert stack.inspect("always", "{{.State.Status}}") == "running"


def test_a_stop_of_trined_leaves_containers(stack: Stack) -> None:
    start_counter(stack)
    pid = stack.inspect("count", "{{.State.Pid}}")
    stack.stop()
    wait_for_page(stack)
    stack.start()
    assert stack.inspect("count", "{{.State.Pid}}") == pid
    lines = stack.must("logs", "count").splitlines()
    assert lines == [f"line {i}" for i in range(len(lines))]
    check(stack)


def test_an_attached_client_survives_the_services(stack: Stack) -> None:
    client = stack.spawn(
        "run", "--name", "held", "busybox", "sh", "-c", "echo one; sleep 2; echo two; exit 6"
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "one\n"
    stack.kill("image", "network", "runtime")
    assert client.stdout.readline() == "two\n"
    assert client.wait(20) == 6
    client.stdout.close()
    revive(stack)
    assert stack.inspect("held", "{{.State.ExitCode}}") == "6"


def test_many_starts_killed_halfway(stack: Stack) -> None:
    clients = [
        stack.spawn("run", "-d", "--name", f"many{i}", "-p", f"{9100 + i}:80", "busybox", "sleep", "1000")
        for i in range(8)
    ]
    time.sleep(0.25)
    stack.kill("image", "network", "runtime", "zygote", "trined")
    for client in clients:
        client.communicate(timeout=30)
    stack.start()
    check(stack)
    # What is there can be used, and the rest can be made now.
    for i in range(8):
        stack.trine("rm", "-f", f"many{i}")
        stack.must("run", "-d", "--name", f"many{i}", "-p", f"{9100 + i}:80", "busybox", "sleep", "1000")
    check(stack)


def shim_of(stack: Stack, name: str) -> int:
    """Return the pid of a container's shim."""
    identity = stack.inspect(name, "{{.Id}}").encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes()
            if words.startswith(b"trine-shim") and identity in words:
                return int(path.parent.name)
    raise AssertionError(f"{name} has no shim")


@pytest.mark.parametrize("services", [(), ("runtime",), ("image", "network", "runtime", "trined")])
def test_a_killed_shim_ends_its_container_and_no_other(stack: Stack, services: tuple[str, ...]) -> None:
    """Its code is that of kill -9, whoever was there to see it, and its restart policy goes on."""
    stack.sleeper("plain", "-p", "8080:80")
    stack.sleeper("again", "--restart", "always")
    stack.sleeper("other")
    first = stack.inspect("again", "{{.State.Pid}}")
    shims = [shim_of(stack, "plain"), shim_of(stack, "again")]
    stack.kill(*services)
    for shim in shims:
        os.kill(shim, signal.SIGKILL)
    revive(stack)
    check(stack)
    assert stack.must("wait", "plain") == "137"
    deadline = time.monotonic() + 20
    while (
        stack.inspect("again", "{{.State.Running}}") != "true"
        or stack.inspect("again", "{{.State.Pid}}") == first
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert stack.inspect("other", "{{.State.Status}} {{.RestartCount}}") == "running 0"
    check(stack)


def test_after_a_boot_all_is_as_after_dockers(stack: Stack) -> None:
    """The machine goes down: processes, namespaces, rules and the run-time directory are gone, the disk is kept."""
    stack.must("network", "create", "own", "--subnet", "10.77.0.0/24")
    stack.sleeper("plain", "--network", "own", "-p", "8080:80", "-v", "kept:/data")
    stack.sleeper("again", "--network", "own", "--restart", "always", "-p", "8081:80")
    stack.sleeper("unless", "--restart", "unless-stopped")
    stack.sleeper("stopped", "--restart", "unless-stopped")
    stack.must("stop", "stopped")
    stack.sleeper("gone", "--rm")
    stack.must("exec", "plain", "sh", "-c", "echo kept >/file; echo kept >/data/file")
    stack.power_cut()
    stack.start()
    stack.wait_until_serving()
    deadline = time.monotonic() + 20
    wanted = ["again running", "plain exited", "stopped exited", "unless running"]
    while sorted(stack.must("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()) != wanted:
        assert time.monotonic() < deadline, stack.must("ps", "-a")
        time.sleep(0.05)
    assert stack.inspect("plain", "{{.State.ExitCode}}") == "255"
    assert stack.must("exec", "again", "ip", "-o", "-4", "addr").count("10.77.0.") >= 1
    check(stack)
    stack.must("start", "plain")
    assert stack.must("exec", "plain", "cat", "/file", "/data/file") == "kept\nkept"
    stack.must("rm", "-f", "plain", "again", "unless", "stopped")
    check(stack)
