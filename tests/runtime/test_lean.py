"""What a container costs: a shim's own memory, and the rehearsal that keeps it small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runtime.rig import Rig, eventually

SHIM_BYTES = 1_500_000  # of its own, as the shim's goal says


def _shim_of(init: int) -> Path:
    parent = next(
        line.split()[1] for line in Path(f"/proc/{init}/status").read_text().splitlines() if "PPid" in line
    )
    return Path("/proc", parent)


def test_a_shim_has_little_memory_of_its_own(rig: Rig) -> None:
    containers = [rig.run("sh", "-c", "echo ready; sleep 60") for _ in range(2)]
    try:
        for container in containers:
            eventually(lambda c=container: rig.logs(c) == b"ready\n")
            shim = _shim_of(rig.get(container).process_id)
            assert (shim / "comm").read_text() == "trine-shim\n"
            rows = (shim / "smaps_rollup").read_text().splitlines()
            private = sum(int(row.split()[1]) for row in rows if row.startswith("Private"))
            assert private * 1024 <= SHIM_BYTES
    finally:
        for container in containers:
            rig.delete(container, force=True)


def test_a_rehearsal_leaves_nothing() -> None:
    """In an interpreter of its own, as in the zygote: no descriptor, no process, no file is left."""
    code = (
        "import os\n"
        "from trine.runtime import rehearsal\n"
        "from trine.runtime.cgroups import layout\n"
        "found = layout.detect()\n"
        "before = sorted(os.listdir('/proc/self/fd'))\n"
        "rehearsal.rehearse(found)\n"
        "assert sorted(os.listdir('/proc/self/fd')) == before\n"
        "assert not os.path.exists('/nonexistent')\n"
        "try:\n"
        "    os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError:\n"
        "    print('nothing left')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("nothing left\n", "")
