"""These tests fork, which a process that another room's tests made load grpc may not (kit/fork_guard.py)."""

from __future__ import annotations

import subprocess
import sys

import pytest


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test in an interpreter of its own when grpc is loaded here; None: here, as always."""
    if "grpc" not in sys.modules:
        return None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if " skipped" in done.stdout.splitlines()[-1]:
        pytest.skip("skipped in its own interpreter")
    assert "1 passed" in done.stdout.splitlines()[-1], done.stdout
    return True
