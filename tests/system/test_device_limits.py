"""Limits for block devices reach the kernel: --device-read-bps and its like, on create and on update."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import traces
from support.stack import Stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(images=("busybox",)) as running:
        yield running


def _block_device() -> tuple[str, str]:
    """Return the node of a whole disk of this machine, and its numbers."""
    for device in sorted(Path("/sys/block").iterdir()):
        node = Path("/dev") / device.name
        if node.is_block_device() and not device.name.startswith(("loop", "ram")):
            return str(node), (device / "dev").read_text().strip()
    pytest.skip("no disk here")


def test_rates_are_written_to_the_cgroup(stack: Stack) -> None:
    node, numbers = _block_device()
    container = stack.must(
        "run", "-d", "--device-read-bps", f"{node}:1mb", "--device-write-bps", f"{node}:2mb",
        "--device-read-iops", f"{node}:30", "--device-write-iops", f"{node}:40", "busybox", "sleep", "1000",
    )  # fmt: skip
    group = traces.CGROUPS / "blkio" / stack.cgroup_parent / container
    if not group.is_dir():
        limits = (traces.CGROUPS / stack.cgroup_parent / container / "io.max").read_text()
        assert f"{numbers} rbps=1048576 wbps=2097152 riops=30 wiops=40" in limits
        return
    for name, rate in (("read_bps", 1 << 20), ("write_bps", 2 << 20), ("read_iops", 30), ("write_iops", 40)):
        assert (group / f"blkio.throttle.{name}_device").read_text().split() == [numbers, str(rate)]


def test_a_device_that_is_not_there_is_refused_and_nothing_is_left(stack: Stack) -> None:
    done = stack.trine("run", "--rm", "--device-read-bps", "/dev/no-such-disk:1mb", "busybox", "true")
    assert done.returncode == 125
    assert "stat /dev/no-such-disk: no such file or directory" in done.stderr
    assert "no-such-disk" not in stack.must("ps", "-a", "--no-trunc")
