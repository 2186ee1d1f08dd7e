"""``trine cp``: copy files between a container and the host."""

from __future__ import annotations

import sys

from trine.cli.flags import Spec
from trine.cli.text.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Copy files/folders between a container and the local filesystem\n"
    "\n"
    "Use '-' as the source to read a tar archive from stdin\n"
    "and extract it to a directory destination in a container.\n"
    "Use '-' as the destination to stream a tar archive of a\n"
    "container source to stdout.",
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\ttrine cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    (
        ("a", "archive", "", "Archive mode (copy all uid/gid information)"),
        ("L", "follow-link", "", "Always follow symbol link in SRC_PATH"),
        (
            "q",
            "quiet",
            "",
            "Suppress progress output during copy. Progress output is automatically suppressed if no "
            "terminal is attached",
        ),
    ),
    minimum=2,
    maximum=2,
    aliases=(
        "container cp",
        "cp",
    ),
)


def run(app: App, values: Values) -> int:
    """Copy files; returns the exit status, raises Failure."""
    from trine.cli import copying
    from trine.cli.failure import Failure

    source, target = values.arguments
    from_container, from_path = copying.split(source)
    to_container, to_path = copying.split(target)
    if from_container and to_container:
        raise Failure("copying between containers is not supported")
    quiet = values["quiet"] if values.changed("quiet") else not sys.stdout.isatty()
    if from_container:
        size = copying.from_container(
            app, from_container, from_path, to_path, follow=values["follow-link"], owners=values["archive"]
        )
        shown = to_path
    elif to_container:
        size = copying.to_container(
            app, from_path, to_container, to_path, follow=values["follow-link"], owners=values["archive"]
        )
        shown = f"{to_container}:{to_path}"
    else:
        raise Failure("must specify at least one container source")
    if not quiet and "-" not in (from_path, to_path):
        sys.stderr.write(f"Successfully copied {human_size(size, 3)} to {shown}\n")
    return 0
