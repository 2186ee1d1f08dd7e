"""Points in time as --since and --until take them: Unix, RFC 3339, a date, or a duration ago."""

from __future__ import annotations

import time

from trine.cli.failure import Failure
from trine.cli.opts.durations import parse_duration

_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d")


def parse_moment(text: str, now_nanos: int) -> int:
    """Return nanoseconds since 1970; raises ValueError with Docker's text.

    Forms: "1136073600", "1136073600.000000001", "2006-01-02T15:04:05.999999999Z", the same without zone
    (local time) or cut after the date, hour or minute, and "10m" (so long ago).
    """
    if not text:
        return 0
    seconds, dot, fraction = text.partition(".")
    if seconds.isdigit() and (not dot or fraction.isdigit()):
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
    try:
        return now_nanos - parse_duration(text)
    except ValueError:
        pass
    found = _calendar(text)
    if found is None:
        raise ValueError(f'failed to parse value as time or duration: "{text}"')
    return found


def _calendar(text: str) -> int | None:
    import calendar

    body, offset = text, None
    if body.endswith("Z"):
        body, offset = body[:-1], 0
    elif len(body) > 16 and body[-6] in "+-" and body[-3] == ":":
        digits = body[-5:-3] + body[-2:]
        if not digits.isdigit():
            return None
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * 60 * (1 if body[-6] == "+" else -1)
        body = body[:-6]
    body, dot, fraction = body.partition(".")
    if dot and not fraction.isdigit():
        return None
    for form in _FORMS:
        try:
            parts = time.strptime(body, form)
        except ValueError:
            continue
        whole = int(time.mktime(parts)) if offset is None else calendar.timegm(parts) - offset
        return whole * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
    return None


def flag_moment(text: str, flag: str) -> int:
    """Return nanoseconds of a --since or --until, 0 when it was not given; raises Failure."""
    try:
        return parse_moment(text, time.time_ns())
    except ValueError as error:
        raise Failure(f'invalid value for "{flag}": {error}') from None
