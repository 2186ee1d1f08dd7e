"""--label, --label-file and maps such as --sysctl."""

from __future__ import annotations


def check_label(text: str) -> str:
    """Return a label as written; raises ValueError when it has no name, or one with blanks."""
    name = text.partition("=")[0].lstrip(" \t")
    if not name:
        raise ValueError(f"invalid label '{text}': empty name")
    if " " in name or "\t" in name:
        raise ValueError(f"label '{name}' contains whitespaces")
    return text


def parse_map(text: str) -> tuple[str, str]:
    """Return name and value of "name[=value]"."""
    name, _, value = text.partition("=")
    return name, value


def check_sysctl(text: str) -> tuple[str, str]:
    """Return name and value of --sysctl; raises ValueError for one that is not namespaced."""
    name, equals, value = text.partition("=")
    allowed = {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
    if not equals or not (name in allowed or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, value


def to_map(pairs: list[str]) -> dict[str, str]:
    """Return "name[=value]" entries as a map; later ones win."""
    return dict(parse_map(pair) for pair in pairs)
