"""``trine rm``: remove containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove one or more containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("f", "force", "", "Force the removal of a running container (uses SIGKILL)"),
        ("l", "link", "", "Remove the specified link"),
        ("v", "volumes", "", "Remove anonymous volumes associated with the container"),
    ),
    minimum=1,
    aliases=(
        "container rm",
        "container remove",
        "rm",
    ),
)


def run(app: App, values: Values) -> int:
    """Remove containers; returns the exit status, raises Failure."""
    from trine.cli.many import each, require_names

    names = [name.strip("/") for name in values.arguments]
    require_names(names)
    fields = {"force": values["force"], "volumes": values["volumes"], "link": values["link"]}
    if not values["force"]:
        return each(
            app, "ContainerService.DeleteContainer", names, lambda name: {"container": name, **fields}
        )
    return _forced(app, names, fields)


def _forced(app: App, names: list[str], fields: dict[str, bool]) -> int:
    """Remove with -f: one that is not there is told, but is no failure."""
    import sys

    from trine.cli.client import DaemonError

    status = 0
    calls = [
        (name, app.client.start("ContainerService.DeleteContainer", {"container": name, **fields}))
        for name in names
    ]
    failures: list[str] = []
    for name, call in calls:
        try:
            call.result()
        except DaemonError as error:
            failures.append(str(error))
            if error.code != "NOT_FOUND":
                status = 1
            continue
        sys.stdout.write(f"{name}\n")
    if failures:
        sys.stdout.flush()
        sys.stderr.write("\n".join(failures) + "\n")
    return status
