"""Fixtures of the command line's tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trine.cli.client import Client

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scripted engine (fake_engine.py)."""
    path = tmp_path_factory.mktemp("engine") / "e.sock"
    process = subprocess.Popen(
        [sys.executable, str(HERE / "fake_engine.py"), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready 0\n"
    yield f"unix://{path}"
    process.terminate()
    process.wait()


@pytest.fixture
def client(engine: str) -> Iterator[Client]:
    """A client connected to the scripted engine."""
    found = Client(engine)
    yield found
    found.close()
