"""``trine image inspect``: show details of images."""

from __future__ import annotations

from trine.cli.flags import Spec

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
            "Format output using a custom template:\n'json':             Print in JSON "
            "format\n'TEMPLATE':         Print output using the given Go template.\nRefer to "
            "https://docs.docker.com/go/formatting/ for more information about formatting output "
            "with templates",
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
