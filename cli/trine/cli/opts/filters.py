"""--filter name=value."""

from __future__ import annotations


def parse_filter(text: str) -> str:
    """Return "name=value" with the name in lower case; raises ValueError."""
    if not text:
        return text
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return f"{name.strip().lower()}={value.strip()}"
