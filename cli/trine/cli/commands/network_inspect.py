"""``trine network inspect``: show details of networks."""

from __future__ import annotations

from trine.cli.flags import Spec

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
            "Format output using a custom template:\n'json':             Print in JSON "
            "format\n'TEMPLATE':         Print output using the given Go template.\nRefer to "
            "https://docs.docker.com/go/formatting/ for more information about formatting output "
            "with templates",
        ),
        ("v", "verbose", "", "Verbose output for diagnostics"),
    ),
    minimum=1,
)


def run(app: App, values: Values) -> int:
    """Inspect networks; returns the exit status, raises Failure."""
    from trine.cli import inspecting

    return inspecting.inspect(values.arguments, values["format"], inspecting.network(app))
