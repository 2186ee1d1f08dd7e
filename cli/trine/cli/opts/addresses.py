"""Addresses and domains of flags."""

from __future__ import annotations


def is_ip(text: str) -> bool:
    """Tell whether text is an IPv4 or IPv6 address."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def check_ip(text: str) -> str:
    """Return an address without blanks around; raises ValueError."""
    value = text.strip()
    if not is_ip(value):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return value


def check_domain(text: str) -> str:
    """Return a search domain; "." means none. Raises ValueError."""
    value = text.strip()
    if value == ".":
        return value
    name = value.removesuffix(".")
    parts = name.split(".")
    good = bool(name) and len(name) <= 255 and any(c.isalpha() and c.isascii() for c in name)
    for part in parts:
        good = good and bool(part) and len(part) <= 63 and part[-1] != "-" and part[0] != "-"
        good = good and all(c.isascii() and (c.isalnum() or c in "-_") for c in part)
    if not good:
        raise ValueError(f"{text} is not a valid domain")
    return value
