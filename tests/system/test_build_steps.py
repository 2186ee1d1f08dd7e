"""Containers of build steps: what a kill in a step leaves (nothing), and what a failed step leaves (all)."""

from __future__ import annotations

import time
from pathlib import Path

from support.stack import Stack


def _context(stack: Stack, text: str) -> str:
    directory = stack.root / "context"
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text(text)
    return str(directory)


def _scratch(stack: Stack) -> list[Path]:
    directory = stack.data_root / "engine" / "build"
    return list(directory.iterdir()) if directory.is_dir() else []


def test_volumes_of_a_step_go_with_a_killed_engine(stack: Stack) -> None:
    text = "FROM busybox\nVOLUME /v\nRUN echo x >/v/x; echo begun; sleep 300"
    build = stack.spawn("build", "--no-cache", _context(stack, text))
    assert build.stdout is not None
    for line in build.stdout:
        if line.startswith("begun"):
            break
    assert len(_scratch(stack)) == 1
    assert stack.must("volume", "ls", "-q") == ""
    stack.kill("trined")
    build.communicate(timeout=30)
    stack.start()
    stack.wait_until_serving()
    assert _scratch(stack) == []
    assert stack.must("ps", "-aq") == ""
    _until_no_snapshots(stack)


def test_a_failed_steps_container_is_one_like_others(stack: Stack) -> None:
    text = "FROM busybox\nVOLUME /v\nRUN echo x >/v/x; echo y >/y; exit 3"
    done = stack.trine("build", "--no-cache", _context(stack, text))
    assert done.returncode == 3
    container = stack.must("ps", "-alq")
    assert _scratch(stack) == []
    stack.stop()
    stack.start()
    assert stack.inspect(container, "{{.State.ExitCode}} {{len .Mounts}}") == "3 1"
    assert stack.sh(f"trine cp {container}:/v/x - | tar -xO").stdout == "x\n"
    assert stack.sh(f"trine cp {container}:/y - | tar -xO").stdout == "y\n"
    stack.must("start", container)
    assert stack.must("wait", container) == "3"
    stack.must("rm", "-v", container)
    assert stack.must("volume", "ls", "-q") == ""
    _until_no_snapshots(stack)


def test_an_interrupted_build_leaves_no_container(stack: Stack) -> None:
    build = stack.spawn("build", "--no-cache", _context(stack, "FROM busybox\nRUN echo begun; sleep 300"))
    assert build.stdout is not None
    for line in build.stdout:
        if line.startswith("begun"):
            break
    build.kill()
    build.communicate(timeout=30)
    _until_no_snapshots(stack)
    assert stack.must("ps", "-aq") == ""


def _until_no_snapshots(stack: Stack) -> None:
    directory = stack.data_root / "image" / "snapshots"
    deadline = time.monotonic() + 20
    while list(directory.iterdir()):
        assert time.monotonic() < deadline, list(directory.iterdir())
        time.sleep(0.05)
