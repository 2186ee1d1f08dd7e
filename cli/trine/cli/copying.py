"""``trine cp``: what goes where (docker/cli and moby/archive), and the tars that carry it."""

from __future__ import annotations

import os
import posixpath
import stat
import sys
import tarfile

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from trine.cli.app import App
    from trine.cli.client import Call
    from trine.cli.wire import Message

_CHUNK = 1 << 19


def split(argument: str) -> tuple[str, str]:
    """Return container and path of "container:path"; no container for a local path."""
    if os.path.isabs(argument) or argument == "-":
        return "", argument
    container, colon, path = argument.partition(":")
    if not colon or argument.startswith("."):
        return "", argument
    return container, path


def _asserts_directory(path: str) -> bool:
    """Tell whether a path can only be a directory: "dir/", "dir/."."""
    return path.endswith(("/", "/.", "/..")) or path in (".", "..")


def _wants_content(path: str) -> bool:
    """Tell whether a path means what is in a directory, not the directory: "dir/."."""
    return path.endswith("/.") or path == "."


class _Chunks:
    """The tar an archive call streams, as a file to read."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._held = b""
        self.total = 0

    def read(self, size: int = -1) -> bytes:
        """Return at most so many octets, b"" at the end; raises DaemonError."""
        while size < 0 or len(self._held) < size:
            answer = self._call.receive()
            if answer is None:
                break
            self._held += answer.chunk
            self.total += len(answer.chunk)
        out, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return out


def _stat_of(app: App, container: str, path: str) -> Message | None:
    """Return the PathStat of a path in a container, None when there is nothing; raises DaemonError."""
    from trine.cli.client import DaemonError

    request = {"target": {"container_id": container, "path": path}, "stat_only": True}
    call = app.client.start("ContainerService.ReadContainerArchive", request)
    try:
        answer = call.receive()
        for _ in call:
            pass
    except DaemonError as error:
        if error.code == "NOT_FOUND" and error.reason != "NO_SUCH_CONTAINER":
            return None
        raise
    return answer.stat if answer is not None else None


def from_container(app: App, container: str, path: str, target: str, *, follow: bool, owners: bool) -> int:
    """Copy out of a container; return how much. Raises Failure, DaemonError."""
    from trine.cli.client import DaemonError

    if not container:
        raise Failure("source can not be empty")
    if target != "-":
        directory = os.path.dirname(target.rstrip("/")) or "."
        if not os.path.isdir(target) and not os.path.isdir(directory):
            raise Failure(f'invalid output path: directory "{os.path.abspath(directory)}" does not exist')
    if follow:
        found = _stat_of(app, container, path)
        if found is not None and found.link_target:
            link = found.link_target
            path = link if link.startswith("/") else posixpath.join(posixpath.dirname(path), link)
    request = {"target": {"container_id": container, "path": path}}
    call = app.client.start("ContainerService.ReadContainerArchive", request)
    try:
        first = call.receive()
    except DaemonError as error:
        if error.code == "NOT_FOUND" and error.reason != "NO_SUCH_CONTAINER":
            # The engine names the container by its id; people know it by what they typed.
            text = f"Could not find the file {path} in container {container}"
            raise Failure(f"Error response from daemon: {text}") from None
        raise
    if first is None:
        return 0
    chunks = _Chunks(call)
    if first.chunk:
        chunks._held = first.chunk
    if target == "-":
        return _to_stdout(chunks)
    _unpack(chunks, first.stat, path, target, owners=owners)
    return chunks.total


def _to_stdout(chunks: _Chunks) -> int:
    from trine.cli.attach import write_all

    if os.isatty(1):
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    sys.stdout.flush()
    while part := chunks.read(_CHUNK):
        write_all(1, part)
    return chunks.total


def _unpack(chunks: _Chunks, found: Message, path: str, target: str, *, owners: bool) -> None:
    """Unpack the tar of one path so that it lands where ``cp`` says; raises Failure."""
    folder = stat.S_ISDIR(found.mode)
    base = found.name or posixpath.basename(posixpath.normpath(path))
    if os.path.isdir(target):
        into, name = target, "" if folder and _wants_content(path) else base
    elif os.path.lexists(target) and not os.path.islink(target):
        if folder:
            raise Failure(f"cannot copy directory to file {target}")
        if _asserts_directory(target):
            raise Failure("not a directory")
        into, name = os.path.dirname(target) or ".", os.path.basename(target)
    else:
        if not folder and target.endswith("/"):
            raise Failure("no such directory")
        clean = target.rstrip("/")
        into, name = os.path.dirname(clean) or ".", os.path.basename(clean)
    archive = tarfile.open(fileobj=chunks, mode="r|", bufsize=1 << 16)  # type: ignore[call-overload]
    for member in archive:
        inner = member.name.strip("/").partition("/")[2]
        renamed = "/".join(part for part in (name, inner) if part)
        if not renamed:
            continue
        member.name = renamed
        if member.islnk():
            member.linkname = "/".join(p for p in (name, member.linkname.partition("/")[2]) if p)
        _extract(archive, member, into, owners=owners)


def _check_inside(into: str, name: str) -> None:
    """Refuse a path of an archive that leaves the target, by ".." or through a link; raises Failure."""
    parts = name.split("/")
    if ".." in parts or name.startswith("/"):
        raise Failure(f"invalid path in archive: {name}")
    at = into
    for part in parts[:-1]:
        at = os.path.join(at, part)
        if os.path.islink(at):
            raise Failure(f"refusing to copy through the symbolic link {at}")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, into: str, *, owners: bool) -> None:
    """Extract one member below a directory, never through a link or out of it; raises Failure."""
    parts = member.name.split("/")
    _check_inside(into, member.name)
    if member.islnk():
        # A hard link to something outside would hand its mode and times to the container.
        _check_inside(into, member.linkname)
    full = os.path.join(into, *parts)
    if os.path.lexists(full) and not member.isdir():
        if os.path.isdir(full) and not os.path.islink(full):
            raise Failure(f'cannot overwrite directory "{full}" with non-directory "{member.name}"')
        os.unlink(full)
    elif member.isdir() and os.path.lexists(full) and not os.path.isdir(full):
        raise Failure(f'cannot overwrite non-directory "{full}" with directory "{member.name}"')
    if not owners:
        member.uid, member.gid = os.getuid(), os.getgid()
        member.uname = member.gname = ""
    try:
        archive.extract(member, into, set_attrs=True, numeric_owner=True)
    except OSError as error:
        raise Failure(f"{full}: {(error.strerror or str(error)).lower()}") from None


def to_container(app: App, path: str, container: str, target: str, *, follow: bool, owners: bool) -> int:
    """Copy into a container; return how much. Raises Failure, DaemonError."""
    if not target:
        raise Failure("destination can not be empty")
    if path != "-":
        _check_source(path)
    found = _stat_of(app, container, target)
    if found is not None and found.link_target:
        link = found.link_target
        resolved = link if link.startswith("/") else posixpath.join(posixpath.dirname(target), link)
        found, target = _stat_of(app, container, resolved), resolved
    if path == "-":
        if found is None or not stat.S_ISDIR(found.mode):
            raise Failure(f'destination "{container}:{target}" must be a directory')
        return _send(app, container, target, _stdin_chunks(), owners=owners)
    source = os.path.realpath(path) if follow or _asserts_directory(path) else path
    folder = os.path.isdir(source) and not os.path.islink(source)
    base = os.path.basename(os.path.normpath(os.path.abspath(path)))
    if found is not None and stat.S_ISDIR(found.mode):
        into, name = target, "" if folder and _wants_content(path) else base
    elif found is not None:
        if folder:
            raise Failure("cannot copy directory")
        if _asserts_directory(target):
            raise Failure("not a directory")
        into, name = posixpath.dirname(target) or "/", posixpath.basename(target)
    else:
        if not folder and target.endswith("/"):
            raise Failure("no such directory")
        clean = target.rstrip("/")
        into, name = posixpath.dirname(clean) or "/", posixpath.basename(clean)
    return _send(app, container, into, _pack(source, name), owners=owners)


def _check_source(path: str) -> None:
    full = os.path.abspath(path)
    if not os.path.lexists(path):
        raise Failure(f"lstat {full}: no such file or directory")
    if path.endswith("/") and not os.path.isdir(path):
        raise Failure(f"{full}: not a directory")


def _stdin_chunks() -> Iterator[bytes]:
    while part := os.read(0, _CHUNK):
        yield part


def _pack(source: str, name: str) -> Iterator[bytes]:
    """Yield the tar of a file or directory under another name ("": only what is in the directory)."""
    held = bytearray()

    class Sink:
        """What tarfile writes to."""

        size = 0

        def write(self, data: bytes) -> int:
            """Take some octets."""
            held.extend(data)
            self.size += len(data)
            return len(data)

        def tell(self) -> int:
            """Return how much was written."""
            return self.size

    sink = Sink()
    archive = tarfile.TarFile(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT)  # type: ignore[arg-type]
    for full, inner in _walk(source, name):
        info = archive.gettarinfo(full, arcname=inner)
        if info is None:
            continue
        info.uname = info.gname = ""
        archive.addfile(info)
        if info.isreg():
            # As long as it was when it was looked at, whatever happens to it meanwhile.
            with open(full, "rb") as file:
                yield from _content(file, info.size, held)
        if len(held) >= _CHUNK:
            yield bytes(held)
            held.clear()
    yield bytes(held) + b"\0" * 1024


def _content(file: BinaryIO, size: int, held: bytearray) -> Iterator[bytes]:
    left = size
    while left:
        part = file.read(min(_CHUNK, left))
        if not part:
            part = b"\0" * min(_CHUNK, left)
        left -= len(part)
        held += part
        if len(held) >= _CHUNK:
            yield bytes(held)
            held.clear()
    held += b"\0" * (-size % 512)


def _walk(source: str, name: str) -> Iterator[tuple[str, str]]:
    if name:
        yield source, name
    if os.path.isdir(source) and not os.path.islink(source):
        for entry in sorted(os.listdir(source)):
            yield from _walk(os.path.join(source, entry), f"{name}/{entry}" if name else entry)


def _send(app: App, container: str, into: str, chunks: Iterator[bytes], *, owners: bool) -> int:
    """Send a tar to be unpacked in a directory of a container; return its size. Raises DaemonError."""
    call = app.client.start("ContainerService.WriteContainerArchive")
    options = {
        "target": {"container_id": container, "path": into},
        "no_overwrite_dir_non_dir": True,
        "copy_uid_gid": owners,
    }
    call.send({"options": options})
    total = 0
    try:
        for chunk in chunks:
            total += len(chunk)
            if not call.send({"chunk": chunk}):
                break
    except OSError as error:
        call.cancel()
        raise Failure(f"open {error.filename}: {(error.strerror or '').lower()}") from None
    call.finish()
    call.result()
    return total
