"""``trine ps``: list containers."""

from __future__ import annotations

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


def run(app: App, values: Values) -> int:
    """List containers; returns the exit status, raises Failure."""
    from trine.cli.text.table import write_listing
    from trine.cli.views.rows import CONTAINER_COLUMNS, container_columns

    form = values["format"]
    quiet = values["quiet"]
    size = values["size"] or (".Size" in form and not quiet)
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
    if quiet and form in ("", "table"):
        identifier = columns["ID"][1]
        print("".join(f"{identifier(row)}\n" for row in answer.containers), end="")
        return 0
    write_listing(form, columns, usual, answer.containers)
    return 0
