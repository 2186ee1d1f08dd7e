"""What a shell can complete: ``trine __complete WORD…`` prints candidates for the last word.

deploy/completion/trine.bash asks it. Nothing here fails loudly: no candidates is an answer.
"""

from __future__ import annotations

import sys

from trine.cli import catalog
from trine.cli.failure import Failure
from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from trine.cli.app import App

_WITH_VALUE = ("--config", "-H", "--host", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey")


def candidates(app: App, words: Sequence[str]) -> list[str]:
    """Return what the last of the words may become."""
    *before, last = words or [""]
    path, rest = _command(before)
    if path is None:
        return []
    if path not in catalog.COMMANDS:
        return sorted(name for name in _commands(path) if name.startswith(last))
    spec = _spec(path)
    if last.startswith("-"):
        return sorted(f"--{row[1]}" for row in spec.flags if row[3] and f"--{row[1]}".startswith(last))
    if rest and _takes_value(spec, rest[-1]):
        return []
    return sorted(name for name in _names(app, path, spec, rest) if name.startswith(last))


def _command(before: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the command typed so far ("" for none) and what follows it; None for one there is not."""
    words = list(before)
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in _WITH_VALUE else words[1:]
    if not words:
        return "", []
    if words[0] in catalog.GROUPS:
        if len(words) == 1:
            return words[0], []
        path = f"{words[0]} {words[1]}"
        return (path if path in catalog.COMMANDS else None), words[2:]
    return (words[0] if words[0] in catalog.COMMANDS else None), words[1:]


def _commands(group: str) -> list[str]:
    if group:
        return [name for name, _ in catalog.GROUPS[group][1]]
    return [name for _, commands in catalog.SECTIONS for name, _ in commands] + ["help"]


def _spec(path: str) -> Spec:
    name = f"trine.cli.commands.{catalog.COMMANDS[path]}"
    __import__(name)
    spec = sys.modules[name].SPEC
    assert isinstance(spec, Spec)
    return spec


def _takes_value(spec: Spec, word: str) -> bool:
    """Tell whether the word after this one is a flag's value."""
    for row in spec.flags:
        if word in (f"--{row[1]}", f"-{row[0]}"):
            return row[2] != ""
    return False


def _names(app: App, path: str, spec: Spec, rest: Sequence[str]) -> list[str]:
    """Return the names of the objects a command takes."""
    given = [word for word in rest if not word.startswith("-")]
    if given and (path in ("run", "create", "exec") or path.endswith((" run", " create", " exec"))):
        return []
    text = spec.arguments
    try:
        if "CONTAINER" in text and not (path.startswith("network") and not given):
            answer = app.client.call("ContainerService.ListContainers", {"all": path not in ("stop", "exec")})
            return [row.name for row in answer.containers]
        if "IMAGE" in text or "REPOSITORY" in text or path == "push":
            images = app.client.call("ImageService.ListImages").images
            return [name.removesuffix(":latest") for image in images for name in image.repo_tags]
        if "NETWORK" in text and path != "network create":
            return [row.name for row in app.client.call("NetworkService.ListNetworks").networks]
        if "VOLUME" in text and path != "volume create":
            return [row.name for row in app.client.call("VolumeService.ListVolumes").volumes]
    except Failure:
        pass  # no daemon: nothing to offer
    return []
