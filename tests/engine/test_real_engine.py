"""The engine over the three real services: what only all of them together can show."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from support.stack import Stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(images=("busybox",)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def clean(stack: Stack) -> Iterator[None]:
    yield
    names = stack.must("ps", "-aq").split()
    if names:
        stack.must("rm", "-f", "-v", *names)


def until(check: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def shims(stack: Stack) -> list[str]:
    """Return the sockets of living shims, of containers and build steps."""
    return [str(path) for path in (stack.exec_root / "runtime").glob("*/shim.sock")]


def nothing_left(stack: Stack) -> None:
    """No shim, no namespace, no record and no data of a container is left."""
    until(lambda: not shims(stack))
    netns = stack.exec_root / "netns"
    until(lambda: not [n for n in os.listdir(netns) if len(n) == 64])
    assert not [n for n in os.listdir(stack.data_root / "runtime" / "containers") if len(n) == 64]
    assert stack.must("ps", "-aq") == ""


def test_a_probe_that_hangs_is_killed_and_makes_it_unhealthy(stack: Stack) -> None:
    stack.must(
        "run", "-d", "--name", "sick", "--health-cmd", "sleep 77", "--health-interval", "100ms",
        "--health-timeout", "200ms", "--health-retries", "2", "busybox", "sleep", "1000",
    )  # fmt: skip
    until(lambda: stack.inspect("sick", "{{.State.Health.Status}}") == "unhealthy")
    log = json.loads(stack.inspect("sick", "{{json .State.Health.Log}}"))
    assert log[0]["Output"] == "Health check exceeded timeout (200ms)" and len(log) <= 5
    stack.must("pause", "sick")  # no further probe starts
    assert stack.must("top", "sick").count("sleep 77") <= 1
    stack.must("unpause", "sick")


def test_links_give_names_and_variables(stack: Stack) -> None:
    stack.sleeper("db", "--expose", "5432", "-e", "K=v")
    address = stack.inspect("db", "{{.NetworkSettings.IPAddress}}")
    text = stack.must("run", "--rm", "--name", "web", "--link", "db:store", "busybox", "sh", "-c",
                      "env; grep store /etc/hosts")  # fmt: skip
    lines = text.splitlines()
    assert f"STORE_PORT_5432_TCP=tcp://{address}:5432" in lines
    assert "STORE_NAME=/web/store" in lines and "STORE_ENV_K=v" in lines
    assert any(line.startswith(f"{address}\tstore ") and line.endswith(" db") for line in lines)
    stack.sleeper("app", "--link", "db:store")
    assert f"STORE_PORT_5432_TCP_ADDR={address}" in stack.must("exec", "app", "env").splitlines()
    stack.must("stop", "-t", "0", "db")
    assert "STORE_" not in stack.must("exec", "app", "env")  # Docker refuses the exec
    done = stack.trine("run", "--rm", "--link", "db", "busybox", "true")
    assert "Cannot link to a non running container: /db AS /" in done.stderr and done.returncode == 125


def test_a_link_follows_the_address(stack: Stack) -> None:
    stack.sleeper("store")
    stack.sleeper("shop", "--link", "store:goods", "--link", "store")
    old = stack.inspect("store", "{{.NetworkSettings.IPAddress}}")
    stack.must("stop", "-t", "0", "store")
    stack.sleeper("thief")
    assert stack.inspect("thief", "{{.NetworkSettings.IPAddress}}") == old
    stack.must("start", "store")
    new = stack.inspect("store", "{{.NetworkSettings.IPAddress}}")
    lines = stack.must("exec", "shop", "cat", "/etc/hosts").splitlines()
    assert {line.split()[0] for line in lines if line.endswith(" store") or "\tstore" in line} == {new}
    assert not any(line.startswith(f"{old}\t") for line in lines)


def test_connecting_brings_names_unless_resolv_conf_was_changed(stack: Stack) -> None:
    stack.must("network", "create", "names")
    for name in ("plain", "edited"):
        stack.sleeper(name)
    stack.must("exec", "edited", "sh", "-c", "echo nameserver 9.9.9.9 >/etc/resolv.conf")
    for name in ("plain", "edited"):
        stack.must("network", "connect", "names", name)
    assert "nameserver 127.0.0.11" in stack.must("exec", "plain", "cat", "/etc/resolv.conf")
    assert stack.must("exec", "edited", "cat", "/etc/resolv.conf") == "nameserver 9.9.9.9"
    assert "1 packets received" in stack.must("exec", "plain", "ping", "-c", "1", "edited")


def test_host_gateway_is_the_bridge(stack: Stack) -> None:
    line = stack.must("run", "--rm", "--add-host", "gw:host-gateway", "busybox", "grep", "gw", "/etc/hosts")
    assert line == "172.17.0.1\tgw"


def test_a_joined_network_shares_its_files(stack: Stack) -> None:
    stack.sleeper("first", "-h", "alpha")
    script = "hostname; echo 9.9.9.9 added >>/etc/hosts"
    assert stack.must("run", "--rm", "--network", "container:first", "busybox", "sh", "-c", script) == "alpha"
    assert "9.9.9.9 added" in stack.must("exec", "first", "cat", "/etc/hosts")


def test_volumes_of_the_local_driver(stack: Stack) -> None:
    source = stack.root / "given"
    source.mkdir()
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={source}")
    stack.must("volume", "create", *options, "bound")
    stack.must("run", "--rm", "-v", "bound:/b", "busybox", "touch", "/b/made")
    assert os.listdir(source) == ["made"]
    source.joinpath("made").unlink()
    source.rmdir()
    done = stack.trine("run", "--rm", "-v", "bound:/b", "busybox", "true")
    assert "failed to mount local volume" in done.stderr and done.stderr.count("Error response") == 1
    stack.must("volume", "rm", "bound")
    refused = stack.trine("volume", "create", "--opt", "type=ext4", "--opt", "device=/dev/x", "away")
    assert refused.returncode == 1 and "use type=none, o=bind" in refused.stderr


def test_the_image_fills_a_volume_once(stack: Stack) -> None:
    stack.must("create", "--name", "filler", "-v", "filled:/etc", "busybox", "sh", "-c", "rm /etc/passwd")
    stack.must("start", "-a", "filler")
    stack.must("run", "--rm", "-v", "filled:/x", "busybox", "sh", "-c", "rm -rf /x/*")
    stack.trine("start", "-a", "filler")
    # The mount points of hosts, hostname and resolv.conf are there again, the image's files are not.
    found = stack.must("run", "--rm", "-v", "filled:/x", "busybox", "ls", "-A", "/x").split()
    assert sorted(found) == ["hostname", "hosts", "resolv.conf"]
    stack.must("rm", "filler")
    stack.must("volume", "rm", "filled")


def test_many_runs_at_once_leave_nothing(stack: Stack) -> None:
    done = stack.sh("seq 32 | xargs -P 8 -n 1 sh -c 'trine run --rm busybox echo x'", 120)
    assert done.returncode == 0 and done.stdout == "x\n" * 32
    nothing_left(stack)


def test_a_client_that_goes_away_leaves_nothing_of_a_rm_container(stack: Stack) -> None:
    client = stack.spawn("run", "--rm", "--name", "held", "busybox", "sleep", "1000")
    until(lambda: stack.must("ps", "-q"))
    client.kill()
    client.communicate()
    assert stack.inspect("held", "{{.State.Running}}") == "true"  # as Docker: it runs on
    assert shims(stack), "what nothing_left looks for can be seen"
    stack.must("kill", "held")
    nothing_left(stack)


@pytest.mark.parametrize("service", ["image", "network", "runtime"])
def test_a_service_that_stays_away_is_named_in_one_line(stack: Stack, service: str) -> None:
    stack.sleeper("up")
    pid = stack.service_pid(service)
    os.kill(pid, signal.SIGSTOP)  # it neither answers nor is it restarted at once
    try:
        assert stack.must("ps", "--format", "{{.Names}}") == "up"  # the engine itself goes on
    finally:
        os.kill(pid, signal.SIGCONT)
    stack.kill(service)
    started = stack.trine("run", "--rm", "busybox", "echo", "after")
    # Waited out, or told in one line; never a trace, and the next one works.
    assert started.stdout == "after\n" or "it is being restarted, try again" in started.stderr
    stack.wait_until_serving()
    assert stack.must("run", "--rm", "busybox", "echo", "again") == "again"
    stack.must("stop", "-t", "0", "up")
    assert stack.inspect("up", "{{.State.Status}}") == "exited"


def test_killed_while_preparing_attaching_and_starting(stack: Stack) -> None:
    for delay in (0.02, 0.05, 0.08, 0.12):
        client = stack.spawn("run", "--rm", "busybox", "true")
        time.sleep(delay)
        stack.kill("trined")
        client.communicate(timeout=30)
        stack.start()
        nothing_left(stack)


def test_a_build_that_is_given_up_leaves_nothing(stack: Stack) -> None:
    context = stack.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN sleep 1000\n")
    client = stack.spawn("build", str(context))
    until(lambda: shims(stack))
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=20)
    nothing_left(stack)


def test_a_build_step_ends_with_the_image_service(stack: Stack) -> None:
    context = stack.root / "context2"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN sleep 1001\n")
    client = stack.spawn("build", str(context))
    until(lambda: shims(stack))
    stack.kill("image")
    _, errors = client.communicate(timeout=20)
    assert "the image service does not answer; it is being restarted, try again" in errors
    assert client.returncode == 1
    stack.wait_until_serving()
    nothing_left(stack)
    until(lambda: not os.listdir(stack.data_root / "image" / "snapshots"))
