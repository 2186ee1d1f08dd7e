"""What an engine leaves on a host: mounts, links, rules, namespaces, cgroups, processes; before and after."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tools.stack import processes

from support.place import Place

__all__ = ["cgroups", "container_cgroups", "links", "mounts", "processes", "rules"]

CGROUPS = Path("/sys/fs/cgroup")


def _output(place: Place, *words: str) -> str:
    return subprocess.run(place.command(*words), capture_output=True, text=True, check=False).stdout


def rules(place: Place) -> list[str]:
    """Return the rules of all four rule sets (IPv4, IPv6; nft and legacy) without counters."""
    found: list[str] = []
    for program in (
        "iptables-nft-save",
        "ip6tables-nft-save",
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ):
        for line in _output(place, program).splitlines():
            if not line.startswith(("#", "COMMIT", "*")):
                bare = re.sub(r"\[[0-9:]+\]", "", line).strip()
                found.append(f"{program}: {bare}")
    for line in _output(place, "nft", "list", "tables").splitlines():
        if line.split()[-1] not in ("filter", "nat", "mangle", "raw", "security"):
            found.append(f"nft: {line}")
    return sorted(line for line in found if not re.search(r": :(\w+) (ACCEPT|DROP)$", line))


def links(place: Place) -> list[str]:
    """Return the names of all network devices."""
    lines = _output(place, "ip", "-o", "link").splitlines()
    return sorted(line.split(": ")[1].split("@")[0] for line in lines)


def mounts(place: Place, below: Path) -> list[str]:
    """Return the mount points below a folder, as the host and as the place sees them."""
    texts = (Place().mountinfo(), place.mountinfo())
    points = {line.split()[4] for text in texts for line in text.splitlines()}
    return sorted(point for point in points if point.startswith(f"{below}/"))


def cgroups(parent: str) -> list[str]:
    """Return all cgroups below those called ``parent`` in any hierarchy (cgroups(7))."""
    tops = [CGROUPS, *(p for p in CGROUPS.iterdir() if p.is_dir())]
    walks = (os.walk(top / parent) for top in tops)  # one that goes meanwhile is no error to it
    return sorted(f"{folder}/{name}" for walk in walks for folder, names, _ in walk for name in names)


def container_cgroups(identity: str) -> list[str]:
    """Return the cgroups of one container."""
    found = subprocess.run(
        ["find", str(CGROUPS), "-type", "d", "-name", f"*{identity}*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(found.stdout.split())
