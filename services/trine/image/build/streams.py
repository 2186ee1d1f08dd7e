"""Reading bytes: windows of a file, compressed streams, temporary files without a name."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, cast


class Reader(Protocol):
    """The little of a binary file that is needed to read it once."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, nothing at the end."""

    def close(self) -> None:
        """Give back what it holds."""

    def __enter__(self) -> Reader:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""


class Part:
    """A window of a file that others read too, each at its own place (one thread at a time)."""

    def __init__(self, source: BinaryIO, offset: int, size: int) -> None:
        """``size`` bytes from ``offset``."""
        self._source, self._offset, self._left = source, offset, size

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes of what is left."""
        size = self._left if size < 0 else min(size, self._left)
        self._source.seek(self._offset)
        data = self._source.read(size)
        self._offset += len(data)
        self._left -= len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer as far as there is something left; return how far (isal reads so)."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """The file belongs to others."""

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def unnamed_file(directory: Path) -> BinaryIO:
    """Return a temporary file without a name (open(2) O_TMPFILE): gone with its last descriptor."""
    return os.fdopen(os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600), "w+b")


class DamagedError(Exception):
    """A compressed stream is broken or cut short."""


class _Checked:
    """Turns what the four decompressors raise into one error."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._reader.read(size)
        except OSError as error:
            if error.errno is not None:
                raise
            raise DamagedError(str(error)) from None
        except Exception as error:  # EOFError, zlib.error, LZMAError, isal's own
            raise DamagedError(str(error)) from None

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> _Checked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def decompressor(file: BinaryIO | Reader, magic: bytes) -> Reader | None:
    """Return a reader for a gzip, bzip2 or xz stream by its first bytes, None for anything else.

    Reading it raises DamagedError when it is broken.
    """
    source = cast(BinaryIO, file)
    if magic.startswith(b"\x1f\x8b\x08"):
        from isal import igzip

        return _Checked(cast(BinaryIO, igzip.open(source, "rb")))  # type: ignore[no-untyped-call]
    if magic.startswith(b"BZh"):
        import bz2

        return _Checked(cast(BinaryIO, bz2.open(source, "rb")))
    if magic.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return _Checked(cast(BinaryIO, lzma.open(source, "rb")))
    return None
