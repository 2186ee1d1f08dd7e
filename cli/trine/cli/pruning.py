"""What all prune commands share: the question, the lists, the sum."""

from __future__ import annotations

import sys

from trine.cli.app import confirmed
from trine.cli.text.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from trine.cli.flags import Values
    from trine.cli.wire import Message


def agreed(values: Values, warning: str, separator: str = "\n") -> bool:
    """Ask unless --force was given; return whether to go on."""
    if values["force"]:
        return True
    return confirmed(f"WARNING! {warning}{separator}Are you sure you want to continue? [y/N] ")


def listed(title: str, lines: Iterable[str]) -> None:
    """Print a titled list, nothing when it is empty."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        sys.stdout.write(f"{title}:\n{text}\n")


def reclaimed(size: int) -> None:
    """Print how much space was given back."""
    sys.stdout.write(f"Total reclaimed space: {human_size(size)}\n")


def deleted_lines(deleted: Iterable[Message]) -> list[str]:
    """Return "untagged: …" and "deleted: …" lines."""
    return [f"deleted: {one.deleted}" if one.deleted else f"untagged: {one.untagged}" for one in deleted]
