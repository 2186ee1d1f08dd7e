"""Sizes and durations as docker/go-units writes them."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def _sized(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    at = 0
    while size >= base and at < len(units) - 1:
        size /= base
        at += 1
    return f"{size:.{digits}g}{units[at]}"


def human_size(size: float, digits: int = 4) -> str:
    """Return a size in powers of 1000, "195MB" with three digits, "2.048kB" with four."""
    return _sized(size, 1000.0, _DECIMAL, digits)


def binary_size(size: float) -> str:
    """Return a size in powers of 1024, "1.952GiB"."""
    return _sized(size, 1024.0, _BINARY, 4)


def human_duration(seconds: float) -> str:
    """Return a duration for people, "About a minute", "5 days"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def ellipsis(text: str, width: int) -> str:
    """Return text cut to a width, with … as its last character when something is left out."""
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if width > 1 else text[:width]


def short_id(identifier: str) -> str:
    """Return the first 12 hex digits of an id, without its algorithm."""
    return identifier.partition(":")[2][:12] if ":" in identifier else identifier[:12]
