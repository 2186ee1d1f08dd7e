"""``trine ps``: list containers."""

from __future__ import annotations

from trine.cli.app import warn
from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "List containers",
    "[OPTIONS]",
    (
        ("a", "all", "", "Show all containers (default shows just running)"),
        ("f", "filter", "filter", "Filter output based on conditions provided"),
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("n", "last", "int", "Show n last created containers (includes all states) (default -1)"),
        ("l", "latest", "", "Show the latest created container (includes all states)"),
        ("", "no-trunc", "", "Don't truncate output"),
        ("q", "quiet", "", "Only display container IDs"),
        ("s", "size", "", "Display total file sizes"),
    ),
    minimum=0,
    maximum=0,
    aliases=(
        "container ls",
        "container list",
        "container ps",
        "ps",
    ),
)
_RAW = (
    ("container_id", "ID"), ("image", "Image"), ("command", "Command"), ("created_at", "CreatedAt"),
    ("state", "State"), ("status", "Status"), ("names", "Names"), ("labels", "Labels"), ("ports", "Ports"),
)  # fmt: skip


def run(app: App, values: Values) -> int:
    """List containers; returns the exit status, raises Failure."""
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing
    from trine.cli.views.rows import CONTAINER_COLUMNS, container_columns

    form = values["format"]
    quiet = values["quiet"]
    # As Docker: a template that shows the size, or all, has it measured; "json" alone does not.
    size = values["size"] or ((".Size" in form or "json ." in form) and not quiet)
    limit = 1 if values["latest"] else max(0, values["last"])
    answer = app.client.call(
        "ContainerService.ListContainers",
        {
            "all": values["all"],
            "limit": limit,
            "filters": values["filter"],
            "with_size": size,
        },
    )
    columns = container_columns(truncate=not values["no-trunc"])
    usual = [*CONTAINER_COLUMNS, "Size"] if values["size"] else CONTAINER_COLUMNS
    if quiet:
        identifier = columns["ID"][1]
        if form == "raw":
            identifier = lambda row: f"container_id: {columns['ID'][1](row)}"  # noqa: E731
        elif form not in ("", "table"):
            warn("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        print("".join(f"{identifier(row)}\n" for row in answer.containers), end="")
        return 0
    raw = (*_RAW, ("size", "Size")) if values["size"] else _RAW
    style = Style(
        "*formatter.ContainerContext", raw, ("failed to parse template", "failed to execute template")
    )
    write_listing(form, columns, usual, answer.containers, style)
    return 0
