"""``trine image inspect``: show details of images."""

from __future__ import annotations

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Display detailed information on one or more images",
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
        (
            "",
            "platform",
            "string",
            "Inspect a specific platform of the multi-platform image.\nIf the image or the server is "
            "not multi-platform capable, the command will error out if the platform does not "
            "match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
    ),
    minimum=1,
)


def run(app: App, values: Values) -> int:
    """Inspect images; returns the exit status, raises Failure."""
    from trine.cli import inspecting

    return inspecting.inspect(values.arguments, values["format"], inspecting.image(app))
