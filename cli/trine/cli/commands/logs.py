"""``trine logs``: fetch the logs of a container."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Fetch the logs of a container",
    "[OPTIONS] CONTAINER",
    (
        ("", "details", "", "Show extra details provided to logs"),
        ("f", "follow", "", "Follow log output"),
        (
            "",
            "since",
            "string",
            'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
        ),
        ("n", "tail", "string", 'Number of lines to show from the end of the logs (default "all")'),
        ("t", "timestamps", "", "Show timestamps"),
        (
            "",
            "until",
            "string",
            'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" '
            "for 42 minutes)",
        ),
    ),
    minimum=1,
    maximum=1,
    aliases=(
        "container logs",
        "logs",
    ),
)


def run(app: App, values: Values) -> int:
    """Print a container's log; returns the exit status, raises Failure."""
    import sys

    from trine.cli.attach import write_all
    from trine.cli.opts.moments import flag_moment

    tail = values["tail"]
    sys.stdout.flush()
    request = {
        "container_id": values.arguments[0],
        "follow": values["follow"],
        "tail": int(tail) if tail.removeprefix("-").isdigit() else -1,
        "since_unix_nanos": flag_moment(values["since"], "since"),
        "until_unix_nanos": flag_moment(values["until"], "until"),
        "stdout": True,
        "stderr": True,
        "timestamps": values["timestamps"],
        "details": values["details"],
    }
    for answer in app.client.start("ContainerService.ReadContainerLog", request):
        if "stdout" in answer:
            write_all(1, answer.stdout)
        if "stderr" in answer:
            write_all(2, answer.stderr)
    return 0
