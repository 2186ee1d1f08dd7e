"""Text as Go writes and reads it, because Docker's files and messages are made of it.

Quoting (fmt %q), durations (time.ParseDuration), paths (path.Clean) and globs (filepath.Match).
Pure: strings in, strings out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}
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
_MAXIMUM_DURATION = (1 << 63) - 1
_DURATION = re.compile(r"(?P<whole>[0-9]*)(?:(?P<dot>\.)(?P<fraction>[0-9]*))?(?P<unit>[^0-9.]*)")


def _escape(character: str, mark: str) -> str:
    if character == mark:
        return "\\" + mark
    if character in _ESCAPES:
        return _ESCAPES[character]
    number = ord(character)
    printable = character == " " or unicodedata.category(character)[0] in "LMNPS"
    if printable:
        return character
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def quote(text: str) -> str:
    """Return ``text`` as a Go string literal (strconv.Quote)."""
    return '"' + "".join(_escape(c, '"') for c in text) + '"'


def quote_list(items: Iterable[str]) -> str:
    """Return a list of strings as fmt's %q writes a slice: ["a" "b"]."""
    return "[" + " ".join(quote(i) for i in items) + "]"


def quote_rune(number: int) -> str:
    """Return an integer as fmt's %q writes it: a quoted character."""
    valid = 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
    return "'" + _escape(chr(number) if valid else "\ufffd", "'") + "'"


def list_text(items: Iterable[str]) -> str:
    """Return a list of strings as fmt's %v writes a slice: [a b]."""
    return "[" + " ".join(items) + "]"


def parse_duration(text: str) -> int:
    """Return nanoseconds for "1h30m", "1.5s", "-2ms" (time.ParseDuration); ValueError has Go's text."""
    rest = text
    negative = rest.startswith("-")
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {quote(text)}")
    total = 0
    while rest:
        found = _DURATION.match(rest)
        if found is None or not (found["whole"] or found["fraction"]):
            raise ValueError(f"time: invalid duration {quote(text)}")
        if not found["unit"]:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        scale = _UNITS.get(found["unit"])
        if scale is None:
            raise ValueError(f"time: unknown unit {quote(found['unit'])} in duration {quote(text)}")
        total += int(found["whole"] or "0") * scale
        fraction = found["fraction"] or ""
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
        if total > _MAXIMUM_DURATION:
            raise ValueError(f"time: invalid duration {quote(text)}")
        rest = rest[found.end() :]
    return -total if negative else total


def _decimal(value: int, scale: int) -> str:
    whole, part = divmod(value, scale)
    digits = f"{part:0{len(str(scale)) - 1}d}".rstrip("0") if scale > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)


def duration_text(nanoseconds: int) -> str:
    """Return a duration as Go's Duration.String writes it: "1m30s", "1.5s", "0s"."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    for unit, scale in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if value < scale * 1000:
            return f"{sign}{_decimal(value, scale)}{unit}"
    minutes, rest = divmod(value, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def clean_path(path: str) -> str:
    """Return the shortest equivalent path by words alone (path.Clean): no ., .., // and no final slash."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if parts and parts[-1] != "..":
                parts.pop()
            elif not rooted:
                parts.append(part)
            continue
        parts.append(part)
    joined = "/".join(parts)
    return "/" + joined if rooted else joined or "."


def join_path(*parts: str) -> str:
    """Join non-empty parts with slashes and clean the result (path.Join); empty for no parts."""
    kept = [p for p in parts if p]
    return clean_path("/".join(kept)) if kept else ""


class BadPatternError(ValueError):
    """A glob is malformed."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


def _class_character(pattern: str, position: int) -> tuple[str, int]:
    """Return one (maybe escaped) character of a [class] and the position after it."""
    if position >= len(pattern) or pattern[position] in "-]":
        raise BadPatternError
    if pattern[position] == "\\":
        position += 1
        if position >= len(pattern):
            raise BadPatternError
    if position + 1 >= len(pattern):
        raise BadPatternError  # a class must still be closed
    return pattern[position], position + 1


def glob_to_regex(pattern: str) -> str:
    """Return a regular expression for a filepath.Match pattern: * ? [a-z] [^a] and backslash escapes.

    ``*`` and ``?`` do not match a slash. Raises BadPatternError.
    """
    out: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "\\":
            if position >= len(pattern):
                raise BadPatternError
            out.append(re.escape(pattern[position]))
            position += 1
        elif character == "[":
            text, position = _class_to_regex(pattern, position)
            out.append(text)
        else:
            out.append(re.escape(character))
    return "".join(out)


def _class_to_regex(pattern: str, position: int) -> tuple[str, int]:
    negated = position < len(pattern) and pattern[position] == "^"
    position += negated
    ranges: list[str] = []
    first = True
    while True:
        if position < len(pattern) and pattern[position] == "]" and not first:
            position += 1
            break
        first = False
        low, position = _class_character(pattern, position)
        high = low
        if pattern[position] == "-":
            high, position = _class_character(pattern, position + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    body = "".join(ranges)
    if negated:
        return (f"[^{body}]" if body else r"[\s\S]"), position
    return (f"[{body}]" if body else r"(?!)"), position


def match(pattern: str, name: str) -> bool:
    """Tell whether a glob matches the whole of ``name`` (filepath.Match). Raises BadPatternError."""
    return re.fullmatch(glob_to_regex(pattern), name, re.DOTALL) is not None


def has_wildcards(pattern: str) -> bool:
    """Tell whether a COPY source is a glob: an unescaped * ? or [."""
    position = 0
    while position < len(pattern):
        if pattern[position] == "\\":
            position += 1
        elif pattern[position] in "*?[":
            return True
        position += 1
    return False


def environment_names(entries: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE entries as a mapping; an entry without = stands for an empty value."""
    found: dict[str, str] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        found[name] = value
    return found
