"""--ulimit name=soft[:hard] (docker/go-units ParseUlimit)."""

from __future__ import annotations

NAMES = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
]


def _number(text: str) -> int:
    try:
        if "_" in text or text != text.strip():
            raise ValueError
        return int(text)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def parse_ulimit(text: str) -> dict[str, str | int]:
    """Return a ResourceLimit; raises ValueError."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in NAMES:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft = _number(parts[0])
    hard = _number(parts[1]) if len(parts) == 2 else soft
    if hard != -1 and (soft == -1 or soft > hard):
        if soft == -1:
            raise ValueError(
                "ulimit soft limit must be less than or equal to hard limit: "
                f"soft: -1 (unlimited), hard: {hard}"
            )
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"name": name, "soft": soft, "hard": hard}
