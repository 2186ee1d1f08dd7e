"""``trine import``: make an image of a file system archive."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Import the contents from a tarball to create a filesystem image",
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    (
        ("c", "change", "list", "Apply Dockerfile instruction to the created image"),
        ("m", "message", "string", "Set commit message for imported image"),
        ("", "platform", "string", "Set platform if server is multi-platform capable"),
    ),
    minimum=1,
    aliases=(
        "image import",
        "import",
    ),
)


def run(app: App, values: Values) -> int:
    """Import an archive; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure
    from trine.cli.files import open_source, send_file
    from trine.cli.opts import references

    source, *rest = values.arguments  # Docker too looks at no more than two
    reference = rest[0] if rest else ""
    if reference and (wrong := references.valid(reference)):
        raise Failure(wrong)
    message = values["message"]
    with open_source(source) as file:
        if "://" in source:
            print(f"Downloading from {source}")
            message = message or f"Imported from {source}"
        call = app.client.start("ImageService.ImportImage")
        options = {
            "reference": reference,
            "message": message,
            "changes": values["change"],
            "platform": values["platform"],
        }
        call.send({"options": options})
        send_file(call, file)
    print(call.result().image_id)
    return 0
