"""Each service started by hand, at an address of its own, replaced one by one under a running container."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import BIN, Stack

NAMES = ("image", "network", "runtime")


class Apart:
    """Three services that somebody else than trined runs, and a trined that is told where."""

    def __init__(self) -> None:
        self.stack = Stack()
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        self.stack.flags = [f"--{name}-service={self.address(name)}" for name in NAMES]

    def address(self, name: str) -> str:
        return f"unix://{self.stack.root}/{name}-elsewhere.sock"

    def start(self, name: str) -> None:
        stack = self.stack
        own = {
            "image": ["--registry-mirror", f"http://127.0.0.1:{stack.registry_port}"],
            "network": ["--bridge", "trine0"],
            "runtime": ["--cgroup-parent", f"/{stack.cgroup_parent}"],
        }[name]
        with open(stack.root / f"{name}.log", "ab") as log:
            self.services[name] = subprocess.Popen(
                stack.place.command(
                    BIN / f"trine-{name}", "--listen", self.address(name),
                    "--data-root", stack.root / f"{name}-data", "--exec-root", stack.exec_root, *own,
                ),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def stop(self, name: str) -> None:
        self.services[name].terminate()
        assert self.services[name].wait(20) == 0

    def until_served(self, name: str) -> None:
        """Wait until trined has found the service again: what needs it works."""
        words = {"image": ("images", "-q"), "network": ("network", "ls", "-q"), "runtime": ("top", "web")}
        end = time.monotonic() + 15
        while (done := self.stack.trine(*words[name])).returncode:
            assert time.monotonic() < end, done.stderr
            time.sleep(0.05)


@pytest.fixture
def apart() -> Iterator[Apart]:
    made = Apart()
    try:
        made.stack.start_registry()
        for name in NAMES:
            made.start(name)
        made.stack.start()
        yield made
    finally:
        made.stack.close()
        for process in made.services.values():
            process.kill()
            process.wait()


def test_services_apart_are_used_replaced_and_left_alone(apart: Apart) -> None:
    stack = apart.stack
    assert stack.must("run", "--rm", "busybox", "echo", "through three strangers").endswith("strangers")
    script = "echo here > /index.html; exec httpd -f -h /"
    stack.must(
        "run", "-d", "--name", "web", "-p", "8080:80", "--stop-signal", "KILL", "busybox", "sh", "-c", script
    )

    def answer() -> str:
        with urllib.request.urlopen("http://127.0.0.1:8080", timeout=10) as reply:
            return str(reply.read().decode())

    stack.sh("until curl -sf localhost:8080; do sleep 0.05; done")  # the program inside is up a little later
    assert stack.place.call(answer) == "here\n"
    for name in NAMES:
        before = stack.inspect("web", "{{.State.Pid}}")
        apart.stop(name)
        assert stack.place.call(answer) == "here\n"  # the container needs none of them
        apart.start(name)
        apart.until_served(name)
        assert stack.inspect("web", "{{.State.Pid}}") == before
        assert stack.must("exec", "web", "echo", "in") == "in"
        assert stack.must("run", "--rm", "busybox", "echo", "another") == "another"
    assert not Path(stack.exec_root, "image.sock").exists()  # trined started none of its own
    stack.stop()
    assert all(process.poll() is None for process in apart.services.values())
    stack.start()
    assert stack.must("ps", "-q", "--no-trunc", "--filter", "name=web")
    stack.must("rm", "-f", "web")


def test_what_needs_an_absent_service_says_so(apart: Apart) -> None:
    stack = apart.stack
    stack.must("pull", "-q", "busybox")
    apart.stop("network")
    refused = stack.trine("run", "--rm", "busybox", "true")
    assert refused.returncode == 125
    address = apart.address("network")
    assert f"the network service at {address} does not answer; start it again" in refused.stderr
    assert "unable to remove" not in refused.stderr
    assert stack.must("images", "-q")  # what needs it not works
    apart.start("network")
    apart.until_served("network")
    assert stack.must("run", "--rm", "busybox", "echo", "back") == "back"
    # What the refused run left, trined removed when the service was back.
    end = time.monotonic() + 15
    while stack.must("ps", "-aq"):
        assert time.monotonic() < end
        time.sleep(0.05)
