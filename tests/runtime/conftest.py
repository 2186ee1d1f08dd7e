"""Fixtures of the runtime room."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from runtime.rig import Rig


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A started service the tests of one module share; at the end nothing may be left."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Rig()
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Rig]:
    """A started service for one test: to be killed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Rig()
    yield made
    made.close()
