"""The pages' examples, run as they stand there, each in a network and a /tmp of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import make_images

from support.place import OwnPlace

ROOT = Path(__file__).resolve().parents[2]
# /run/netns is made by `ip netns`; the data must not lie on an overlay.
# An empty /tmp; the sources stay where they are, also when that is in /tmp.
PREPARE = """
mount --bind "$PWD" /mnt
mount -t tmpfs tmpfs /tmp
mkdir -p "$PWD"; mount --bind /mnt "$PWD"
mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns
"""


def example(page: str, heading: str) -> str:
    """Return the first indented lines below a heading ("": from the top) without their indent."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    found: list[str] = []
    for line in lines[lines.index(heading) if heading else 0 :]:
        if line.startswith("    "):
            found.append(line[4:])
        elif found:
            break
    assert found, f"{page} has no example below {heading!r}"
    return "\n".join(found)


@pytest.fixture
def place() -> Iterator[OwnPlace]:
    own = OwnPlace()
    try:
        subprocess.run(own.command("sh", "-ec", PREPARE), check=True, cwd=ROOT)
        yield own
    finally:
        own.close()


@pytest.mark.parametrize(
    ("page", "heading", "shows"),
    [
        (
            "image.md",
            "## Start it alone",
            [
                "trine.v1.ImageService.PullImage(",
                "  all_tags: bool",
                "Downloaded newer image",
                '"hello-world:latest"',
            ],
        ),
        (
            "network.md",
            "## Try it alone",
            ['"172.17.0.2', "inet 172.17.0.2/16", "-A TRINE ! -i trine0 -p tcp -m tcp --dport 8080 -j DNAT"],
        ),
        ("runtime.md", "", ["0\nb'hello\\n'"]),
        ("supervisor.md", "", ['"version": ', "Server Version", "network: serving"]),
        ("hardening.md", "", ['"ociVersion": "1.1.0"']),
        ("trine-oci.md", "", ["hello\n"]),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".md") else "",
)
def test_it_does_what_the_page_says(page: str, heading: str, shows: list[str], place: OwnPlace) -> None:
    script = example(page, heading)
    registry = f"{sys.executable} -m tools.registry"
    if page == "image.md":
        make_images.ensure(("hello-world",))
        script = f"{registry} start --root /tmp/registry --image hello-world\n{script}"
        script += f"\n{registry} stop --root /tmp/registry"
    # (Not a pipe: what an example leaves running would keep it open.)
    with tempfile.TemporaryFile("w+") as output:
        command = place.command("bash", "-ec", script)
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=90, check=False
        )
        output.seek(0)
        said = output.read()
    assert done.returncode == 0, said
    for text in shows:
        assert text in said
