"""The processes of a container as the host's ps(1) tells them: `trine top`, as Docker does it.

Docker runs ps on the host, so that a container needs no ps and cannot lie by one of its own.
``run`` blocks for as long as ps does (about 10 ms): call it in a thread.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection

DEFAULT_ARGUMENTS = "-ef"
_RENAMED_PID = re.compile(r"\s+(\S*)=\s*(PID\S*)")
_SECONDS = 30


class TopError(ValueError):
    """ps arguments that cannot be used; one line in Docker's words."""


def check_arguments(arguments: str) -> None:
    """Refuse a column that is called PID and is none ("-o ppid=PID"): rows are told apart by it.

    Raises:
        TopError: in Docker's words.
    """
    for key, value in _RENAMED_PID.findall(arguments):
        if key != "pid":
            raise TopError(f'specifying "{key}={value}" is not allowed')


def run(pids: Collection[int], arguments: str = "") -> tuple[list[str], list[list[str]]]:
    """Return (titles, rows) of ps for the processes of a container.

    Args:
        pids: numbers on the host.
        arguments: as the user wrote them; empty: -ef.

    Raises:
        TopError: ps refuses the arguments, or shows no PID; in Docker's words.
    """
    arguments = arguments.strip() or DEFAULT_ARGUMENTS
    check_arguments(arguments)
    words = [word for word in arguments.split(" ") if word]
    output = _ps([*words, "-q" + ",".join(map(str, pids))]) if pids else None
    if output is None:  # some options (f, -C) do not go together with -q
        output = _ps(words)
    if output is None:
        raise TopError(_complaint(words))
    return parse(output, pids)


def parse(output: str, pids: Collection[int]) -> tuple[list[str], list[list[str]]]:
    """Return titles and the rows of ``pids`` (threads of them too) from what ps printed. Pure.

    Raises:
        TopError: "Couldn't find PID field in ps output", or no number where it should be.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise TopError("Couldn't find PID field in ps output")
    place = titles.index("PID")
    rows: list[list[str]] = []
    before_was_ours = False
    for line in lines[1:]:
        cells = line.split()
        if len(cells) <= place:
            continue
        if cells[place] == "-":  # a thread of the process above (option m)
            if before_was_ours:
                rows.append(_fit(cells, len(titles)))
            continue
        if not cells[place].isdecimal():
            raise TopError(f"Unexpected pid '{cells[place]}'")
        before_was_ours = int(cells[place]) in pids
        if before_was_ours:
            rows.append(_fit(cells, len(titles)))
    return titles, rows


def _fit(cells: list[str], columns: int) -> list[str]:
    """Return as many cells as titles: the last one, the command, has blanks in it."""
    fitted = [*cells[: columns - 1], " ".join(cells[columns - 1 :])]
    return fitted + [""] * (columns - len(fitted))


def _ps(words: list[str]) -> str | None:
    done = _execute(words)
    return done.stdout if done.returncode == 0 else None


def _complaint(words: list[str]) -> str:
    done = _execute(words)
    first = done.stderr.splitlines()
    return f"ps: {first[0]}" if first and first[0] else f"ps: exit status {done.returncode}"


def _execute(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["ps", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise TopError('exec: "ps": executable file not found in $PATH') from None
    except subprocess.TimeoutExpired:
        raise TopError("ps: timeout") from None
    except ValueError:  # a NUL among the arguments
        raise TopError("ps: invalid argument") from None
