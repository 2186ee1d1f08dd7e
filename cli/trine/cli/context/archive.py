"""The tar of a build context, in Docker's order and with its owners (all files belong to root)."""

from __future__ import annotations

import os
import stat
import tarfile

from trine.cli.context.ignore import Matcher
from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BUFFER = 1 << 19


class Sink:
    """What tarfile writes to: hands on large pieces and counts."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        """``send`` gets the pieces; it returns False when the other side wants no more."""
        self._send = send
        self._held = bytearray()
        self.size = 0
        self.wanted = True

    def write(self, data: bytes) -> int:
        """Take some octets."""
        self._held += data
        self.size += len(data)
        if len(self._held) >= _BUFFER:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hand on what is held."""
        if self._held and self.wanted:
            self.wanted = self._send(bytes(self._held))
        self._held.clear()

    def tell(self) -> int:
        """Return how much was written (tarfile asks)."""
        return self.size


def entries(root: str, matcher: Matcher, keep: set[str]) -> Iterator[str]:
    """Yield the paths of a context, relative to its root, sorted; directories before what is in them.

    Args:
        root: the directory.
        matcher: what is left out.
        keep: paths that are never left out (the Dockerfile, .dockerignore).

    Raises Failure when a directory cannot be read.
    """

    def walk(directory: str) -> Iterator[str]:
        try:
            names = sorted(os.listdir(os.path.join(root, directory)))
        except PermissionError:
            raise Failure(
                f"error checking context: no permission to read from '{os.path.join(root, directory)}'"
            ) from None
        except FileNotFoundError:
            return  # went while we walked
        for name in names:
            path = f"{directory}/{name}" if directory else name
            out = matcher.excluded(path) and path not in keep
            folder = _is_directory(os.path.join(root, path))
            if not out:
                yield path
            if folder and (
                not out
                or matcher.may_have_exceptions_below(path)
                or any(kept.startswith(path + "/") for kept in keep)
            ):
                yield from walk(path)

    yield from walk("")


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def write(root: str, matcher: Matcher, keep: set[str], sink: Sink) -> None:
    """Write the tar of a context; stops early when the sink is no longer wanted.

    Raises Failure for a file that cannot be read.
    """
    archive = tarfile.TarFile(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT)  # type: ignore[arg-type]
    for path in entries(root, matcher, keep):
        full = os.path.join(root, path)
        try:
            _add(archive, full, path)
        except FileNotFoundError:
            continue
        except PermissionError:
            raise Failure(f"error checking context: no permission to read from '{full}'") from None
        except OSError as error:
            raise Failure(f"error checking context: {full}: {(error.strerror or '').lower()}") from None
        if not sink.wanted:
            return
    # Not close(): it would pad to 10 KiB where Docker's tar ends with two blocks.
    sink.write(b"\0" * 1024)
    sink.flush()


def _add(archive: tarfile.TarFile, full: str, path: str) -> None:
    """Add one entry, but for what no tar holds (sockets)."""
    info = archive.gettarinfo(full, arcname=path)
    if info is None:
        return
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    if info.isreg():
        with open(full, "rb") as file:
            archive.addfile(info, file)
    else:
        archive.addfile(info)
