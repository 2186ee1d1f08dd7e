"""Reading and writing tar streams, as fast as plain Python can and trusting nothing.

Formats: v7, ustar, GNU (long names, base-256 numbers, sparse), pax (pax(1), GNU tar manual "Sparse
Formats"). Standard library only: it runs in the lean worker. Names are bytes, as the kernel has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

BLOCK = 512
_PAX_LIMIT = 1024 * 1024
_NAME_LIMIT = 4096
_SPARSE_LIMIT = 65536
REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)
_XATTR = b"SCHILY.xattr."
_ZEROS = bytes(BLOCK)


class TarError(Exception):
    """The stream is not a tar, or one that nobody should unpack; the text is one line."""


class Source(Protocol):
    """Where bytes come from."""

    def take(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; raise TarError("unexpected EOF")."""

    def take_or_end(self, count: int) -> bytes:
        """As ``take``, but return b"" when the stream ends exactly here."""

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes; raise TarError."""


class Entry:
    """One member. ``stored`` bytes follow in the stream (then padding); ``size`` is the file's length."""

    __slots__ = (
        "device",
        "gid",
        "link",
        "mode",
        "mtime_ns",
        "name",
        "size",
        "sparse",
        "stored",
        "type",
        "uid",
        "xattrs",
    )

    def __init__(self) -> None:
        self.name = b""
        self.link = b""
        self.type = REGULAR
        self.mode = 0o644
        self.uid = 0
        self.gid = 0
        self.size = 0
        self.stored = 0
        self.mtime_ns = 0
        self.device = (0, 0)
        self.xattrs: dict[bytes, bytes] = {}
        self.sparse: list[tuple[int, int]] | None = None


def show(name: bytes) -> str:
    """Return a name for a message: one line, printable, not endless."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 200 else text[:200] + "…"


def _number(field: bytes) -> int:
    if field[:1] in (b"\x80", b"\xff"):  # GNU base-256
        return (
            int.from_bytes(field[1:], "big")
            if field[0] == 0x80
            else int.from_bytes(field, "big", signed=True)
        )
    text = field.rstrip(b"\0 ").lstrip()
    if not text:
        return 0
    try:
        return int(text.partition(b"\0")[0], 8)
    except ValueError:
        raise TarError("invalid tar header") from None


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise TarError("invalid tar header")
    return int(text)


def _seconds(text: bytes) -> int:
    """Return the nanoseconds of pax decimal seconds."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    value = _decimal(whole.lstrip(b"-") or b"0") * 10**9 + int((fraction[:9] or b"0").ljust(9, b"0"))
    return -value if negative else value


def _parse_pax(data: bytes) -> list[tuple[bytes, bytes]]:
    records: list[tuple[bytes, bytes]] = []
    while data:
        length_text, space, _ = data.partition(b" ")
        if not space:
            raise TarError("invalid tar header: bad pax record")
        length = _decimal(length_text)
        record = data[len(length_text) + 1 : length]
        if length > len(data) or length < len(length_text) + 4 or not record.endswith(b"\n"):
            raise TarError("invalid tar header: bad pax record")
        key, equals, value = record[:-1].partition(b"=")
        if not equals:
            raise TarError("invalid tar header: bad pax record")
        records.append((key, value))
        data = data[length:]
    return records


def _apply_pax(entry: Entry, records: list[tuple[bytes, bytes]]) -> bytes:
    """Apply records; return the sparse format "", "0" (map in records) or "1" (map in the data)."""
    offsets: list[int] = []
    lengths: list[int] = []
    sparse, name = b"", b""
    for key, value in records:
        if key == b"path":
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"size":
            entry.size = entry.stored = _decimal(value)
        elif key == b"uid":
            entry.uid = _decimal(value)
        elif key == b"gid":
            entry.gid = _decimal(value)
        elif key == b"mtime":
            entry.mtime_ns = _seconds(value)
        elif key.startswith(_XATTR):
            entry.xattrs[key[len(_XATTR) :]] = value
        elif key == b"GNU.sparse.name":
            name = value
        elif key in (b"GNU.sparse.realsize", b"GNU.sparse.size"):
            entry.size = _decimal(value)
            sparse = sparse or b"0"
        elif key == b"GNU.sparse.major" and value == b"1":
            sparse = b"1"
        elif key == b"GNU.sparse.offset":
            offsets.append(_decimal(value))
        elif key == b"GNU.sparse.numbytes":
            lengths.append(_decimal(value))
        elif key == b"GNU.sparse.map":
            numbers = [_decimal(text) for text in value.split(b",")] if value else []
            offsets, lengths = numbers[0::2], numbers[1::2]
    if name:
        entry.name = name
    if sparse == b"0":
        if len(offsets) != len(lengths):
            raise TarError("invalid tar header: bad sparse map")
        entry.sparse = list(zip(offsets, lengths, strict=True))
    return sparse


def _sparse_in_header(entry: Entry, block: bytes, source: Source) -> None:
    """Read the map of an old GNU sparse member (type "S")."""
    entry.size = _number(block[483:495])
    entry.sparse = []
    fields, more = block[386:482], block[482]
    while True:
        for i in range(0, len(fields), 24):
            if fields[i : i + 1] != b"\0":
                entry.sparse.append((_number(fields[i : i + 12]), _number(fields[i + 12 : i + 24])))
        if not more:
            break
        if len(entry.sparse) > _SPARSE_LIMIT:
            raise TarError("invalid tar header: sparse map too large")
        block = source.take(BLOCK)
        fields, more = block[:504], block[504]
    entry.type = REGULAR


def _sparse_in_data(entry: Entry, source: Source) -> None:
    """Read the map at the start of a pax 1.0 sparse member's data."""
    buffer, used = b"", 0

    def line() -> int:
        nonlocal buffer, used
        while b"\n" not in buffer:
            if used >= entry.stored or len(buffer) > BLOCK:
                raise TarError("invalid tar header: bad sparse map")
            buffer += source.take(BLOCK)
            used += BLOCK
        text, _, buffer = buffer.partition(b"\n")
        return _decimal(text)

    count = line()
    if count > _SPARSE_LIMIT:
        raise TarError("invalid tar header: sparse map too large")
    entry.sparse = [(line(), line()) for _ in range(count)]
    entry.stored -= used


def _check_sparse(entry: Entry) -> None:
    end = 0
    total = 0
    for offset, length in entry.sparse or ():
        if offset < end or offset + length > entry.size:
            raise TarError(f"{show(entry.name)}: invalid sparse map")
        end = offset + length
        total += length
    if total != entry.stored:
        raise TarError(f"{show(entry.name)}: invalid sparse map")


def entries(source: Source) -> Iterator[Entry]:
    """Yield the members of a tar; the consumer must take or skip ``entry.stored`` bytes plus padding.

    Ends at the first zero block. Raises TarError for what is malformed.
    """
    common: list[tuple[bytes, bytes]] = []
    records: list[tuple[bytes, bytes]] = []
    long_name = long_link = b""
    while True:
        # Some writers (umoci) leave out the two zero blocks: the end of the stream ends the archive too.
        block = source.take_or_end(BLOCK)
        if not block or block == _ZEROS:
            return
        stored_sum = _number(block[148:156])
        if sum(block) - sum(block[148:156]) + 256 != stored_sum:
            raise TarError("invalid tar header")
        entry = Entry()
        kind = block[156:157]
        entry.size = entry.stored = _number(block[124:136])
        if entry.size < 0:
            raise TarError("invalid tar header")
        if kind in b"xgLK" and kind:
            if entry.size > _PAX_LIMIT:
                raise TarError("invalid tar header: extended header too large")
            data = source.take(entry.size)
            source.skip(-entry.size % BLOCK)
            if kind == b"x":
                records = _parse_pax(data)
            elif kind == b"g":
                common = _parse_pax(data)
            elif kind == b"L":
                long_name = data.partition(b"\0")[0]
            else:
                long_link = data.partition(b"\0")[0]
            continue
        _fill(entry, block, kind)
        entry.name = long_name or entry.name
        entry.link = long_link or entry.link
        sparse = _apply_pax(entry, common + records) if common or records else b""
        records, long_name, long_link = [], b"", b""
        if kind == b"S":
            _sparse_in_header(entry, block, source)
        elif sparse == b"1":
            _sparse_in_data(entry, source)
        if entry.type != REGULAR:
            # Only regular files have data; other sizes are noise some writers leave.
            if entry.type in (HARD_LINK, SYMLINK, DIRECTORY, CHARACTER, BLOCK_DEVICE, FIFO):
                entry.size = entry.stored = 0
        elif entry.sparse is not None:
            _check_sparse(entry)
        if len(entry.name) > _NAME_LIMIT or len(entry.link) > _NAME_LIMIT:
            raise TarError(f"{show(entry.name)}: file name too long")
        if b"\0" in entry.name or b"\0" in entry.link:
            raise TarError(f"{show(entry.name)}: NUL in a name")
        yield entry


def _fill(entry: Entry, block: bytes, kind: bytes) -> None:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    entry.name = name
    entry.mode = _number(block[100:108]) & 0o7777
    entry.uid = _number(block[108:116])
    entry.gid = _number(block[116:124])
    entry.mtime_ns = _number(block[136:148]) * 10**9
    entry.link = block[157:257].partition(b"\0")[0]
    if kind in (b"\0", b"0", b"7"):
        entry.type = DIRECTORY if name.endswith(b"/") and kind == b"\0" else REGULAR
    elif kind in (b"3", b"4"):
        entry.type = kind
        entry.device = (_number(block[329:337]), _number(block[337:345]))
    else:
        entry.type = kind


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def _pax_record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    if len(str(total)) != len(str(length)):
        total = length + len(str(total))
    return b"%d %s=%s\n" % (total, key, value)


def _block(entry: Entry, name: bytes, link: bytes, kind: bytes, size: int) -> bytes:
    major, minor = entry.device
    head = b"".join(
        (
            name[:100].ljust(100, b"\0"),
            _octal(entry.mode, 8),
            _octal(min(entry.uid, 0o7777777), 8),
            _octal(min(entry.gid, 0o7777777), 8),
            _octal(min(size, 0o77777777777), 12),
            _octal(min(max(entry.mtime_ns // 10**9, 0), 0o77777777777), 12),
            b"        ",
            kind,
            link[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            _octal(major & 0o7777777, 8),
            _octal(minor & 0o7777777, 8),
            bytes(167),
        )
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def header(entry: Entry) -> bytes:
    """Return the blocks that begin a member: ustar where it fits, with a pax header where not."""
    records = b""
    if len(entry.name) > 100:
        records += _pax_record(b"path", entry.name)
    if len(entry.link) > 100:
        records += _pax_record(b"linkpath", entry.link)
    if entry.size > 0o77777777777:
        records += _pax_record(b"size", b"%d" % entry.size)
    if entry.uid > 0o7777777:
        records += _pax_record(b"uid", b"%d" % entry.uid)
    if entry.gid > 0o7777777:
        records += _pax_record(b"gid", b"%d" % entry.gid)
    if entry.mtime_ns < 0:
        records += _pax_record(b"mtime", b"%d" % (entry.mtime_ns // 10**9))
    for key in sorted(entry.xattrs):
        records += _pax_record(_XATTR + key, entry.xattrs[key])
    block = _block(entry, entry.name, entry.link, entry.type, entry.size)
    if not records:
        return block
    extra = Entry()
    extra.mode = 0
    name = b"PaxHeaders.0/" + entry.name.rstrip(b"/").rpartition(b"/")[2][:80]
    return _block(extra, name, b"", b"x", len(records)) + records + bytes(-len(records) % BLOCK) + block


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of ``size`` bytes of data."""
    return bytes(-size % BLOCK)


END = bytes(2 * BLOCK)
