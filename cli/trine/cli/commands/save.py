"""``trine save``: save images to a tar archive."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        ("o", "output", "string", "Write to a file, instead of STDOUT"),
        (
            "",
            "platform",
            "string",
            'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
        ),
    ),
    minimum=1,
    aliases=(
        "image save",
        "save",
    ),
)


def run(app: App, values: Values) -> int:
    """Write images to an archive; returns the exit status, raises Failure."""
    from trine.cli.files import write_stream

    def chunks() -> Iterator[bytes]:
        for answer in app.client.start("ImageService.SaveImages", {"names": values.arguments}):
            yield answer.chunk

    write_stream(chunks(), values["output"], "failed to save image")
    return 0
