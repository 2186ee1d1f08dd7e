"""DNS messages: a query read, an answer written (RFC 1035, RFC 3596, RFC 6891). Pure; stdlib only."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_TTL = 600
_HEADER = struct.Struct(">HHHHHH")
A, PTR, AAAA, ANY = 1, 12, 28, 255
_IN = 1
NOERROR, FORMERR, SERVFAIL = 0, 1, 2


class Question:
    """The one question of a query."""

    __slots__ = ("end", "flags", "identifier", "kind", "name")

    def __init__(self, identifier: int, flags: int, name: str, kind: int, end: int) -> None:
        """``end`` is where the question section ends."""
        self.identifier, self.flags, self.name, self.kind, self.end = identifier, flags, name, kind, end


def parse_query(data: bytes) -> Question | None:
    """Return the question of a query, None for anything that is not a plain query in class IN."""
    if len(data) < 17:
        return None
    identifier, flags, questions, _answers, _authority, _additional = _HEADER.unpack_from(data)
    if flags & 0xF800 or questions != 1:
        return None
    labels = []
    offset = 12
    while True:
        if offset >= len(data):
            return None
        length = data[offset]
        offset += 1
        if length == 0:
            break
        if length > 63 or offset + length > len(data):
            return None
        labels.append(data[offset : offset + length].decode("ascii", "replace").lower())
        offset += length
    if offset + 4 > len(data):
        return None
    kind, klass = struct.unpack_from(">HH", data, offset)
    if klass not in (_IN, 255):
        return None
    return Question(identifier, flags, ".".join(labels), kind, offset + 4)


def encode_name(name: str) -> bytes:
    """Return a name as labels (RFC 1035, 3.1)."""
    parts = [label.encode()[:63] for label in name.split(".") if label]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def answer(
    query: bytes,
    question: Question,
    records: Iterable[tuple[int, bytes]],
    code: int = NOERROR,
    limit: int = 65535,
) -> bytes:
    """Return a response with ``records`` (type, data), all named as the question.

    What does not fit into ``limit`` bytes is left out and said so (TC: ask again by TCP).
    """
    parts = [query[12 : question.end]]
    left = limit - _HEADER.size - len(parts[0])
    flags = 0x8000 | (question.flags & 0x0100) | 0x0080 | code
    for kind, data in records:
        record = b"\xc0\x0c" + struct.pack(">HHIH", kind, _IN, _TTL, len(data)) + data
        if len(record) > left:
            flags |= 0x0200
            break
        left -= len(record)
        parts.append(record)
    return _HEADER.pack(question.identifier, flags, 1, len(parts) - 1, 0, 0) + b"".join(parts)


def udp_limit(query: bytes, question: Question) -> int:
    """Return how long an answer by UDP may be: 512 bytes, or what the client's EDNS says (RFC 6891)."""
    additional = query[question.end :]
    if len(additional) < 11 or additional[:3] != b"\0\0\x29":  # OPT: root name, type 41, class is the size
        return 512
    return max(512, int(struct.unpack_from(">H", additional, 3)[0]))


def failure(query: bytes) -> bytes:
    """Return SERVFAIL for a query."""
    question = parse_query(query)
    if question is None:
        identifier = query[:2] if len(query) >= 2 else b"\0\0"
        return identifier + struct.pack(">HHHHH", 0x8000 | FORMERR, 0, 0, 0, 0)
    return answer(query, question, [], SERVFAIL)
