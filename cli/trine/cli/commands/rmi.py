"""``trine rmi``: remove images."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove one or more images",
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        ("f", "force", "", "Force removal of the image"),
        ("", "no-prune", "", "Do not delete untagged parents"),
        (
            "",
            "platform",
            "strings",
            'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., '
            '"linux/amd64")',
        ),
    ),
    minimum=1,
    aliases=(
        "image rm",
        "image remove",
        "rmi",
    ),
)


def run(app: App, values: Values) -> int:
    """Remove images; returns the exit status, raises Failure."""
    import sys

    from trine.cli.client import DaemonError

    failures: list[str] = []
    fatal = False
    for name in values.arguments:
        try:
            answer = app.client.call(
                "ImageService.DeleteImage",
                {"name": name, "force": values["force"], "no_prune": values["no-prune"]},
            )
        except DaemonError as error:
            failures.append(str(error))
            fatal = fatal or error.code != "NOT_FOUND"
            continue
        for deleted in answer.deleted:
            if deleted.deleted:
                sys.stdout.write(f"Deleted: {deleted.deleted}\n")
            else:
                sys.stdout.write(f"Untagged: {deleted.untagged}\n")
    if failures:
        sys.stdout.flush()
        sys.stderr.write("\n".join(failures) + "\n")
        return 1 if fatal or not values["force"] else 0
    return 0
