"""Header compression of HTTP/2 (RFC 7541): plain encoding, full decoding.

The encoder uses literals without indexing only: a command sends a handful of requests, and a state
that cannot get out of step is worth more than some bytes. The decoder knows it all, for a server may
use its dynamic table and Huffman codes.
"""

from __future__ import annotations

_STATIC: tuple[tuple[str, str], ...] = (
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
)
_STATIC_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC, 1)))}


def _encode_integer(value: int, bits: int, first: int) -> bytes:
    """Return an integer with a prefix of so many bits (section 5.1); ``first`` holds the bits above."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(headers: list[tuple[str, str]]) -> bytes:
    """Return a header block: literals without indexing, names by the static table where it has them."""
    out = bytearray()
    for name, value in headers:
        index = _STATIC_NAMES.get(name, 0)
        if index and _STATIC[index - 1][1] == value:
            out += _encode_integer(index, 7, 0x80)
            continue
        out += _encode_integer(index, 4, 0)
        if not index:
            raw = name.encode("ascii")
            out += _encode_integer(len(raw), 7, 0) + raw
        raw = value.encode("utf-8")
        out += _encode_integer(len(raw), 7, 0) + raw
    return bytes(out)


class Decoder:
    """Decodes the header blocks of one connection, in order (the dynamic table lives here)."""

    def __init__(self, maximum_table_size: int = 4096) -> None:
        """Begin with an empty table; the size is what SETTINGS_HEADER_TABLE_SIZE allows the peer."""
        self._limit = maximum_table_size
        self._size_limit = maximum_table_size
        self._entries: list[tuple[str, str]] = []  # newest first
        self._size = 0

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        """Return the (name, value) pairs of a block; values are latin-1 text, octet for octet.

        Raises ValueError when the block is malformed (COMPRESSION_ERROR of RFC 9113).
        """
        out: list[tuple[str, str]] = []
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = self._integer(block, at, 7)
                out.append(self._entry(index))
            elif first & 0xC0 == 0x40:
                pair, at = self._literal(block, at, 6)
                self._add(pair)
                out.append(pair)
            elif first & 0xE0 == 0x20:
                size, at = self._integer(block, at, 5)
                if size > self._limit:
                    raise ValueError("dynamic table larger than allowed")
                self._size_limit = size
                self._evict()
            else:
                pair, at = self._literal(block, at, 4)
                out.append(pair)
        return out

    def _literal(self, block: bytes, at: int, bits: int) -> tuple[tuple[str, str], int]:
        index, at = self._integer(block, at, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = self._string(block, at)
        value, at = self._string(block, at)
        return (name, value), at

    def _string(self, block: bytes, at: int) -> tuple[str, int]:
        if at >= len(block):
            raise ValueError("header block ends in a string")
        coded = block[at] & 0x80
        length, at = self._integer(block, at, 7)
        raw = block[at : at + length]
        if len(raw) != length:
            raise ValueError("header block ends in a string")
        if coded:
            from trine.cli.transport import huffman

            raw = huffman.decode(raw)
        return raw.decode("latin-1"), at + length

    @staticmethod
    def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
        limit = (1 << bits) - 1
        value = block[at] & limit
        at += 1
        if value < limit:
            return value, at
        shift = 0
        while True:
            if at >= len(block) or shift > 28:
                raise ValueError("integer in a header block too long")
            octet = block[at]
            at += 1
            value += (octet & 127) << shift
            shift += 7
            if octet < 128:
                return value, at

    def _entry(self, index: int) -> tuple[str, str]:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        index -= len(_STATIC) + 1
        if 0 <= index < len(self._entries):
            return self._entries[index]
        raise ValueError("header index out of the table")

    def _add(self, pair: tuple[str, str]) -> None:
        self._entries.insert(0, pair)
        self._size += len(pair[0]) + len(pair[1]) + 32  # section 4.1
        self._evict()

    def _evict(self) -> None:
        while self._size > self._size_limit:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + 32
