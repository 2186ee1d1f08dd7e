"""COPY and ADD: which sources a step takes, what their content is, and where they go.

The rules are those of the classic builder of Docker 20.10, checked against it
(docs.docker.com/reference/dockerfile#copy, #add).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from trine.image.build.gotext import BadPatternError, glob_to_regex, has_wildcards, join_path
from trine.image.build.labels import Sums
from trine.image.build.layer_tree import LayerEntry
from trine.image.build.member import MemberEntry, from_tar
from trine.image.build.streams import DamagedError, Reader, decompressor
from trine.image.build.tree import DIRECTORY, FILE, Entry, resolve, walk
from trine.image.build.writer import Owner, Writer
from trine.kit.errors import ConflictError

if TYPE_CHECKING:
    from trine.image.build.download import Download

# What reading an archive raises when it is damaged.
_BROKEN = (tarfile.TarError, DamagedError)
_IN_CONTEXT = "file not found in build context or excluded by .dockerignore: "


@dataclass
class Source:
    """One thing to copy."""

    name: str  # last part of its path, as written
    entry: Entry  # links followed
    label: str  # "file:<hex>" or "dir:<hex>", for the history
    digest: str  # of names, modes and contents, for the cache key
    may_unpack: bool = False  # ADD of a local file


class CopyError(ConflictError):
    """A COPY or ADD can't be done; the message is Docker's."""


def find_sources(
    root: Entry, path: str, sums: Sums, *, in_context: bool, may_unpack: bool, wildcards: bool = True
) -> list[Source]:
    """Return what a source path or glob stands for. Raises CopyError (without "COPY failed: ")."""
    path = path.removeprefix("/").removeprefix("./")
    if _leaves_root(path):
        raise CopyError(f"forbidden path outside the build context: {path} ()")
    if wildcards and has_wildcards(path):
        return _match_sources(root, path, sums, in_context, may_unpack)
    prefix = _IN_CONTEXT if in_context else ""
    try:
        place = resolve(root, path)
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            raise CopyError(f"forbidden path outside the build context: {path} ()") from None
        raise CopyError(f"{prefix}stat {path}: {error.strerror}") from None
    entry = place.entry
    if entry is None:
        raise CopyError(f"{prefix}stat {path}: file does not exist")
    name = join_path("/", path).rpartition("/")[2]
    label, content = sums.describe(entry, place.path, name)
    return [Source(name, entry, label, content, may_unpack and entry.kind == FILE)]


def _leaves_root(path: str) -> bool:
    """Tell whether the ``..`` of a path lead out of where it starts."""
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return False


def _match_sources(root: Entry, pattern: str, sums: Sums, in_context: bool, may_unpack: bool) -> list[Source]:
    try:
        compiled = re.compile(glob_to_regex(join_path(pattern)), re.DOTALL)
    except BadPatternError:
        return []
    found: list[Source] = []
    for path, _ in walk(root):
        if compiled.fullmatch(path):
            found += find_sources(
                root, path, sums, in_context=in_context, may_unpack=may_unpack, wildcards=False
            )
    return found


def combined_label(sources: list[Source]) -> str:
    """Return what the history shows for all sources of a step."""
    if len(sources) == 1:
        return sources[0].label
    joined = ",".join(source.label for source in sources)
    return f"multi:{hashlib.sha256(joined.encode()).hexdigest()}"


def download_source(download: Download) -> Source:
    """Return what was downloaded as a source: a file 0600 with the server's time."""
    entry = MemberEntry(FILE, stat.S_IFREG | 0o600, download.open)
    entry.size, entry.mtime_ns = download.size, download.modified_ns
    label, content = Sums(entry, in_context=False).describe(entry, download.name, download.name)
    return Source(download.name, entry, label, content)


def copy_into(
    writer: Writer, sources: list[Source], destination: str, working_dir: str, owner: Owner
) -> None:
    """Copy the sources to a destination path of a step. Raises CopyError, OSError (no space)."""
    target = destination if destination.startswith("/") else _joined(working_dir, destination)
    for source in sources:
        try:
            _copy_one(writer, source, target, owner)
        except (NotADirectoryError, FileNotFoundError) as error:
            what = "failed to create new directory: mkdir" if target.endswith("/") else "lstat"
            what = "failed to copy directory: mkdir" if source.entry.kind == DIRECTORY else what
            raise CopyError(f"failed to copy files: {what} {error.filename}: not a directory") from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EPERM):
                raise CopyError(f"failed to copy files: {error.filename}: {error.strerror}") from None
            raise
    writer.finish()


def _joined(working_dir: str, destination: str) -> str:
    joined = join_path("/", working_dir, destination)
    return joined + "/" if destination.endswith("/") and joined != "/" else joined


def _copy_one(writer: Writer, source: Source, target: str, owner: Owner) -> None:
    place = writer.locate(target)
    path, there = place.path, place.entry
    if source.entry.kind == DIRECTORY:
        if there is None:
            parent, _, name = path.rpartition("/")
            merged = writer.make_directory(parent)
            merged = writer.make_directory(path, owner) if name else merged
        else:
            merged = writer.make_directory(path)
        writer.put_children(source.entry, merged, path, owner)
        return
    if source.may_unpack and source.entry.kind == FILE and _unpack(writer, source.entry, path):
        return
    if target.endswith("/") or (there is not None and there.kind == DIRECTORY):
        path = f"{path}/{source.name}" if path else source.name
    parent, _, name = path.rpartition("/")
    merged = writer.make_directory(parent, owner)
    writer.put(source.entry, merged, parent, name, owner)


@contextlib.contextmanager
def _as_archive(entry: Entry) -> Iterator[tarfile.TarFile | None]:
    """Open a file as a tar, maybe compressed; None when it is none."""
    with entry.open() as raw:
        magic = raw.read(6)
    with entry.open() as raw:
        reader = decompressor(raw, magic)
        try:
            archive = tarfile.open(fileobj=cast(BinaryIO, reader or raw), mode="r|", bufsize=1 << 16)
        except (OSError, *_BROKEN):
            yield None
            return
        with archive:
            yield archive


def _unpack(writer: Writer, entry: Entry, path: str) -> bool:
    """Unpack a local archive at ``path``; return False when it is no archive."""
    with _as_archive(entry) as archive:
        if archive is None:
            return False
        first = _next(archive, first=True)
        if first is None:
            return False
        base = writer.make_directory(path)
        member: tarfile.TarInfo | None = first
        while member is not None:
            try:
                _unpack_member(writer, archive, member, base, path)
            except _BROKEN as error:
                raise _bad_archive(str(error)) from None
            member = _next(archive)
    return True


def _bad_archive(text: str) -> CopyError:
    return CopyError(f"failed to copy files: Error processing tar file(exit status 1): {text}")


def _next(archive: tarfile.TarFile, first: bool = False) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except (OSError, *_BROKEN) as error:
        # An archive that lacks only what fills its last block is whole, as it is for Docker.
        if first or str(error) == "unexpected end of data":
            return None
        raise _bad_archive(str(error)) from None


def _unpack_member(
    writer: Writer, archive: tarfile.TarFile, member: tarfile.TarInfo, base: LayerEntry, path: str
) -> None:
    """Unpack one member below ``base``, the directory at ``path``: its links can't lead out of there."""
    archive.members = []  # type: ignore[attr-defined]  # a stream is never looked at twice: don't keep its names
    parts = join_path("/", member.name).strip("/")
    if not parts:
        return
    directory, _, name = parts.rpartition("/")
    parent_path = _below(path, _resolved(base, directory, f"open /{parts}"))
    try:
        merged: LayerEntry = writer.make_directory(parent_path)
        if member.islnk():
            what = f"link {join_path('/', member.linkname)} /{parts}"
            writer.link(_below(path, _resolved(base, member.linkname, what)), _below(parent_path, name))
            return
        source = from_tar(member, lambda: cast(Reader | None, archive.extractfile(member)))
        if source is None:
            raise CopyError(f"failed to copy files: unsupported entry in the archive: {member.name}")
        writer.put(source, merged, parent_path, name, None)
    except (NotADirectoryError, FileNotFoundError) as error:
        raise _bad_archive(f"open /{parts}: {str(error.strerror).lower()}") from None


def _below(directory: str, path: str) -> str:
    return f"{directory}/{path}" if directory and path else directory or path


def _resolved(base: LayerEntry, path: str, what: str) -> str:
    """Return a path of an archive without links. Raises CopyError when a link or hard link leads nowhere."""
    try:
        place = resolve(base, path, follow_last=not what.startswith("link "))
    except OSError as error:
        raise _bad_archive(f"{what}: {str(error.strerror).lower()}") from None
    missing = place.entry is None and (
        what.startswith("link ") or place.path != join_path("/", path).strip("/")
    )
    if missing:
        raise _bad_archive(f"{what}: no such file or directory")
    return place.path
