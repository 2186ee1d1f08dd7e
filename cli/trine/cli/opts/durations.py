"""Durations as Go writes them, "1h30m", "500ms"."""

from __future__ import annotations

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_duration(text: str) -> int:
    """Return nanoseconds of a duration; raises ValueError with the text of time.ParseDuration."""
    shown = '"' + text.replace('"', '\\"') + '"'
    rest = text
    sign = 1
    if rest[:1] in ("-", "+"):
        sign = -1 if rest[0] == "-" else 1
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {shown}")
    total = 0.0
    while rest:
        size = 0
        while size < len(rest) and rest[size] in "0123456789.":
            size += 1
        number, rest = rest[:size], rest[size:]
        if not number.strip(".") or number.count(".") > 1:
            raise ValueError(f"time: invalid duration {shown}")
        size = 0
        while size < len(rest) and rest[size] not in "0123456789.":
            size += 1
        unit, rest = rest[:size], rest[size:]
        if not unit:
            raise ValueError(f"time: missing unit in duration {shown}")
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration {shown}')
        total += float(number) * _UNITS[unit]
    return sign * int(total)
