"""Sizes and CPU counts (docker/go-units RAMInBytes, opts.ParseCPUs)."""

from __future__ import annotations

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def flag_bytes(text: str) -> int:
    """Return the octets of "1.5g", "64m", "512 KiB", "100".

    Raises ValueError with go-units' texts.
    """
    end = max((at for at, character in enumerate(text) if character in "0123456789. "), default=-1)
    number, suffix = text[: end + 1], text[end + 1 :].lower()
    number = number.removesuffix(" ")
    try:
        if not number or number != number.strip() or "_" in number or number[0] in "+-":
            raise ValueError
        value = float(number)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if suffix and suffix[0] == "b":
        if len(suffix) > 1:
            raise ValueError(f"invalid suffix: '{suffix}'")
        return int(value)
    if suffix and (suffix[0] not in _UNITS or suffix[1:] not in ("", "b", "ib")):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(value * _UNITS[suffix[:1]])


def swap_bytes(text: str) -> int:
    """Return --memory-swap: a size, or -1 for no bound; raises ValueError."""
    return -1 if text == "-1" else flag_bytes(text)


def flag_nano_cpus(text: str) -> int:
    """Return CPUs times 1e9 of "1.5"; raises ValueError."""
    from decimal import Decimal, InvalidOperation
    from fractions import Fraction

    try:
        value = Fraction(text) if "/" in text else Fraction(Decimal(text))
    except (InvalidOperation, ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    nanos = value * 1_000_000_000
    if nanos.denominator != 1:
        raise ValueError("value is too precise")
    return int(nanos)
