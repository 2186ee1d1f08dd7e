"""``trine wait``: block until containers stop, then print their exit codes."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Block until one or more containers stop, then print their exit codes",
    "CONTAINER [CONTAINER...]",
    minimum=1,
    aliases=(
        "container wait",
        "wait",
    ),
)


def run(app: App, values: Values) -> int:
    """Wait for containers; returns the exit status, raises Failure."""
    import sys

    from trine.cli.client import DaemonError
    from trine.cli.many import require_names

    require_names(values.arguments)
    failures: list[str] = []
    calls = [
        app.client.start("ContainerService.WaitContainer", {"container": name}) for name in values.arguments
    ]
    for call in calls:
        try:
            for answer in call:
                if answer.registered:
                    continue
                if answer.error:
                    failures.append(answer.error)
                else:
                    sys.stdout.write(f"{answer.exit_code}\n")
                    sys.stdout.flush()
        except DaemonError as error:
            failures.append(str(error))
    if failures:
        sys.stderr.write("\n".join(failures) + "\n")
        return 1
    return 0
