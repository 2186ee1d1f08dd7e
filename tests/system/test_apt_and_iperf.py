"""On the host's own network: a Debian container installs a package through NAT; two of them measure each other."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.stack import remove_network

from support import traces
from support.place import Place
from support.stack import Stack


def host_reaches_a_mirror(scratch: Path) -> bool:
    """Tell whether apt on the host itself gets its lists; then a container must get them too."""
    (scratch / "partial").mkdir(parents=True)
    done = subprocess.run(
        [
            "apt-get",
            "-qq",
            "-o",
            f"Dir::State::lists={scratch}",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ],
        capture_output=True,
        timeout=100,
        check=False,
    )
    return done.returncode == 0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    before = traces.rules(Place())
    with Stack(place=Place(), images=("debian",), flags=["--bip", "10.213.77.1/24"], preload=False) as engine:
        yield engine
    remove_network("trine0")
    assert [rule for rule in traces.rules(Place()) if rule not in before] == []


def test_installs_iperf3_and_two_containers_measure_each_other(stack: Stack, tmp_path: Path) -> None:
    if not host_reaches_a_mirror(tmp_path / "lists"):
        pytest.skip("the host itself reaches no Debian mirror")
    script = "apt-get update && apt-get install -y --no-install-recommends iperf3"
    stack.must("run", "--name", "installer", "debian", "sh", "-c", script, timeout=110)
    assert "iperf3" in stack.must("diff", "installer")
    stack.must("commit", "installer", "measure")
    stack.must("run", "-d", "--name", "server", "measure", "iperf3", "-s", "--one-off", "--forceflush")
    address = stack.inspect("server", "{{.NetworkSettings.IPAddress}}")
    assert address.startswith("10.213.77.")
    deadline = time.monotonic() + 20
    while "listening" not in stack.must("logs", "server"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    report = stack.must("run", "--rm", "measure", "iperf3", "--client", address, "--time", "1", "--json")
    assert json.loads(report)["end"]["sum_received"]["bits_per_second"] > 0
    assert stack.must("wait", "server").strip() == "0"
