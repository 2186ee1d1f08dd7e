"""Every conformance case on Trine must say what the real Docker said (transcripts/)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import harness
from support.stack import BIN, Stack


@pytest.fixture(scope="module")
def engine() -> Iterator[harness.Engine]:
    """An engine with the standard bridge and ports, in a place of its own."""
    with Stack(images=("hello-world", "busybox", "debian", "httpd")) as stack:
        environment = harness.environment(TRINE_HOST=stack.host)
        yield harness.Engine(str(BIN / "trine"), environment, stack.place.command)


def test_every_case_is_recorded() -> None:
    assert len(harness.CASES) >= 60
    recorded = {path.stem for path in harness.TRANSCRIPTS.glob("*.txt")}
    assert recorded == {case.stem for case in harness.CASES}, "run: make conformance-record"


def test_no_transcript_shows_a_failed_preparation() -> None:
    for path in harness.TRANSCRIPTS.glob("*.txt"):
        text = path.read_text()
        assert "PREPARATION FAILED" not in text and "NEVER SUCCEEDED" not in text, path.name
        assert str(harness.HERE.parent.parent) not in text and "/tests/conformance/" not in text, path.name


def test_every_difference_is_explained() -> None:
    text = (harness.OURS / "README.md").read_text()
    for path in harness.OURS.glob("*.txt"):
        assert f"| {path.stem} |" in text, f"tell in {harness.OURS}/README.md why {path.stem} differs"
        assert path.read_text() != (harness.TRANSCRIPTS / path.name).read_text(), path.name


@pytest.mark.parametrize("case", harness.CASES, ids=lambda case: case.stem)
def test_says_what_docker_says(engine: harness.Engine, case: Path) -> None:
    harness.reset(engine)
    said = harness.normalise(harness.run_case(engine, case), engine.replace)
    ours = harness.OURS / f"{case.stem}.txt"
    wanted = (ours if ours.exists() else harness.transcript(case)).read_text()
    difference = difflib.unified_diff(
        wanted.splitlines(), said.splitlines(), "docker", "trine", lineterm="", n=4
    )
    assert said == wanted, f"{case.name}\n" + "\n".join(difference)
