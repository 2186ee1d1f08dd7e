"""``trine volume rm``: remove volumes."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    "[OPTIONS] VOLUME [VOLUME...]",
    (("f", "force", "", "Force the removal of one or more volumes"),),
    minimum=1,
    aliases=(
        "volume rm",
        "volume remove",
    ),
)


def run(app: App, values: Values) -> int:
    """Remove volumes; returns the exit status, raises Failure."""
    from trine.cli.many import each

    force = values["force"]
    return each(
        app, "VolumeService.DeleteVolume", values.arguments, lambda name: {"name": name, "force": force}
    )
