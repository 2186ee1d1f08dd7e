"""State that was damaged: one clear line, and nothing lost but what was damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chaos.invariants import check
from support.stack import Stack


@pytest.mark.parametrize("path", ["image/image.db", "network/network.db", "engine/engine.db"])
def test_an_emptied_database_costs_nothing(stack: Stack, path: str) -> None:
    """Neither images nor the containers that run go: each database has a copy."""
    pid_of = "{{.State.Pid}} {{.State.Running}}"
    stack.sleeper("runs", "-p", "8080:80", "-v", "precious:/data")
    stack.must("create", "--name", "made", "busybox", "true")
    stack.must("network", "create", "own")
    stack.must("exec", "runs", "sh", "-c", "echo kept >/file; echo kept >/data/file")
    before = stack.inspect("runs", pid_of), stack.must("images", "-q"), stack.must("network", "ls", "-q")
    stack.stop()
    file = stack.data_root / path
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    file.write_bytes(b"")
    told = len(stack.log())
    stack.start()
    assert f"{file} is damaged (file is empty)" in stack.log()[told:]
    after = stack.inspect("runs", pid_of), stack.must("images", "-q"), stack.must("network", "ls", "-q")
    assert after == before
    assert stack.must("exec", "runs", "cat", "/file", "/data/file") == "kept\nkept"
    stack.must("start", "-a", "made")
    check(stack)


def test_an_emptied_database_without_a_copy_is_refused(stack: Stack) -> None:
    stack.sleeper("runs")
    pid = int(stack.inspect("runs", "{{.State.Pid}}"))
    stack.stop()
    file = stack.data_root / "engine" / "engine.db"
    kept = {p: p.read_bytes() for p in file.parent.glob("engine.db*")}
    file.write_bytes(b"")
    file.with_name("engine.db.copy").unlink()
    told = len(stack.log())
    with pytest.raises(AssertionError, match="does not serve"):
        stack.start()
    last = stack.log()[told:].splitlines()[-1]
    assert last.startswith(f"trined: {file} is damaged (file is empty) and has no copy")
    assert Path(f"/proc/{pid}").exists()
    for path, content in kept.items():
        path.write_bytes(content)
    stack.start()
    assert stack.inspect("runs", "{{.State.Pid}}") == str(pid)


def test_a_lost_layer_costs_its_image_only(stack: Stack) -> None:
    """A container over it cannot start, and says so; it can be removed, and the image pulled again."""
    stack.must("create", "--name", "poor", "busybox", "true")
    stack.must("pull", "-q", "hello-world")
    stack.stop()
    layers = stack.data_root / "image" / "layers"
    for layer in layers.iterdir():
        if (layer / "fs" / "bin").exists():
            shutil.rmtree(layer)
    told = len(stack.log())
    stack.start()
    assert "not reconciled" not in stack.log()[told:]
    assert "poor" in stack.must("ps", "-a", "--format", "{{.Names}}")
    failed = stack.trine("start", "poor")
    assert failed.returncode == 1 and "no such file or directory" in failed.stderr
    stack.must("run", "--rm", "hello-world")
    stack.must("rm", "poor")
    stack.must("run", "--rm", "busybox", "true")
    check(stack)
