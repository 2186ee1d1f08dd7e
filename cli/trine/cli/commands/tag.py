"""``trine tag``: give an image another name."""

from __future__ import annotations

from trine.cli.flags import Spec, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    minimum=2,
    maximum=2,
    aliases=(
        "image tag",
        "tag",
    ),
)


def run(app: App, values: Values) -> int:
    """Name an image; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure
    from trine.cli.opts import references

    source, target = values.arguments
    for name in (source, target):
        wrong = references.valid(name)
        if wrong and not (name is source and "cannot specify 64-byte" in wrong):
            shown = quoted(name)
            raise Failure(f"Error parsing reference: {shown} is not a valid repository/tag: {wrong}")
    if "@" in target:
        raise Failure("refusing to create a tag with a digest reference")
    app.client.call("ImageService.TagImage", {"source": source, "target": target})
    return 0
