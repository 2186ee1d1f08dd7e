"""Archives from and to files, standard streams and URLs."""

from __future__ import annotations

import os
import sys

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from trine.cli.client import Call

_CHUNK = 1 << 19


def write_stream(chunks: Iterable[bytes], path: str, what: str) -> None:
    """Write a stream to a file (by way of a temporary one beside it) or to standard output.

    Args:
        chunks: the parts; an error of theirs leaves no file behind.
        path: the file, "" for standard output.
        what: what failed, for texts, "failed to save image".

    Raises Failure.
    """
    if not path:
        if os.isatty(1):
            raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        from trine.cli.attach import write_all

        sys.stdout.flush()
        for chunk in chunks:
            write_all(1, chunk)
        return
    check_output(path, what)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb", buffering=0) as device:
            for chunk in chunks:
                device.write(chunk)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        # 0600 as Docker: an image or a container may hold what others must not read.
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(temporary, path)
    except OSError as error:
        raise Failure(f"{what}: {(error.strerror or str(error)).lower()}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def check_output(path: str, what: str) -> None:
    """Refuse a directory, or a file in a directory that is not there; raises Failure."""
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise Failure(f"{what}: invalid output path: stat {directory}: no such file or directory")
    if os.path.isdir(path):
        raise Failure(f"{what}: cannot write to a directory")


def open_input(path: str) -> BinaryIO:
    """Return a file to read, standard input for ""; raises Failure."""
    if not path:
        return os.fdopen(os.dup(0), "rb", buffering=0)
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None


def open_source(name: str, what: str = "Error response from daemon: ") -> BinaryIO:
    """Return what a file, a URL or "-" holds; raises Failure, for a URL with ``what`` before the reason."""
    if name == "-":
        return open_input("")
    if not name.startswith(("http://", "https://", "ftp://")):
        return open_input(name)
    import urllib.error
    import urllib.request

    try:
        found: BinaryIO = urllib.request.urlopen(name, timeout=60)
    except urllib.error.HTTPError as error:
        raise Failure(f"{what}failed to GET {name} with status {error.code} {error.reason}") from None
    except (urllib.error.URLError, OSError) as error:
        cause = getattr(error, "reason", error)
        text = (getattr(cause, "strerror", "") or str(cause)).lower()
        raise Failure(f'{what}Get "{name}": {text}') from None
    return found


def send_file(call: Call, source: BinaryIO, field: str = "chunk") -> None:
    """Send all of a file as chunks and end the requests; stops when the daemon has ended the call."""
    while chunk := source.read(_CHUNK):
        if not call.send({field: chunk}):
            return
    call.finish()
