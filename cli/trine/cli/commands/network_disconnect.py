"""``trine network disconnect``: disconnect a container from a network."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Disconnect a container from a network",
    "[OPTIONS] NETWORK CONTAINER",
    (("f", "force", "", "Force the container to disconnect from a network"),),
    minimum=2,
    maximum=2,
)


def run(app: App, values: Values) -> int:
    """Disconnect a container; returns the exit status, raises Failure."""
    network, container = values.arguments
    app.client.call(
        "ContainerService.DisconnectContainer",
        {"container": container, "network": network, "force": values["force"]},
    )
    return 0
