"""Messages of the API as light objects, encoded and decoded by the tables in ``trine.v1.schema``.

A ``Message`` has the fields its .proto names: ``container.state.status``. A field that is not set reads
as the default of its kind ("", 0, False, [], {}, an empty message), an enum as its name. It costs the
command line a millisecond where protobuf costs 55 (docs/cli.md).
"""

from __future__ import annotations

from trine.v1.schema import ENUMS, MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_DEFAULTS: dict[str, object] = {"string": "", "bytes": b"", "bool": False, "int": 0, "uint": 0}
_NUMBERS: dict[str, tuple[dict[str, tuple[int, str, bool, str]], dict[int, tuple[str, str, bool, str]]]] = {}
_ENUM_NUMBERS: dict[str, dict[str, int]] = {}


def _tables(kind: str) -> tuple[dict[str, tuple[int, str, bool, str]], dict[int, tuple[str, str, bool, str]]]:
    """Return the fields of a message by name and by number, made at its first use."""
    known = _NUMBERS.get(kind)
    if known is None:
        rows = MESSAGES[kind]
        by_name = {name: (number, sort, repeated, of) for number, name, sort, repeated, of in rows}
        by_number = {number: (name, sort, repeated, of) for number, name, sort, repeated, of in rows}
        known = _NUMBERS[kind] = (by_name, by_number)
    return known


class Message:
    """One message; fields are attributes."""

    __slots__ = ("_fields", "_kind")

    def __init__(self, kind: str, fields: dict[str, Any] | None = None) -> None:
        """Wrap decoded fields of a message of that kind."""
        self._kind = kind
        self._fields: dict[str, Any] = fields if fields is not None else {}

    def __getattr__(self, name: str) -> Any:
        """Return a field or its default; raises AttributeError for a name the message does not have."""
        fields = self._fields
        if name in fields:
            return fields[name]
        row = _tables(self._kind)[0].get(name)
        if row is None:
            raise AttributeError(f"{self._kind} has no field {name}")
        _, sort, repeated, of = row
        if repeated:
            return []
        if sort == "map":
            return {}
        if sort == "message":
            return Message(of)
        if sort == "enum":
            return ENUMS[of][0]
        return _DEFAULTS[sort]

    def __contains__(self, name: str) -> bool:
        """Tell whether a field came with the message (a message or a member of a oneof, even empty)."""
        return name in self._fields

    def __repr__(self) -> str:
        """Return kind and fields, for tests and debugging."""
        return f"{self._kind}({self._fields!r})"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _enum_number(kind: str, value: Any) -> int:
    if isinstance(value, int):
        return value
    table = _ENUM_NUMBERS.get(kind)
    if table is None:
        table = _ENUM_NUMBERS[kind] = {name: number for number, name in ENUMS[kind].items()}
    return table[value]


def _encode_one(number: int, sort: str, of: str, value: Any) -> bytes:
    if sort == "message":
        raw = value if isinstance(value, bytes) else encode(of, value)
    elif sort == "string":
        raw = value.encode()
    elif sort == "bytes":
        raw = bytes(value)
    else:
        value = _enum_number(of, value) if sort == "enum" else int(value)
        return _varint(number << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF if value < 0 else value)
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def encode(kind: str, fields: Mapping[str, Any] | Message) -> bytes:
    """Return the octets of a message given as a mapping from field names to values.

    Values of message fields are mappings again, of enums names or numbers. Fields of None are left out,
    so are false values of scalars outside lists (proto3's default); an empty mapping for a message field
    is sent, as is a false value of a oneof's member given as ``(value,)``. Raises KeyError for a name
    the message does not have.
    """
    if isinstance(fields, Message):
        fields = fields._fields
    by_name = _tables(kind)[0]
    out = bytearray()
    for name, value in fields.items():
        number, sort, repeated, of = by_name[name]
        if value is None:
            continue
        if sort == "map":
            for key, item in value.items():
                entry = _encode_one(1, "string", "", key)
                entry += _encode_one(2, "message" if of else "string", of, item)
                out += _varint(number << 3 | 2) + _varint(len(entry)) + entry
        elif repeated:
            if sort in ("int", "uint", "bool", "enum"):
                raw = b"".join(_encode_one(0, sort, of, item)[1:] for item in value)
                if raw:
                    out += _varint(number << 3 | 2) + _varint(len(raw)) + raw
            else:
                for item in value:
                    out += _encode_one(number, sort, of, item)
        elif isinstance(value, tuple):
            out += _encode_one(number, sort, of, value[0])
        elif sort == "message" or value:
            out += _encode_one(number, sort, of, value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at ``at`` and where it ends; raises ValueError, IndexError."""
    value = shift = 0
    while True:
        octet = data[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _scalar(sort: str, of: str, value: int) -> Any:
    if sort == "bool":
        return value != 0
    if sort == "int":
        return value - (1 << 64) if value >> 63 else value
    if sort == "enum":
        return ENUMS[of].get(value, ENUMS[of][0])
    return value


def decode(kind: str, data: bytes) -> Message:
    """Return the message these octets stand for; unknown fields are skipped.

    Raises ValueError or IndexError when they are not a message.
    """
    by_number = _tables(kind)[1]
    fields: dict[str, Any] = {}
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = read_varint(data, at - 1)
        row = by_number.get(tag >> 3)
        form = tag & 7
        if form == 2:
            size = data[at]
            at += 1
            if size > 127:
                size, at = read_varint(data, at - 1)
            raw = data[at : at + size]
            at += size
            if at > end:
                raise ValueError("message ends in a field")
            if row is None:
                continue
            name, sort, repeated, of = row
            value: Any
            if sort == "string":
                value = raw.decode("utf-8", "surrogateescape")
            elif sort == "message":
                value = decode(of, raw)
            elif sort == "bytes":
                value = raw
            elif sort == "map":
                key, item = _entry(of, raw)
                fields.setdefault(name, {})[key] = item
                continue
            else:  # packed numbers
                inner = 0
                numbers = fields.setdefault(name, [])
                while inner < len(raw):
                    number, inner = read_varint(raw, inner)
                    numbers.append(_scalar(sort, of, number))
                continue
        elif form == 0:
            number, at = read_varint(data, at)
            if row is None:
                continue
            name, sort, repeated, of = row
            value = _scalar(sort, of, number)
        elif form in (1, 5):
            at += 8 if form == 1 else 4
            continue
        else:
            raise ValueError(f"wire type {form} is not known")
        if repeated:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return Message(kind, fields)


def _entry(of: str, raw: bytes) -> tuple[str, Any]:
    """Return key and value of one map entry."""
    key, item = "", Message(of) if of else ""
    at = 0
    while at < len(raw):
        tag = raw[at]
        size, at = read_varint(raw, at + 1)
        part = raw[at : at + size]
        at += size
        if tag == 0x0A:
            key = part.decode("utf-8", "surrogateescape")
        elif tag == 0x12:
            item = decode(of, part) if of else part.decode("utf-8", "surrogateescape")
    return key, item
