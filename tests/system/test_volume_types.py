"""Volumes the kernel mounts for the local driver: --opt type=overlay, nfs, …; their events; what prune leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import Stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(images=("busybox",)) as running:
        yield running


def test_what_the_kernel_mounts_is_a_volume(stack: Stack, tmp_path: Path) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "below").write_text("below\n")
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    stack.must(
        "volume",
        "create",
        "--opt",
        "type=overlay",
        "--opt",
        "device=overlay",
        "--opt",
        f"o={layers}",
        "layered",
    )
    stack.must("run", "--rm", "-v", "layered:/d", "busybox", "sh", "-c", "echo kept > /d/file")
    script = "cat /d/below /d/file; grep ' /d ' /proc/mounts"
    shown = stack.must("run", "--rm", "-v", "layered:/d", "busybox", "sh", "-c", script)
    assert shown.startswith("below\nkept\noverlay /d overlay rw")
    refused = stack.trine("run", "--rm", "-v", "layered:/d:ro", "busybox", "touch", "/d/x")
    assert "Read-only file system" in refused.stderr
    assert str(tmp_path) not in Path("/proc/mounts").read_text(), "nothing of ours is mounted on the host"
    stack.must("volume", "prune", "-f")
    assert stack.must("volume", "ls", "-q") == "layered", "one that stands for something elsewhere stays"
    stack.must("volume", "rm", "layered")


def test_a_disk_is_refused_with_what_to_do(stack: Stack) -> None:
    done = stack.trine("volume", "create", "--opt", "type=ext4", "--opt", "device=/dev/sda1", "disk")
    assert done.returncode == 1
    assert "mount /dev/sda1 on the host and use type=none, o=bind" in done.stderr


def test_mounts_and_prunes_are_events(stack: Stack) -> None:
    stack.must("run", "--rm", "-v", "named:/d:ro", "busybox", "true")
    stack.must("volume", "prune", "-f")
    form = '{{.Action}} {{.Actor.ID}} {{index .Actor.Attributes "destination"}} {{index .Actor.Attributes "read/write"}}'
    told = stack.must("events", "--since", "1h", "--until", "0s", "--filter", "type=volume", "--format", form)
    ours = [line.strip() for line in told.splitlines() if "named" in line or line.startswith("prune")]
    assert ours[-5:] == ["create named", "mount named /d false", "unmount named", "destroy named", "prune"]
