"""``trine rename``: rename a container."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Rename a container",
    "CONTAINER NEW_NAME",
    minimum=2,
    maximum=2,
    aliases=(
        "container rename",
        "rename",
    ),
)


def run(app: App, values: Values) -> int:
    """Rename a container; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure

    old, new = (name.strip() for name in values.arguments)
    if not old or not new:
        raise Failure("Error: Neither old nor new names may be empty")
    from trine.cli.client import DaemonError

    try:
        app.client.call("ContainerService.RenameContainer", {"container": old, "new_name": new})
    except DaemonError as error:
        raise Failure(f"{error}\nError: failed to rename container named {old}") from None
    return 0
