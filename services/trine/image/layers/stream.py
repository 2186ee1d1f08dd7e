"""Buffered reading of a decompressed stream: digest, length and limit are kept on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

from trine.image.layers.tarformat import BLOCK, TarError


class Stream:
    """A Source over chunks. ``limit`` bounds the plain length (0: none)."""

    def __init__(self, chunks: Iterator[bytes], limit: int = 0, copy: Callable[[bytes], None] | None = None):
        """Read ``chunks``; ``copy`` is given every chunk too."""
        self._chunks = chunks
        self._buffer = b""
        self._position = 0
        self._limit = limit
        self._copy = copy
        self._hash = hashlib.sha256()
        self.length = 0

    def _next(self) -> bytes:
        chunk = next(self._chunks, b"")
        self.length += len(chunk)
        if self._limit and self.length > self._limit:
            raise TarError(f"layer is larger than the {self._limit} bytes its compressed size allows")
        self._hash.update(chunk)
        if self._copy is not None and chunk:
            self._copy(chunk)
        return chunk

    def take(self, count: int) -> bytes:
        """Return exactly ``count`` bytes. Raises TarError("unexpected EOF")."""
        end = self._position + count
        if end <= len(self._buffer):
            data = self._buffer[self._position : end]
            self._position = end
            return data
        parts = [self._buffer[self._position :]]
        missing = count - len(parts[0])
        while missing > 0:
            chunk = self._next()
            if not chunk:
                raise TarError("unexpected EOF")
            if len(chunk) >= missing:
                parts.append(chunk[:missing])
                self._buffer, self._position = chunk, missing
                return b"".join(parts)
            parts.append(chunk)
            missing -= len(chunk)
        self._buffer, self._position = b"", 0
        return b"".join(parts)

    def take_or_end(self, count: int) -> bytes:
        """As ``take``, but return b"" when the stream ends exactly here."""
        if self._position >= len(self._buffer):
            self._buffer, self._position = self._next(), 0
            if not self._buffer:
                return b""
        return self.take(count)

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Yield ``count`` bytes in pieces, without copying. Raises TarError("unexpected EOF")."""
        while count > 0:
            available = len(self._buffer) - self._position
            if available <= 0:
                self._buffer, self._position = self._next(), 0
                available = len(self._buffer)
                if not available:
                    raise TarError("unexpected EOF")
            size = min(available, count)
            piece = memoryview(self._buffer)[self._position : self._position + size]
            self._position += size
            count -= size
            yield piece

    def copy_to(self, descriptor: int, count: int) -> None:
        """Write ``count`` bytes to a descriptor. Raises OSError, TarError."""
        for piece in self.pieces(count):
            while piece:
                piece = piece[os.write(descriptor, piece) :]

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes. Raises TarError("unexpected EOF")."""
        if count and self._position + count <= len(self._buffer):
            self._position += count
            return
        for _ in self.pieces(count):
            pass

    def pad(self, size: int) -> None:
        """Pass over what fills the last block of ``size`` bytes; the stream may end instead (umoci)."""
        count = -size % BLOCK
        if self._position + count <= len(self._buffer):
            self._position += count
            return
        try:
            self.skip(count)
        except TarError:
            self._buffer, self._position = b"", 0

    def drain(self) -> None:
        """Read to the end: the digest covers padding too."""
        self._buffer, self._position = b"", 0
        while self._next():
            pass

    @property
    def digest(self) -> str:
        """The digest of what was read so far."""
        return "sha256:" + self._hash.hexdigest()
