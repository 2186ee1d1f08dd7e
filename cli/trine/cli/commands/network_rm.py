"""``trine network rm``: remove networks."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove one or more networks",
    "NETWORK [NETWORK...]",
    (("f", "force", "", "Do not error if the network does not exist"),),
    minimum=1,
    aliases=(
        "network rm",
        "network remove",
    ),
)


def run(app: App, values: Values) -> int:
    """Remove networks; returns the exit status, raises Failure."""
    import sys

    from trine.cli.client import DaemonError
    from trine.cli.failure import Failure

    failed = False
    for name in values.arguments:
        try:
            app.client.call("NetworkService.DeleteNetwork", {"name": name})
        except DaemonError as error:
            if values["force"] and error.code == "NOT_FOUND":
                continue
            sys.stdout.flush()
            sys.stderr.write(f"{error}\n")
            failed = True
            continue
        sys.stdout.write(f"{name}\n")
    if failed:
        raise Failure("exit status 1")
    return 0
