"""``trine volume ls``: list volumes."""

from __future__ import annotations

from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.text.columns import Columns

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
    from trine.cli.text.table import write_listing

    answer = app.client.call("VolumeService.ListVolumes", {"filters": values["filter"]})
    columns: Columns = {
        "Driver": ("DRIVER", lambda row: row.driver or "local"),
        "Name": ("VOLUME NAME", lambda row: row.name),
        "Mountpoint": ("MOUNTPOINT", lambda row: row.mountpoint),
        "Scope": ("SCOPE", lambda row: "local"),
        "Labels": ("LABELS", lambda row: ",".join(f"{k}={v}" for k, v in sorted(row.labels.items()))),
        "Label": ("", lambda row: lambda name: row.labels.get(name, "")),
        "Links": ("LINKS", lambda row: "N/A"),
        "Size": ("SIZE", lambda row: "N/A"),
        "Availability": ("AVAILABILITY", lambda row: "N/A"),
        "Group": ("GROUP", lambda row: "N/A"),
        "Status": ("STATUS", lambda row: "N/A"),
    }
    if values["quiet"] and values["format"] in ("", "table"):
        print("".join(f"{row.name}\n" for row in answer.volumes), end="")
        return 0
    write_listing(values["format"], columns, ["Driver", "Name"], answer.volumes)
    return 0
