"""``trine load``: load images from an archive."""

from __future__ import annotations

import sys

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.client import Call
    from trine.cli.flags import Values

SPEC = Spec(
    "Load an image from a tar archive or STDIN",
    "[OPTIONS]",
    (
        ("i", "input", "string", "Read from tar archive file, instead of STDIN"),
        (
            "",
            "platform",
            "string",
            'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
        ),
        ("q", "quiet", "", "Suppress the load output"),
    ),
    minimum=0,
    maximum=0,
    aliases=(
        "image load",
        "load",
    ),
)


def run(app: App, values: Values) -> int:
    """Read images from an archive; returns the exit status, raises Failure."""
    from trine.cli.client import DaemonError
    from trine.cli.failure import Failure
    from trine.cli.files import open_input, send_file

    with open_input(values["input"]) as source:
        if source.isatty():
            raise Failure("requested load from stdin, but stdin is empty")
        call = app.client.start("ImageService.LoadImages")
        send_file(call, source)
    try:
        _show(call, values["quiet"])
    except DaemonError as error:
        raise Failure(error.daemon_message) from None  # Docker sends it inside the stream: no prefix
    return 0


def _show(call: Call, quiet: bool) -> None:
    for answer in call:
        if not quiet or answer.line.startswith("Loaded image"):
            sys.stdout.write(answer.line.rstrip("\n") + "\n")
