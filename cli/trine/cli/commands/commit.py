"""``trine commit``: create an image from a container's changes."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Create a new image from a container's changes",
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    (
        ("a", "author", "string", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
        ("c", "change", "list", "Apply Dockerfile instruction to the created image"),
        ("m", "message", "string", "Commit message"),
        ("p", "pause", "", "Pause container during commit (default true)"),
    ),
    minimum=1,
    maximum=2,
    aliases=(
        "container commit",
        "commit",
    ),
)


def run(app: App, values: Values) -> int:
    """Make an image of a container; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure
    from trine.cli.opts import references

    name, *rest = values.arguments
    reference = rest[0] if rest else ""
    if reference and (wrong := references.valid(reference)):
        raise Failure(wrong)
    answer = app.client.call(
        "ContainerService.CommitContainer",
        {
            "container": name,
            "reference": reference,
            "author": values["author"],
            "comment": values["message"],
            "changes": values["change"],
            "no_pause": not values["pause"],
        },
    )
    print(answer.image_id)
    return 0
