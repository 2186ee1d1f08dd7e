"""What ``trine build`` was given as context: a directory, standard input, a URL."""

from __future__ import annotations

import os

from trine.cli.context.ignore import Matcher, read_patterns
from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


class Source:
    """A context to send."""

    def __init__(
        self,
        dockerfile: str,
        content: bytes,
        send: Callable[[Callable[[bytes], bool]], int],
    ) -> None:
        """Keep what is to be sent.

        Args:
            dockerfile: path of the Dockerfile in the context, "" for the usual one.
            content: the Dockerfile itself when it is not part of the context.
            send: hands the octets of the context to a function, returns how many.
        """
        self.dockerfile = dockerfile
        self.content = content
        self.send = send


def open_source(context: str, dockerfile: str) -> Source:
    """Return the source for PATH | URL | - and --file; raises Failure with Docker's texts."""
    if context == "-":
        if dockerfile == "-":
            raise Failure("invalid argument: can't use stdin for both build context and dockerfile")
        return _stream(os.fdopen(os.dup(0), "rb"), dockerfile)
    if context.startswith(("http://", "https://")) and not context.endswith(".git"):
        from trine.cli.files import open_source as open_url

        what = f"unable to prepare context: unable to download remote context {context}: "
        return _stream(open_url(context, what), dockerfile)
    if context.startswith(("git://", "git@", "github.com/", "http://", "https://")):
        raise Failure("unable to prepare context: trine does not clone git repositories: clone it first")
    return _directory(context, dockerfile)


def is_archive(head: bytes) -> bool:
    """Tell whether octets begin a tar, compressed or not."""
    return head.startswith(_MAGIC) or head[257:262] == b"ustar"


def _stream(file: BinaryIO, dockerfile: str) -> Source:
    head = file.read(1 << 16)
    if not is_archive(head):
        content = head + file.read()
        if not content:
            return _empty_dockerfile()
        # Docker puts it in a tar of its own: the size that is told is that of such a tar.
        size = 512 + (len(content) + 511) // 512 * 512 + 1024
        return Source("", content, lambda _: size)

    def send(hand_on: Callable[[bytes], bool]) -> int:
        total = len(head)
        chunk = head
        while chunk and hand_on(chunk):
            chunk = file.read(1 << 19)
            total += len(chunk)
        return total

    return Source(dockerfile, b"", send)


def _empty_dockerfile() -> Source:
    """Return a context of one empty Dockerfile, for the engine to refuse."""

    def send(hand_on: Callable[[bytes], bool]) -> int:
        import tarfile

        from trine.cli.context import archive

        data = tarfile.TarInfo("Dockerfile").tobuf() + b"\0" * 1024
        sink = archive.Sink(hand_on)
        sink.write(data)
        sink.flush()
        return sink.size

    return Source("", b"", send)


def _directory(context: str, dockerfile: str) -> Source:
    if not os.path.lexists(context):
        raise Failure(f'unable to prepare context: path "{context}" not found')
    root = os.path.realpath(context)
    if not os.path.isdir(root):
        raise Failure(f"unable to prepare context: context must be a directory: {root}")
    content = b""
    name = ""
    if dockerfile == "-":
        with os.fdopen(os.dup(0), "rb") as given:
            content = given.read()
        if not content:
            raise Failure("Error response from daemon: the Dockerfile (.dockerfile) cannot be empty")
    else:
        path = _dockerfile_path(root, dockerfile)
        name = os.path.relpath(path, root)
        if name.partition(os.sep)[0] == "..":
            name, content = "", _outside(path)
    matcher, keep = _ignored(root, name)

    def send(hand_on: Callable[[bytes], bool]) -> int:
        from trine.cli.context import archive

        sink = archive.Sink(hand_on)
        archive.write(root, matcher, keep, sink)
        return sink.size

    return Source(name, content, send)


def _outside(path: str) -> bytes:
    """Return a Dockerfile that is not in the context; raises Failure."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise Failure(
            f"unable to prepare context: unable to open Dockerfile: open {path}: {reason}"
        ) from None


def _dockerfile_path(root: str, given: str) -> str:
    """Return where the Dockerfile is: as given, or in the context. Raises Failure."""
    if given:
        path = os.path.abspath(given)
    else:
        path = os.path.join(root, "Dockerfile")
        if not os.path.lexists(path) and os.path.lexists(os.path.join(root, "dockerfile")):
            path = os.path.join(root, "dockerfile")
    if not os.path.exists(path):
        raise Failure(
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: "
            f"lstat {path}: no such file or directory"
        )
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _ignored(root: str, dockerfile: str) -> tuple[Matcher, set[str]]:
    """Return the matcher of the context's .dockerignore, and what is kept in spite of it."""
    path = os.path.join(root, ".dockerignore")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            patterns = read_patterns(file.read())
    except FileNotFoundError:
        patterns = []
    except OSError as error:
        raise Failure(f"error reading .dockerignore: open {path}: {(error.strerror or '').lower()}") from None
    keep = {".dockerignore", dockerfile or "Dockerfile"} if patterns else set()
    try:
        return Matcher(patterns), keep
    except ValueError as error:
        raise Failure(f"error checking context: {error}") from None
