"""What trine-oci and every shim load: nothing that is slow, large or forks badly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("grpc", "google", "structlog", "pyroute2", "argparse", "inspect", "dataclasses", "subprocess"),
    *("tempfile", "threading", "asyncio", "shutil", "hashlib", "logging"),
}


@pytest.mark.parametrize(
    "module", ["trine.runtime.oci.commands", "trine.runtime.cgroups.group", "trine.linux.seccomp"]
)
def test_loads_nothing_heavy(module: str) -> None:
    paths = [path for path in sys.path if path.startswith(("/", "."))]
    code = (
        f"import sys, json; sys.path[:0] = json.loads({json.dumps(json.dumps(paths))}); import {module}; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & HEAVY
