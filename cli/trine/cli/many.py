"""Doing one thing to many objects: calls run side by side on one connection, answers are told in order."""

from __future__ import annotations

import sys

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from trine.cli.app import App
    from trine.cli.wire import Message

_AT_ONCE = 50  # as many as Docker's client


def require_names(names: Sequence[str]) -> None:
    """Refuse an empty name; raises Failure."""
    if any(not name.strip() for name in names):
        raise Failure("invalid container name or ID: value is empty")


def each(
    app: App,
    method: str,
    names: Sequence[str],
    request: Callable[[str], Mapping[str, Any]],
    told: Callable[[str, Message], str] | None = None,
) -> int:
    """Call a unary method for each name and print the names (or what ``told`` returns) that went well.

    Returns 0, or 1 when any failed; failures are printed. Raises UnreachableError.
    """
    from trine.cli.client import DaemonError

    failures: list[str] = []
    for start in range(0, len(names), _AT_ONCE):
        group = names[start : start + _AT_ONCE]
        calls = [(name, app.client.start(method, request(name))) for name in group]
        for name, call in calls:
            try:
                answer = call.result()
            except DaemonError as error:
                failures.append(str(error))
                continue
            text = name if told is None else told(name, answer)
            if text:
                sys.stdout.write(text + "\n")
    if failures:
        sys.stdout.flush()
        sys.stderr.write("\n".join(failures) + "\n")
        return 1
    return 0


def container_command(
    app: App, method: str, names: Sequence[str], fields: Mapping[str, Any] | None = None
) -> int:
    """Call a ContainerService method that takes a container and ``fields`` for each name; see ``each``."""
    require_names(names)
    more = fields or {}
    return each(app, f"ContainerService.{method}", names, lambda name: {"container": name, **more})
