"""``trine volume inspect``: show details of volumes."""

from __future__ import annotations

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Display detailed information on one or more volumes",
    "[OPTIONS] VOLUME [VOLUME...]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
    ),
    minimum=1,
)


def run(app: App, values: Values) -> int:
    """Inspect volumes; returns the exit status, raises Failure."""
    from trine.cli import inspecting

    return inspecting.inspect(values.arguments, values["format"], inspecting.volume(app))
