"""One engine for all system tests, in a place of its own that has a neighbour and a world outside."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from support.place import OwnPlace, Place, connect
from support.stack import Stack

HOST_ADDRESS = "198.51.100.1"  # of the place the engine lives in (TEST-NET-2, RFC 5737)
OUTSIDE_ADDRESS = "198.51.100.2"


def run_in(place: Place, script: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a place."""
    return subprocess.run(
        place.command("bash", "-c", script),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture(scope="session")
def host_place() -> Iterator[OwnPlace]:
    """The network namespace that plays the host."""
    place = OwnPlace()
    yield place
    place.close()


@pytest.fixture(scope="session")
def outside(host_place: OwnPlace) -> Iterator[OwnPlace]:
    """Another machine on the host's network; it has no route to containers unless a test makes one."""
    place = OwnPlace()
    connect(host_place, "eth0", place, "eth0")
    assert run_in(host_place, f"ip addr add {HOST_ADDRESS}/24 dev eth0").returncode == 0
    assert run_in(place, f"ip addr add {OUTSIDE_ADDRESS}/24 dev eth0").returncode == 0
    yield place
    place.close()


@pytest.fixture(scope="session")
def session_stack(host_place: OwnPlace, outside: OwnPlace) -> Iterator[Stack]:
    """The engine."""
    with Stack(place=host_place, images=("hello-world", "busybox", "debian", "httpd")) as stack:
        yield stack


@pytest.fixture
def stack(session_stack: Stack) -> Iterator[Stack]:
    """The engine, with nothing left of this test afterwards."""
    yield session_stack
    session_stack.remove_all()
