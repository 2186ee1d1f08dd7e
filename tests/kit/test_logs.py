"""Logs: lines for a person, lines for a machine, lines for systemd's journal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from trine.kit import logs
logs.configure("info", sys.argv[1])
log = logs.get_logger("part")
log.debug("not shown")
log.info("hello", token="abc")
log.warning("careful")
"""


def lines(tmp_path: Path, form: str, *, journal: bool) -> list[str]:
    """Run a program that logs; its standard error is a file that is said to be the journal, or is not."""
    path = tmp_path / "log"
    with open(path, "wb") as stream:
        status = os.fstat(stream.fileno())
        name = f"{status.st_dev}:{status.st_ino if journal else status.st_ino + 1}"
        command = [sys.executable, "-c", PROGRAM, form]
        subprocess.run(command, stderr=stream, check=True, env={**os.environ, "JOURNAL_STREAM": name})
    return path.read_text().splitlines()


def test_text_has_time_and_level_and_no_secret(tmp_path: Path) -> None:
    first, second = lines(tmp_path, "text", journal=False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info +\] hello +part=part token=\*\*\*", first)
    assert "[warning" in second


def test_the_journal_gets_the_level_and_no_second_time(tmp_path: Path) -> None:
    first, second = lines(tmp_path, "text", journal=True)
    assert re.fullmatch(r"<6>\[info +\] hello +part=part token=\*\*\*", first)
    assert second.startswith("<4>[warning")


def test_json_stays_json_behind_the_level(tmp_path: Path) -> None:
    plain = lines(tmp_path, "json", journal=False)
    told = lines(tmp_path, "json", journal=True)
    assert [line[:3] for line in told] == ["<6>", "<4>"]
    for line in [*plain, *(line[3:] for line in told)]:
        assert json.loads(line)["part"] == "part"
        assert "timestamp" in json.loads(line)
