"""``trine pull``: download an image from a registry."""

from __future__ import annotations

import sys

from trine.cli.failure import Failure
from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Download an image from a registry",
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    (
        ("a", "all-tags", "", "Download all tagged images in the repository"),
        ("", "disable-content-trust", "", "Skip image verification (default true)"),
        ("", "platform", "string", "Set platform if server is multi-platform capable"),
        ("q", "quiet", "", "Suppress verbose output"),
    ),
    minimum=1,
    maximum=1,
    aliases=(
        "image pull",
        "pull",
    ),
)


def run(app: App, values: Values) -> int:
    """Pull and show the progress; returns 0, raises Failure."""
    from trine.cli.opts import references
    from trine.cli.pulling import pull

    name = values.arguments[0]
    wrong = references.valid(name)
    if wrong:
        raise Failure(wrong)
    repository, tag, digest = references.split(name)
    if values["all-tags"] and (tag or digest):
        raise Failure("tag can't be used with --all-tags/-a")
    if not (tag or digest or values["all-tags"] or values["quiet"]):
        print("Using default tag: latest", flush=True)
    pull(
        app,
        name,
        platform=values["platform"],
        all_tags=values["all-tags"],
        quiet=values["quiet"],
        out=sys.stdout,
    )
    print(references.full(name) if not values["all-tags"] else references.full(repository).rpartition(":")[0])
    return 0
