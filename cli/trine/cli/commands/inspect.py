"""``trine inspect``: show low-level information on objects."""

from __future__ import annotations

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Return low-level information on Trine objects",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
        ("s", "size", "", "Display total file sizes if the type is container"),
        ("", "type", "string", "Only inspect objects of the given type"),
    ),
    minimum=1,
)


def run(app: App, values: Values) -> int:
    """Inspect containers, images, networks or volumes; returns the exit status, raises Failure."""
    from trine.cli import inspecting
    from trine.cli.failure import Failure

    kind = values["type"]
    size = values["size"]
    if kind == "":
        find = inspecting.anything(app, size)
    elif kind == "container":
        find = inspecting.container(app, size)
    elif kind == "image":
        find = inspecting.image(app)
    elif kind == "network":
        find = inspecting.network(app)
    elif kind == "volume":
        find = inspecting.volume(app)
    else:
        raise Failure(f'unknown type: "{kind}": must be one of "container", "image", "network", "volume"')
    return inspecting.inspect(values.arguments, values["format"], find)
