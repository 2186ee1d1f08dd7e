"""``trine history``: show the history of an image."""

from __future__ import annotations

from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

SPEC = Spec(
    "Show the history of an image",
    "[OPTIONS] IMAGE",
    (
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("H", "human", "", "Print sizes and dates in human readable format (default true)"),
        ("", "no-trunc", "", "Don't truncate output"),
        (
            "",
            "platform",
            "string",
            'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
        ),
        ("q", "quiet", "", "Only show image IDs"),
    ),
    minimum=1,
    maximum=1,
    aliases=(
        "image history",
        "history",
    ),
)


def run(app: App, values: Values) -> int:
    """Show the history of an image; returns the exit status, raises Failure."""
    from trine.cli.text import times
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing
    from trine.cli.text.units import ellipsis, human_duration, human_size, short_id

    answer = app.client.call("ImageService.GetImageHistory", {"name": values.arguments[0]})
    human, truncate = values["human"], not values["no-trunc"]

    def identifier(row: Message) -> str:
        return short_id(row.id) if truncate else str(row.id)

    def created(row: Message) -> str:
        nanos = row.created_at_unix_nanos
        if human:
            return f"{human_duration((times.now_nanos() - nanos) / 1e9)} ago" if nanos > 0 else "N/A"
        return times.local_rfc3339(nanos)

    def created_by(row: Message) -> str:
        text = row.created_by.replace("\t", " ")
        return ellipsis(text, 45) if truncate else str(text)

    columns: Columns = {
        "ID": ("IMAGE", identifier),
        "CreatedSince": ("CREATED", created),
        "CreatedAt": ("CREATED AT", lambda row: times.local_rfc3339(row.created_at_unix_nanos)),
        "CreatedBy": ("CREATED BY", created_by),
        "Size": ("SIZE", lambda row: human_size(row.size_bytes, 3) if human else str(row.size_bytes)),
        "Comment": ("COMMENT", lambda row: row.comment),
    }
    if values["quiet"]:
        print("".join(f"{identifier(row)}\n" for row in answer.entries), end="")
        return 0
    usual = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
    style = Style("*image.historyContext")
    write_listing(values["format"], columns, usual, answer.entries, style)
    return 0
