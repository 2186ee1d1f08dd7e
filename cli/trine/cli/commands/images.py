"""``trine images``: list images."""

from __future__ import annotations

import sys

from trine.cli.failure import Failure
from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "List images",
    "[OPTIONS] [REPOSITORY[:TAG]]",
    (
        ("a", "all", "", "Show all images (default hides intermediate images)"),
        ("", "digests", "", "Show digests"),
        ("f", "filter", "filter", "Filter output based on conditions provided"),
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("", "no-trunc", "", "Don't truncate output"),
        ("q", "quiet", "", "Only show image IDs"),
        ("", "tree", "", "List multi-platform images as a tree (EXPERIMENTAL)"),
    ),
    minimum=0,
    maximum=1,
    aliases=(
        "image ls",
        "image list",
        "images",
    ),
)


def run(app: App, values: Values) -> int:
    """List images; returns 0, raises Failure."""
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing
    from trine.cli.views import images

    answer = app.client.call(
        "ImageService.ListImages",
        {
            "all": values["all"],
            "reference": values.arguments[0] if values.arguments else "",
            "filters": values["filter"],
        },
    )
    if values["tree"]:
        raise Failure("--tree is not supported by trine")
    form = values["format"]
    digests = values["digests"]
    truncate = not values["no-trunc"]
    rows = images.rows(answer.images, digests=digests or ".Digest" in form)
    columns = images.columns(truncate=truncate)
    if values["quiet"] and form in ("", "table"):
        identifier = columns["ID"][1]
        sys.stdout.write("".join(f"{identifier(row)}\n" for row in rows))
        return 0
    raw = (
        ("repository", "Repository"), ("tag", "Tag"), *([("digest", "Digest")] if digests else []),
        ("image_id", "ID"), ("created_at", "CreatedAt"), ("virtual_size", "Size"),
    )  # fmt: skip
    style = Style("*formatter.imageContext", raw)
    write_listing(form, columns, images.DIGEST_COLUMNS if digests else images.COLUMNS, rows, style)
    return 0
