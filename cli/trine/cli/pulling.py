"""Pulling an image, for ``pull`` and for ``run`` and ``create`` of one that is not here."""

from __future__ import annotations

from trine.cli.opts import references
from trine.cli.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from trine.cli.app import App
    from trine.cli.wire import Message


def pull(
    app: App, name: str, *, platform: str = "", all_tags: bool = False, quiet: bool = False, out: TextIO
) -> Message | None:
    """Pull an image and show the progress on ``out``; return the PullResult.

    Raises DaemonError, UnreachableError.
    """
    progress = Progress(out)
    request = {
        "name": name,
        "all_tags": all_tags,
        "platform": platform,
        "auth": app.config.auth(references.registry(name)),
    }
    result: Message | None = None
    told = False
    for answer in app.client.start("ImageService.PullImage", request):
        if "result" in answer:
            result = answer.result
        elif quiet:
            continue
        elif "layer" in answer:
            progress.layer(answer.layer)
        else:
            told = told or answer.line.startswith("Status: ")
            progress.line(answer.line)
    if result is not None and not told and not quiet and not all_tags:
        shown = references.familiar(name)
        state = "Image is up to date for" if result.up_to_date else "Downloaded newer image for"
        progress.line(f"Digest: {result.digest}")
        progress.line(f"Status: {state} {shown}")
    return result
