"""Trees of files a COPY reads from: one shape for a context tar and for the layers of an image.

Paths are resolved here, in memory, inside the tree: a link can't lead out of it, whatever it says.
"""

from __future__ import annotations

import errno
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from trine.image.build.streams import Reader

_MAXIMUM_LINKS = 255
_CHUNK = 1 << 20

DIRECTORY = "directory"
FILE = "file"
LINK = "link"
SPECIAL = "special"  # fifo or device


class Entry(ABC):
    """A file, directory, link or special file. ``mode`` has the type bits too (inode(7))."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    target: str  # of a link
    device: int  # of a device, else 0
    identity: object  # the same for hard links of one file, None when it has no other

    @abstractmethod
    def child(self, name: str) -> Entry | None:
        """Return an entry of a directory, or None."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names in a directory, sorted."""

    @abstractmethod
    def open(self) -> Reader:
        """Open a file for reading."""

    @abstractmethod
    def attributes(self) -> dict[str, bytes]:
        """Return the extended attributes worth copying (security.capability, user.*)."""


class Resolved:
    """Where a path leads."""

    def __init__(self, path: str, entry: Entry | None) -> None:
        self.path = path  # without links, relative to the root, "" for the root itself
        self.entry = entry  # None: nothing is there (but everything before the last part may be missing too)


def resolve(root: Entry, path: str, *, follow_last: bool = True) -> Resolved:
    """Follow a path and the links in it, never leaving the root (``..`` stops there).

    Missing parts are kept as words. Raises OSError: ENOTDIR for a path through a file, ELOOP.
    """
    pending = [p for p in path.split("/") if p not in ("", ".")]
    pending.reverse()
    walked: list[tuple[str, Entry | None]] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            if walked:
                walked.pop()
            continue
        here = walked[-1][1] if walked else root
        if here is not None and here.kind != DIRECTORY:
            raise OSError(errno.ENOTDIR, "not a directory", "/" + "/".join([w for w, _ in walked] + [part]))
        entry = here.child(part) if here is not None else None
        if entry is not None and entry.kind == LINK and (pending or follow_last):
            links += 1
            if links > _MAXIMUM_LINKS:
                raise OSError(errno.ELOOP, "too many levels of symbolic links", path)
            if entry.target.startswith("/"):
                walked.clear()
            pending += [p for p in reversed(entry.target.split("/")) if p not in ("", ".")]
            continue
        walked.append((part, entry))
    return Resolved("/".join(w for w, _ in walked), walked[-1][1] if walked else root)


def walk(entry: Entry, path: str = "") -> Iterator[tuple[str, Entry]]:
    """Yield everything below a directory with its path, parents first, in the order of names."""
    for name in entry.names():
        child = entry.child(name)
        if child is None:
            continue
        below = f"{path}/{name}" if path else name
        yield below, child
        if child.kind == DIRECTORY:
            yield from walk(child, below)


def digest(entry: Entry, name: str = "", content: Callable[[str, Entry], str] | None = None) -> str:
    """Return a SHA-256 over names, types, modes and contents below (and of) an entry; times don't count.

    ``content(path, file)`` may give the digest of a file's content, when it is known from elsewhere.
    """
    whole = hashlib.sha256()
    _add(whole, name, entry, content)
    if entry.kind == DIRECTORY:
        for path, child in walk(entry):
            _add(whole, path, child, content)
    return whole.hexdigest()


def _add(
    whole: hashlib._Hash, path: str, entry: Entry, content_of: Callable[[str, Entry], str] | None
) -> None:
    content = ""
    if entry.kind == FILE:
        content = content_of(path, entry) if content_of is not None else _content_digest(entry)
    elif entry.kind == LINK:
        content = entry.target
    elif entry.kind == SPECIAL:
        content = str(entry.device)
    mode = 0 if entry.kind == LINK else entry.mode
    fields = [path, f"{mode:o}", content]
    fields += [f"{name}={value.hex()}" for name, value in sorted(entry.attributes().items())]
    for text in fields:
        data = text.encode("utf-8", "surrogateescape")
        whole.update(b"%d:" % len(data) + data)
    whole.update(b"\n")


def _content_digest(entry: Entry) -> str:
    content = hashlib.sha256()
    with entry.open() as file:
        while chunk := file.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest()


def entry_kind(mode: int) -> str:
    """Return the kind for a mode's type bits."""
    kind = mode & 0o170000
    return {0o040000: DIRECTORY, 0o100000: FILE, 0o120000: LINK}.get(kind, SPECIAL)


def copied_attribute(name: str) -> bool:
    """Tell whether an extended attribute may be copied: never overlayfs' own, nor labels of this host."""
    return name == "security.capability" or name.startswith("user.")


def read_attributes(path: str) -> dict[str, bytes]:
    """Return the extended attributes of a file that may be copied; none where they aren't supported."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in names if copied_attribute(n)}
