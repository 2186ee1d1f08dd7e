"""Compressed streams in bounded memory: gzip by ISA-L, zstd by libzstd, xz and bzip2 by the standard library.

Runs in the lean worker: standard library, ctypes and isal only, each imported when needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from trine.image.layers.tarformat import TarError

CHUNK = 1024 * 1024
_INPUT = 256 * 1024


class Compressor(Protocol):
    """What writes a gzip member."""

    def compress(self, data: bytes) -> bytes:
        """Return some output."""

    def flush(self) -> bytes:
        """Return the rest."""


def detect(head: bytes) -> str:
    """Return the kind of compression the first bytes show: gzip, zstd, xz, bzip2 or none."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:3] == b"BZh":
        return "bzip2"
    return "none"


def gzip_compressor() -> Compressor:
    """Return a fast gzip compressor (ISA-L level 1: 15 times zlib's -6, 5 to 10 % larger)."""
    from isal import isal_zlib

    made: Compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    return made


def _gzip(read: Callable[[int], bytes]) -> Iterator[bytes]:
    from isal import isal_zlib

    failures: Any = (isal_zlib.error, ValueError)
    data = read(_INPUT)
    while data:
        member: Any = isal_zlib.decompressobj(wbits=31)
        while not member.eof:
            if not data:
                data = read(_INPUT)
                if not data:
                    raise TarError("unexpected EOF")
            try:
                out = member.decompress(data, CHUNK)
            except failures as error:
                raise TarError(f"gzip: {error}") from None
            data = member.unconsumed_tail
            if out:
                yield out
        # Another member may follow (RFC 1952); zeros are padding some tools add.
        data = member.unused_data or read(_INPUT)
        if data and not data.strip(b"\0"):
            data = b""
        if data and data[:2] != b"\x1f\x8b"[: len(data)]:
            raise TarError("gzip: invalid header")


def _streaming(read: Callable[[int], bytes], kind: str) -> Iterator[bytes]:
    import bz2
    import lzma

    failures: tuple[type[Exception], ...] = (lzma.LZMAError, OSError, ValueError, EOFError)
    data = read(_INPUT)
    while data:
        member: Any = lzma.LZMADecompressor(memlimit=1 << 28) if kind == "xz" else bz2.BZ2Decompressor()
        while not member.eof:
            if not data and member.needs_input:
                data = read(_INPUT)
                if not data:
                    raise TarError("unexpected EOF")
            try:
                out = member.decompress(data, CHUNK)
            except failures as error:
                raise TarError(f"{kind}: {error}") from None
            data = b""
            if out:
                yield out
        data = member.unused_data or read(_INPUT)
        if data and not data.strip(b"\0"):
            data = b""


def _zstd(read: Callable[[int], bytes]) -> Iterator[bytes]:
    import ctypes

    class Buffer(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t)]

    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        raise TarError("zstd: libzstd.so.1 is missing: install libzstd1") from None
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
    library.ZSTD_DCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    library.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer)]
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    stream = library.ZSTD_createDStream()
    library.ZSTD_DCtx_setParameter(stream, 100, 27)  # ZSTD_d_windowLogMax: 128 MiB, the format's default
    room = ctypes.create_string_buffer(CHUNK)
    left = 0
    try:
        while data := read(_INPUT):
            source = ctypes.create_string_buffer(data, len(data))
            inward = Buffer(ctypes.cast(source, ctypes.c_void_p), len(data), 0)
            while True:
                outward = Buffer(ctypes.cast(room, ctypes.c_void_p), CHUNK, 0)
                left = library.ZSTD_decompressStream(stream, ctypes.byref(outward), ctypes.byref(inward))
                if library.ZSTD_isError(left):
                    raise TarError(f"zstd: {library.ZSTD_getErrorName(left).decode()}")
                if outward.position:
                    yield ctypes.string_at(room, outward.position)
                if inward.position == inward.size and outward.position < CHUNK:
                    break
        if left:
            raise TarError("unexpected EOF")
    finally:
        library.ZSTD_freeDStream(stream)


def _plain(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while data := read(CHUNK):
        yield data


def decompress(read: Callable[[int], bytes], kind: str) -> Iterator[bytes]:
    """Yield the plain stream in chunks of at most about 1 MiB; ``read(n)`` gives "" at the end.

    Raises TarError when the stream is broken or ends early.
    """
    if kind == "gzip":
        return _gzip(read)
    if kind == "zstd":
        return _zstd(read)
    if kind in ("xz", "bzip2"):
        return _streaming(read, kind)
    return _plain(read)
