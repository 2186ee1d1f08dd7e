"""Run by hatchling when it builds a wheel (pyproject.toml): the commit and the time go into it.

An editable installation has neither: its sources change under it, and say "unknown".
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# For the command line and for the services: they share no code.
PLACES = ("trine/cli/build_stamp.py", "trine/kit/build_stamp.py")


def commit(root: str) -> str:
    """Return the commit a source tree is at, "unknown" outside git."""
    command = ["git", "-C", root, "rev-parse", "--short=7", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class StampHook(BuildHookInterface):  # type: ignore[misc]
    """Puts two modules that say where a build is from in the place of those of the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write them beside the sources and name them to the builder (hatchling's build hook interface)."""
        if version == "editable":
            return
        built = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime())
        text = f'"""Written by tools/stamp.py."""\n\nCOMMIT = "{commit(self.root)}"\nTIME = "{built}"\n'
        self._directory = tempfile.TemporaryDirectory()
        for number, place in enumerate(PLACES):
            path = Path(self._directory.name, f"{number}.py")
            path.write_text(text)
            build_data["force_include"][str(path)] = place

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take the written files away."""
        if version != "editable":
            self._directory.cleanup()
