"""``trine export``: export a container's file system as a tar archive."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Export a container's filesystem as a tar archive",
    "[OPTIONS] CONTAINER",
    (("o", "output", "string", "Write to a file, instead of STDOUT"),),
    minimum=1,
    maximum=1,
    aliases=(
        "container export",
        "export",
    ),
)


def run(app: App, values: Values) -> int:
    """Write a container's files; returns the exit status, raises Failure."""
    from trine.cli.files import write_stream
    from trine.cli.many import require_names

    require_names(values.arguments)

    def chunks() -> Iterator[bytes]:
        for answer in app.client.start(
            "ContainerService.ExportContainer", {"container": values.arguments[0]}
        ):
            yield answer.chunk

    write_stream(chunks(), values["output"], "failed to export container")
    return 0
