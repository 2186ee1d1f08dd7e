"""Help pages are those of Docker's client 28.2.2 (help.json, recorded with 'docker' replaced by 'trine')."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from trine.cli import catalog, helptext
from trine.cli.flags import Spec

PAGES: dict[str, str] = json.loads((Path(__file__).parent / "help.json").read_text())
# Where Trine's page is another on purpose: no swarm, contexts, plugins, trust; no cluster volumes.
OWN = {"", "volume", "volume create", "volume ls"}


def spec_of(path: str) -> Spec:
    name = f"trine.cli.commands.{catalog.COMMANDS[path]}"
    __import__(name)
    spec = sys.modules[name].SPEC
    assert isinstance(spec, Spec)
    return spec


@pytest.mark.parametrize("path", sorted(set(PAGES) - OWN))
def test_page(path: str) -> None:
    if path in catalog.GROUPS:
        assert helptext.group_help(path, *catalog.GROUPS[path]) == PAGES[path]
    else:
        assert helptext.command_help(spec_of(path), path) == PAGES[path]


@pytest.mark.parametrize("path", sorted(catalog.COMMANDS))
def test_every_command_of_the_catalog_has_a_page(path: str) -> None:
    assert helptext.command_help(spec_of(path), path).startswith(f"Usage:  trine {path}")


def test_every_command_of_a_group_is_there() -> None:
    for group, (_, commands) in catalog.GROUPS.items():
        for name, _ in commands:
            assert f"{group} {name}" in catalog.COMMANDS


def test_cluster_flags_of_volumes_are_the_only_ones_missing() -> None:
    ours = helptext.command_help(spec_of("volume create"), "volume create")
    assert [line for line in ours.splitlines() if line.startswith("  -")] == [
        '  -d, --driver string   Specify volume driver name (default "local")',
        "  -o, --opt map         Set driver specific options (default map[])",
    ]
