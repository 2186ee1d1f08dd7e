"""No space left: one clear line for what needs space; what frees it, and the truth, need none."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.invariants import problems
from support.stack import Stack


class SmallDisk:
    """A tmpfs below an engine's data root, seen from outside its mount namespace."""

    def __init__(self, stack: Stack) -> None:
        stack.data_root.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(stack.data_root)]
        subprocess.run(stack.place.command(*mount), check=True)
        self.root = Path(f"/proc/{stack.place.pid}/root{stack.data_root}")

    def fill(self) -> None:
        """Leave not a byte."""
        with open(self.root / "ballast", "wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    def free(self) -> None:
        """Take the ballast away."""
        (self.root / "ballast").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def small() -> Iterator[tuple[Stack, SmallDisk]]:
    """An engine on a disk of 48 MB."""
    stack = Stack(images=("hello-world", "busybox", "httpd"))
    disk = SmallDisk(stack)
    with stack:
        yield stack, disk
        disk.free()


def settle(stack: Stack, disk: SmallDisk) -> None:
    """Have space again, and nothing wrong."""
    disk.free()
    stack.wait_until_serving()
    found = [line for line in problems(stack) if line != f"mounted: {stack.data_root}"]
    assert not found


def refused(stack: Stack, *words: str) -> None:
    """What needs space says that there is none, in one line."""
    done = stack.trine(*words, timeout=30)
    lines = [line for line in done.stderr.splitlines() if "no space left on device" in line.lower()]
    assert done.returncode and len(lines) == 1, done
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr


def test_what_needs_space_is_refused(small: tuple[Stack, SmallDisk]) -> None:
    stack, disk = small
    context = stack.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nCOPY data /data\n")
    (context / "data").write_bytes(os.urandom(3_000_000))
    stack.must("save", "-o", str(stack.root / "saved.tar"), "busybox")
    stack.sleeper("up")
    stack.must("create", "--name", "made", "busybox", "true")
    disk.fill()
    refused(stack, "pull", "httpd")
    refused(stack, "run", "--rm", "busybox", "true")
    refused(stack, "start", "made")
    refused(stack, "build", "-q", "-t", "built", str(context))
    refused(stack, "load", "-i", str(stack.root / "saved.tar"))
    refused(stack, "cp", str(context / "data"), "up:/data")
    assert stack.must("exec", "up", "echo", "alive") == "alive"
    settle(stack, disk)
    stack.must("start", "-a", "made")
    assert stack.must("run", "--rm", "busybox", "echo", "fine") == "fine"
    stack.remove_all()


def test_containers_stop_go_and_end_truly_on_a_full_disk(small: tuple[Stack, SmallDisk]) -> None:
    """Records have room of their own; an exit status finds a place beside the shim's socket."""
    stack, disk = small
    stack.sleeper("stop")
    stack.sleeper("gone", "-p", "8081:80")
    stack.sleeper("old")
    script = "trap 'exit 23' TERM; echo ready; while :; do sleep 1000 & wait; done"
    stack.must("run", "-d", "--name", "ends", "busybox", "sh", "-c", script)
    while stack.must("logs", "ends") != "ready":
        time.sleep(0.02)
    ending = int(stack.inspect("ends", "{{.State.Pid}}"))
    disk.fill()
    stack.must("stop", "stop")
    stack.must("rm", "-f", "gone")
    stack.must("rename", "old", "new")
    stack.kill("image", "network", "runtime", "zygote", "trined")
    os.kill(ending, signal.SIGTERM)
    while Path(f"/proc/{ending}").exists():
        time.sleep(0.01)
    stack.start()
    states = stack.must("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    assert sorted(states) == ["ends exited", "new running", "stop exited"]
    assert stack.inspect("stop", "{{.State.ExitCode}}") == "0"
    assert stack.inspect("ends", "{{.State.ExitCode}}") == "23"
    settle(stack, disk)
    stack.must("run", "--rm", "-p", "8081:80", "busybox", "true")
    stack.remove_all()
