"""Inspection of any kind of object: finding it, and showing it as JSON or by a template."""

from __future__ import annotations

import sys

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from trine.cli.app import App

    Find = Callable[[str], dict[str, Any]]


def container(app: App, size: bool = False) -> Find:
    """Return the function that finds containers; it raises DaemonError."""
    from trine.cli.views import container as view

    def find(name: str) -> dict[str, Any]:
        answer = app.client.call("ContainerService.GetContainer", {"container": name, "with_size": size})
        return view.as_docker(answer.container, size=size)

    return find


def image(app: App) -> Find:
    """Return the function that finds images; it raises DaemonError."""
    from trine.cli.client import DaemonError
    from trine.cli.views import image as view

    def find(name: str) -> dict[str, Any]:
        try:
            answer = app.client.call("ImageService.GetImage", {"name": name})
        except DaemonError as error:
            if error.code != "NOT_FOUND":
                raise
            text = f"no such image: {name}: {error.daemon_message}"
            raise DaemonError(error.code, text, error.reason, error.metadata) from None
        return view.as_docker(answer.image)

    return find


def network(app: App) -> Find:
    """Return the function that finds networks; it raises DaemonError."""
    from trine.cli.views import network as view

    def find(name: str) -> dict[str, Any]:
        return view.as_docker(app.client.call("NetworkService.GetNetwork", {"name": name}).network)

    return find


def volume(app: App) -> Find:
    """Return the function that finds volumes; it raises DaemonError."""
    from trine.cli.views import volume as view

    def find(name: str) -> dict[str, Any]:
        return view.as_docker(app.client.call("VolumeService.GetVolume", {"name": name}).volume)

    return find


def anything(app: App, size: bool) -> Find:
    """Return the function that finds a container, image, network or volume, in this order."""
    from trine.cli.client import DaemonError

    def find(name: str) -> dict[str, Any]:
        for one in (container(app, size), image(app), network(app), volume(app)):
            try:
                return one(name)
            except DaemonError as error:
                if error.code != "NOT_FOUND" and not _names_nothing(error):
                    raise
        raise Failure(f"Error: No such object: {name}")

    return find


def _names_nothing(error: Failure) -> bool:
    """Tell whether a refusal only means that no object of that kind can have the name."""
    return getattr(error, "code", "") == "INVALID_ARGUMENT" and getattr(error, "reason", "") != "AMBIGUOUS_ID"


def inspect(names: Sequence[str], form: str, find: Find) -> int:
    """Show what the names stand for; return 0, 1 when one was not found.

    Raises UnreachableError, Failure for a wrong template.
    """
    from trine.cli.failure import UnreachableError
    from trine.cli.text import templates
    from trine.cli.text.values import TemplateError

    template = None
    if form not in ("", "json"):
        try:
            template = templates.parse(form.replace("\\n", "\n").replace("\\t", "\t"))
        except TemplateError as error:
            raise Failure(f"template parsing error: {error}", 64) from None
    found: list[dict[str, Any]] = []
    failures: list[str] = []
    for name in names:
        try:
            if not name:
                raise Failure("invalid container name or ID: value is empty")
            found.append(find(name))
        except UnreachableError:
            raise
        except Failure as failure:
            failures.append(str(failure))
    if template is not None:
        from trine.cli.views.zeros import with_zeros

        lines: list[str] = []
        try:
            lines = [template.render(with_zeros(value)) for value in found]
        except TemplateError as error:
            failures.append(f"template parsing error: {error}")
        sys.stdout.write("".join(line + "\n" for line in lines) or "\n")
    else:
        sys.stdout.write(_text(found, compact=form == "json"))
    if failures:
        sys.stdout.flush()
        sys.stderr.write("\n".join(failures) + "\n")
        return 1
    return 0


def _text(found: list[dict[str, Any]], *, compact: bool) -> str:
    import json

    if compact:
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n"
    return json.dumps(found, ensure_ascii=False, indent=4) + "\n"
