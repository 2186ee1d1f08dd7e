"""``trine network inspect``: show details of networks."""

from __future__ import annotations

from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Display detailed information on one or more networks",
    "[OPTIONS] NETWORK [NETWORK...]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
        ("v", "verbose", "", "Verbose output for diagnostics"),
    ),
    minimum=1,
)


def run(app: App, values: Values) -> int:
    """Inspect networks; returns the exit status, raises Failure."""
    from trine.cli import inspecting

    return inspecting.inspect(values.arguments, values["format"], inspecting.network(app))
