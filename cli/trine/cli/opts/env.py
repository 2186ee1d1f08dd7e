"""--env and --env-file."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def check_env(text: str) -> str:
    """Return NAME=VALUE; a bare NAME gets this process's value, or stays bare. Raises ValueError."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if equals or name not in os.environ:
        return text
    return f"{name}={os.environ[name]}"


def read_file(path: str, *, lookup: bool) -> list[str]:
    """Return the NAME=VALUE lines of an env (or label) file.

    Args:
        path: the file; one with a byte order mark is read, comments (#) and blank lines are left out.
        lookup: give a bare NAME this process's value, and leave it out when there is none.

    Raises ValueError with Docker's texts, OSError when the file cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    lines: list[str] = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        raw = raw.removesuffix(b"\r")
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            shown = "[" + " ".join(str(octet) for octet in raw) + "]"
            raise ValueError(
                f"invalid env file ({path}): invalid utf8 bytes at line {number}: {shown}"
            ) from None
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name:
            raise ValueError(f"invalid env file ({path}): no variable name on line '{line}'")
        if " " in name or "\t" in name:
            raise ValueError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        if equals:
            lines.append(f"{name}={value}")
        elif lookup and name in os.environ:  # a bare name in a file of labels is no label
            lines.append(f"{name}={os.environ[name]}")
    return lines


def read_files(paths: Sequence[str], *, lookup: bool) -> list[str]:
    """Return the lines of several files; raises ValueError, also for one that cannot be read."""
    lines: list[str] = []
    for path in paths:
        try:
            lines += read_file(path, lookup=lookup)
        except IsADirectoryError:  # Docker calls a label file so too
            raise ValueError(f"invalid env file ({path}): read {path}: is a directory") from None
        except OSError as error:
            raise ValueError(f"open {path}: {(error.strerror or '').lower()}") from None
    return lines
