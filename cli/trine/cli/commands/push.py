"""``trine push``: upload an image to a registry."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.progress import Progress

SPEC = Spec(
    "Upload an image to a registry",
    "[OPTIONS] NAME[:TAG]",
    (
        ("a", "all-tags", "", "Push all tags of an image to the repository"),
        ("", "disable-content-trust", "", "Skip image signing (default true)"),
        (
            "",
            "platform",
            "string",
            "Push a platform-specific manifest as a single-platform image to the registry.\nImage "
            "index won't be pushed, meaning that other manifests, including attestations won't be "
            "preserved.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
        ("q", "quiet", "", "Suppress verbose output"),
    ),
    minimum=1,
    maximum=1,
    aliases=(
        "image push",
        "push",
    ),
)


def run(app: App, values: Values) -> int:
    """Push an image; returns the exit status, raises Failure."""
    from trine.cli.client import DaemonError
    from trine.cli.failure import Failure
    from trine.cli.opts import references
    from trine.cli.progress import Progress

    name = values.arguments[0]
    if wrong := references.valid(name):
        raise Failure(wrong)
    repository, tag, digest = references.split(name)
    if values["all-tags"] and (tag or digest):
        raise Failure("tag can't be used with --all-tags/-a")
    if digest:
        raise Failure("cannot push a digest reference")
    if not tag and not values["all-tags"]:
        name = f"{name}:latest"
        if not values["quiet"]:
            print("Using default tag: latest", flush=True)
    progress = Progress()
    request = {
        "name": name,
        "all_tags": values["all-tags"],
        "auth": app.config.auth(references.registry(name)),
    }
    try:
        _show(app, request, progress, values["quiet"])
    except DaemonError as error:
        raise Failure(error.daemon_message) from None  # Docker sends it inside the stream: no prefix
    if values["quiet"]:
        print(references.full(name) if not values["all-tags"] else repository)
    return 0


def _show(app: App, request: dict[str, object], progress: Progress, quiet: bool) -> None:
    told = False
    for answer in app.client.start("ImageService.PushImage", request):
        if quiet:
            continue
        if "layer" in answer:
            progress.layer(answer.layer)
        elif "line" in answer:
            told = told or ": digest: " in answer.line
            progress.line(answer.line)
        elif not told:
            result = answer.result
            progress.line(f"{result.tag}: digest: {result.digest} size: {result.size_bytes}")
