"""``trine logout``: log out from a registry."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    "[SERVER]",
    minimum=0,
    maximum=1,
)


def run(app: App, values: Values) -> int:
    """Forget credentials; returns the exit status, raises Failure."""
    from trine.cli.commands.login import server_name

    server = server_name(values.arguments)
    print(f"Removing login credentials for {server}")
    app.config.erase(server)
    return 0
