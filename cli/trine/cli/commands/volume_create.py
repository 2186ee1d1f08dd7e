"""``trine volume create``: create a volume."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Create a volume",
    "[OPTIONS] [VOLUME]",
    (
        ("d", "driver", "string", 'Specify volume driver name (default "local")'),
        ("", "label", "list", "Set metadata for a volume", "labels:check_label"),
        ("o", "opt", "map", "Set driver specific options (default map[])"),
        ("", "name", "string", ""),
    ),
    minimum=0,
    maximum=1,
)


def run(app: App, values: Values) -> int:
    """Create a volume; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure
    from trine.cli.opts.labels import to_map

    name = values.arguments[0] if values.arguments else ""
    if values.changed("name"):
        if name:
            raise Failure(
                "conflicting options: cannot specify a volume-name through both --name "
                "and as a positional arg"
            )
        name = values["name"]
    answer = app.client.call(
        "VolumeService.CreateVolume",
        {
            "name": name,
            "driver": values["driver"],
            "options": dict(values["opt"]),
            "labels": to_map(values["label"]),
        },
    )
    print(answer.volume.name)
    return 0
