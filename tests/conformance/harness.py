"""Run conformance cases on an engine and make what it said comparable.

A case is a shell script in cases/ (see lib.sh). Its transcript holds every command with stdout,
stderr and status, normalised: what differs from run to run (ids, times, sizes, addresses, ports,
temporary paths) becomes a word in angle brackets, and Docker's own name becomes Trine's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = sorted((HERE / "cases").glob("*.sh"))
TRANSCRIPTS = HERE / "transcripts"
OURS = TRANSCRIPTS.parent / "differences"  # what Trine says where it means to differ, and why
TIMEOUT_SECONDS = 120
KEPT_IMAGES = ("busybox:latest", "hello-world:latest")

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_UNIT = r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)"
_SPAN = rf"(?:Less than a second|(?:About )?an? {_UNIT}|About \d+ {_UNIT}|\d+ {_UNIT})"
_RULES: tuple[tuple[str, str], ...] = (
    # One write or two: whether the colour ends between them is chance.
    (r"\x1b\[0m\x1b\[91m", ""),
    (r"(Python version:) +3\.\d+\.\d+", r"\1  <PYTHON>"),
    (r"\b[0-9a-f]{64}\b", "<ID>"),
    (r"(?<![0-9a-zA-Z.:-])(?=[0-9a-f]*[a-f0-9])[0-9a-f]{12}(?![0-9a-zA-Z])", "<ID12>"),
    (_TIME, "<TIME>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4} [A-Z]{3,4}", "<TIME>"),
    (rf"{_SPAN} ago", "<AGO>"),
    (rf"\bUp {_SPAN}", "Up <SPAN>"),
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<MAC>"),
    (r"\b172\.(?:1[7-9]|2\d|3[01])\.\d+\.(?!0\b)(?!1\b)\d+\b", "<IP>"),
    (r"\b172\.(?:1[89]|2\d|3[01])\.\d+\.(\d+)\b", r"172.N.0.\1"),
    (r"\b192\.168\.\d+\.(\d+)\b", r"172.N.0.\1"),
    (r"\b\d+(?:\.\d+)?(?:e\+\d+)?(?:[kMG]i?)?B\b", "<SIZE>"),
    (r"\b(?:4915\d|49[2-9]\d\d|3276[89]|327[7-9]\d|328\d\d|329\d\d|33\d\d\d)\b", "<PORT>"),
    (r"/tmp/tmp\.[A-Za-z0-9]+", "<TMP>"),
)
_PULL_STEP = re.compile(
    r"^(! )?<ID12>: (Pulling fs layer|Waiting|Verifying Checksum|Download complete"
    r"|Downloading.*|Extracting.*)$"
)
# Docker's client tells everyone to move to BuildKit; Trine has one builder and says nothing.
_BUILDER_NOTE = re.compile(
    r"^! DEPRECATED: The legacy builder is deprecated[^\n]*\n(?:!  [^\n]*\n)*(?:! ?\n)?", re.MULTILINE
)


@dataclass
class Engine:
    """How to run a command on an engine: its client, environment, and the place it lives in."""

    client: str
    environment: Mapping[str, str]
    command: Callable[..., list[str]]  # words -> a command line run in the engine's place
    replace: tuple[tuple[str, str], ...] = ()  # (regular expression, replacement) before all other rules

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the client quietly."""
        return subprocess.run(
            self.command(self.client, *words), env=dict(self.environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip


def reset(engine: Engine) -> None:
    """Remove containers, networks, volumes and images of the case before; the kept images stay."""
    containers = engine.run("ps", "-aq").stdout.split()
    if containers:
        engine.run("rm", "-f", "-v", *containers)
    engine.run("network", "prune", "-f")
    volumes = engine.run("volume", "ls", "-q").stdout.split()
    if volumes:
        engine.run("volume", "rm", "-f", *volumes)
    lines = engine.run("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout.splitlines()
    have = {line.split()[0] for line in lines}
    kept = {line.split()[1] for line in lines if line.split()[0] in KEPT_IMAGES}
    extra = [name for line in lines for name, identity in [line.split()] if name not in KEPT_IMAGES]
    for name in extra:
        identity = next(line.split()[1] for line in lines if line.startswith(name + " "))
        if name.endswith(":<none>"):
            if identity not in kept:
                engine.run("rmi", "-f", identity)
        else:
            engine.run("rmi", "-f", name)
    engine.run("image", "prune", "-f")
    for name in KEPT_IMAGES:
        if name not in have:
            engine.run("pull", "-q", name)


def run_case(engine: Engine, case: Path) -> str:
    """Run one case; return its raw transcript."""
    folder = tempfile.mkdtemp(prefix="case-", dir="/tmp")
    try:
        done = subprocess.run(
            engine.command("bash", "-c", f". {HERE}/lib.sh; cd {folder}; . {case}"),
            env={**engine.environment, "CLI": engine.client, "HOME": folder},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        text = done.stdout.decode(errors="backslashreplace")
        return text.replace(folder, "<DIR>")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def normalise(text: str, replace: tuple[tuple[str, str], ...] = ()) -> str:
    """Return a transcript with everything that may differ between two good runs taken out."""
    text = _BUILDER_NOTE.sub("", text)
    for pattern, word in (*replace, *_RULES):
        text = re.sub(pattern, word, text)
    lines: list[str] = []
    for line in text.splitlines():
        if _PULL_STEP.match(line):
            continue
        # Widths of columns follow from ids and times; what is in them counts.
        lines.append(re.sub(r"(?<=\S) {2,}", "  ", line).rstrip())
    return "\n".join(lines) + "\n"


DOCKER_WORDS: tuple[tuple[str, str], ...] = (
    (r"(?i)(?<![\w.])(?<!index\.)docker0\b", "trine0"),
    (r"Docker (daemon|Engine)", r"Trine \1"),
    (r"(?<!com\.)\bdocker(?!file|ignore|\.io|\.com|\.sock|\.pkg)\b", "trine"),
    (r"\bDocker(?!file|ignore| Hub)\b", "Trine"),
)


def transcript(case: Path) -> Path:
    """Return where the recorded transcript of a case is."""
    return TRANSCRIPTS / f"{case.stem}.txt"


def environment(**extra: str) -> dict[str, str]:
    """Return an environment for a client: ours without anything that points it elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "TRINE_"))}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}
