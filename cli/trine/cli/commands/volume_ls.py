"""``trine volume ls``: list volumes."""

from __future__ import annotations

from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "List volumes",
    "[OPTIONS]",
    (
        ("f", "filter", "filter", 'Provide filter values (e.g. "dangling=true")'),
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("q", "quiet", "", "Only display volume names"),
    ),
    minimum=0,
    maximum=0,
    aliases=(
        "volume ls",
        "volume list",
    ),
)


def run(app: App, values: Values) -> int:
    """List volumes; returns the exit status, raises Failure."""
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing
    from trine.cli.views import volume

    answer = app.client.call("VolumeService.ListVolumes", {"filters": values["filter"]})
    columns = volume.columns()
    if values["quiet"] and values["format"] in ("", "table"):
        print("".join(f"{row.name}\n" for row in answer.volumes), end="")
        return 0
    style = Style("*formatter.volumeContext", (("name", "Name"), ("driver", "Driver")))
    write_listing(values["format"], columns, ["Driver", "Name"], answer.volumes, style)
    return 0
