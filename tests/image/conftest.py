"""Fixtures of the image room: one service and one registry a session; tests clean up after themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from image.rig import FakeRegistry, ImageRig, Registry


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


@pytest.fixture(scope="session")
def _shared() -> Iterator[ImageRig]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = ImageRig().start()
    yield made
    made.close()


@pytest.fixture
def rig(_shared: ImageRig) -> Iterator[ImageRig]:
    """A started service with nothing in it."""
    yield _shared
    _shared.clear()
    _shared.assert_clean()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    made = FakeRegistry()
    yield made
    made.close()
