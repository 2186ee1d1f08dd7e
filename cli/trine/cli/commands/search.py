"""``trine search``: search a registry for images."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

SPEC = Spec(
    "Search Docker Hub for images",
    "[OPTIONS] TERM",
    (
        ("f", "filter", "filter", "Filter output based on conditions provided"),
        ("", "format", "string", "Pretty-print search using a Go template"),
        ("", "limit", "int", "Max number of search results"),
        ("", "no-trunc", "", "Don't truncate output"),
    ),
    minimum=1,
    maximum=1,
)


def run(app: App, values: Values) -> int:
    """Search a registry; returns the exit status, raises Failure."""
    from trine.cli.opts import references
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing
    from trine.cli.text.units import ellipsis

    term = values.arguments[0]
    answer = app.client.call(
        "ImageService.SearchImages",
        {
            "term": term,
            "limit": values["limit"],
            "filters": values["filter"],
            "auth": app.config.auth(references.registry(term)),
        },
    )
    truncate = not values["no-trunc"]

    def description(row: Message) -> str:
        text = row.description.replace("\n", " ").replace("\r", " ")
        return ellipsis(text, 45) if truncate else str(text)

    columns: Columns = {
        "Name": ("NAME", lambda row: row.name),
        "Description": ("DESCRIPTION", description),
        "StarCount": ("STARS", lambda row: str(row.stars)),
        "IsOfficial": ("OFFICIAL", lambda row: "[OK]" if row.official else ""),
        "IsAutomated": ("AUTOMATED", lambda row: "[OK]" if row.automated else ""),
    }
    style = Style("*registry.searchContext")
    write_listing(values["format"], columns, list(columns), answer.results, style)
    return 0
