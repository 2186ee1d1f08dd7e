"""Points in time as Docker writes them."""

from __future__ import annotations

import time

_ZERO = "0001-01-01T00:00:00Z"


def now_nanos() -> int:
    """Return the time now."""
    return time.time_ns()


def rfc3339_nano(nanos: int) -> str:
    """Return "2026-11-24T05:40:27.123456789Z"; trailing zeros are left out, 0 is Go's zero time."""
    if not nanos:
        return _ZERO
    seconds, rest = divmod(nanos, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def local_rfc3339(nanos: int) -> str:
    """Return "2026-11-24T05:40:27+01:00" in local time, "Z" for UTC."""
    local = time.localtime(nanos // 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + _offset(local, "Z", ":")


def local_rfc3339_nano(nanos: int) -> str:
    """Return "2026-11-24T05:40:27.123456789+01:00": nine digits, local time (docker events)."""
    seconds, rest = divmod(nanos, 1_000_000_000)
    local = time.localtime(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{rest:09d}" + _offset(local, "Z", ":")


def go_string(nanos: int) -> str:
    """Return "2026-11-24 05:40:27 +0100 CET", Go's Time.String without fraction (CreatedAt columns)."""
    local = time.localtime(nanos // 1_000_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S ", local) + _offset(local, "+0000", "") + f" {local.tm_zone}"


def go_string_nano(nanos: int) -> str:
    """Return "2026-11-24 05:40:27.1504433 +0000 UTC", Go's Time.String with its fraction."""
    fraction = f".{nanos % 1_000_000_000:09d}".rstrip("0").rstrip(".")
    whole = go_string(nanos)
    return whole[:19] + fraction + whole[19:]


def _offset(local: time.struct_time, utc: str, colon: str) -> str:
    offset = local.tm_gmtoff
    if not offset:
        return utc
    minutes = abs(offset) // 60
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02d}{colon}{minutes % 60:02d}"
