"""The build context: a tar that arrives in chunks, kept as it is and read in place.

Nothing of it is unpacked: names and links live in memory, contents in one unnamed temporary file
(O_TMPFILE) that the kernel drops with its last descriptor, also after kill -9. So no name or link
in a context can reach the host.
"""

from __future__ import annotations

import functools
import io
import stat
import tarfile
from pathlib import Path
from typing import BinaryIO

from trine.image.build.ignore import Matcher, read_patterns
from trine.image.build.member import MemberEntry, from_tar
from trine.image.build.streams import DamagedError, Part, decompressor, unnamed_file
from trine.image.build.tree import DIRECTORY, FILE, resolve
from trine.kit.errors import InvalidArgumentError

_IN_MEMORY = 4 << 20
_DEEPEST = 256


class ContextReceiver:
    """Takes the chunks of a context; small ones stay in memory."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is where a large context goes (unnamed)."""
        self._directory = directory
        self._file: BinaryIO = io.BytesIO()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Add a chunk. Raises OSError (no space)."""
        if self._size <= _IN_MEMORY < self._size + len(chunk):
            memory = self._file
            self._file = unnamed_file(self._directory)
            memory.seek(0)
            self._file.write(memory.read())
        self._file.write(chunk)
        self._size += len(chunk)

    @property
    def in_memory(self) -> bool:
        """Whether the next chunk costs no disk access."""
        return isinstance(self._file, io.BytesIO)

    def finish(self) -> Context:
        """Return the context. Raises InvalidArgumentError when it is no tar."""
        self._file.flush()
        self._file.seek(0)
        return Context(_plain(self._file, self._directory), self._size)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


def _plain(file: BinaryIO, directory: Path) -> BinaryIO:
    """Return the tar itself, decompressed when it came compressed (gzip, bzip2, xz)."""
    magic = file.read(6)
    file.seek(0)
    reader = decompressor(file, magic)
    if reader is None:
        return file
    plain = unnamed_file(directory)
    try:
        while chunk := reader.read(1 << 20):
            plain.write(chunk)
    except DamagedError as error:
        plain.close()
        raise InvalidArgumentError(f"error reading the build context: {error}") from None
    plain.flush()
    plain.seek(0)
    return plain


class Context:
    """What COPY and ADD see of what the client sent."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        """Read the names of a tar of ``size`` bytes. Raises InvalidArgumentError."""
        self._source = source
        self.root = MemberEntry(DIRECTORY, stat.S_IFDIR | 0o755)
        if size:
            self._index()

    def _index(self) -> None:
        try:
            with tarfile.open(fileobj=self._source, mode="r:") as archive:
                for member in archive:
                    self._add(member)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise InvalidArgumentError(f"Error processing tar file(build context): {error}") from None

    def _add(self, member: tarfile.TarInfo) -> None:
        parts = [p for p in member.name.split("/") if p not in ("", ".")]
        if len(parts) > _DEEPEST:
            raise InvalidArgumentError(f"the build context is nested more than {_DEEPEST} directories deep")
        if ".." in parts:
            raise InvalidArgumentError(f"invalid path in the build context: {member.name!r}")
        if member.islnk():
            entry = self._hard_link(member)
        else:
            window = functools.partial(Part, self._source, member.offset_data, member.size)
            found = from_tar(member, window)
            if found is None:
                raise InvalidArgumentError(f"unsupported type in the build context: {member.name!r}")
            entry = found
        if not parts:
            return
        parent = self.root
        for part in parts[:-1]:
            below = parent.children.get(part)
            if below is None or below.kind != DIRECTORY:
                below = parent.children[part] = MemberEntry(DIRECTORY, stat.S_IFDIR | 0o755)
            parent = below
        old = parent.children.get(parts[-1])
        if old is not None and old.kind == entry.kind == DIRECTORY:
            entry.children = old.children
        parent.children[parts[-1]] = entry

    def _hard_link(self, member: tarfile.TarInfo) -> MemberEntry:
        try:
            other = resolve(self.root, member.linkname, follow_last=False).entry
        except OSError:
            other = None
        if not isinstance(other, MemberEntry) or other.kind == DIRECTORY:
            raise InvalidArgumentError(
                f"invalid hard link in the build context: {member.name!r} -> {member.linkname!r}"
            )
        if other.identity is None:
            other.identity = object()
        return other

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a file's content, None when it isn't there. Raises InvalidArgumentError when too large."""
        try:
            entry = resolve(self.root, path).entry
        except OSError:
            return None
        if entry is None or entry.kind != FILE:
            return None
        if entry.size > limit:
            raise InvalidArgumentError(f"{path} is too large: {entry.size} bytes")
        with entry.open() as file:
            return file.read()

    def apply_ignore_file(self) -> None:
        """Drop what .dockerignore excludes; the client may have done so. Raises InvalidArgumentError."""
        content = self.read(".dockerignore", 1 << 20)
        if not content:
            return
        try:
            matcher = Matcher(read_patterns(content))
        except ValueError as error:
            raise InvalidArgumentError(f"Error checking context: {error}.") from None
        _prune(self.root, "", matcher)


def _prune(directory: MemberEntry, path: str, matcher: Matcher) -> bool:
    """Remove excluded members; return whether anything is left."""
    for name, child in list(directory.children.items()):
        below = f"{path}/{name}" if path else name
        excluded = matcher.excludes(below)
        if child.kind == DIRECTORY and (not excluded or matcher.has_exceptions):
            kept = _prune(child, below, matcher)
            if excluded and not kept:
                del directory.children[name]
        elif excluded:
            del directory.children[name]
    return bool(directory.children)
