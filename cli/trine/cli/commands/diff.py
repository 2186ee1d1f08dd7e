"""``trine diff``: inspect changes to files of a container."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Inspect changes to files or directories on a container's filesystem",
    "CONTAINER",
    minimum=1,
    maximum=1,
    aliases=(
        "container diff",
        "diff",
    ),
)


def run(app: App, values: Values) -> int:
    """List changes; returns the exit status, raises Failure."""
    import sys

    from trine.cli.many import require_names

    require_names(values.arguments)
    answer = app.client.call("ContainerService.ListContainerChanges", {"container": values.arguments[0]})
    letters = {"CHANGE_KIND_ADDED": "A", "CHANGE_KIND_DELETED": "D"}
    sys.stdout.write("".join(f"{letters.get(change.kind, 'C')} {change.path}\n" for change in answer.changes))
    return 0
