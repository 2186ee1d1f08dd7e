"""``trine container inspect``: show details of containers."""

from __future__ import annotations

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Display detailed information on one or more containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
        ("s", "size", "", "Display total file sizes"),
    ),
    minimum=1,
)


def run(app: App, values: Values) -> int:
    """Inspect containers; returns the exit status, raises Failure."""
    from trine.cli import inspecting

    find = inspecting.container(app, values["size"])
    return inspecting.inspect(values.arguments, values["format"], find)
