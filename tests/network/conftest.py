"""Fixtures of the network room: a fresh host a test, or one host a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from network.rig import Rig, wait_for
from trine.v1 import network_pb2 as pb


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A host with nothing on it; the test starts the service."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Rig()
    yield made
    made.close()


@pytest.fixture(params=["nft", "legacy"])
def each_backend(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The same, once for each firewall backend."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Rig(request.param)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    """A started service that the tests of one module share (they clean up what they make)."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Rig()
    made.start()
    yield made
    made.close()


@pytest.fixture
def host(shared: Rig) -> Iterator[Rig]:
    """The module's service, emptied after each test."""
    yield shared
    for sandbox in shared.stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes:
        shared.delete(sandbox.id)
    shared.stub.PruneNetworks(pb.PruneNetworksRequest())
    wait_for(lambda: not shared.veths(), "links gone")
