"""What `make demo` and `make test` need of a host: decided by tools/, tried here without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.make_images import debian_sources

DEB822 = (
    "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
)
OTHERS = {
    "sources.list.d/docker.list": "deb https://download.docker.com/linux/debian bookworm stable\n",
    "sources.list.d/cloud.list": "deb https://packages.example.com/apt cloud-sdk-bookworm main\n",
    "sources.list.d/node.sources": "Types: deb\nURIs: https://x\nSuites: nodistro\nComponents: main\n",
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/debian.sources", DEB822),
        ("sources.list.d/0000debian.sources", DEB822),  # as mmdebstrap writes it
        ("sources.list", "# made by hand\ndeb http://mirror/debian bookworm main contrib\n"),
        ("sources.list.d/debian.list", "deb [signed-by=/x] http://mirror/debian bookworm main\n"),
    ],
)
def test_the_debian_mirror_of_the_host_is_found_whatever_its_file_is_called(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# nothing here\n")
    for other, content in OTHERS.items():
        (tmp_path / other).write_text(content)
    assert debian_sources(tmp_path) is None
    (tmp_path / name).write_text(text)
    assert debian_sources(tmp_path) == tmp_path / name
