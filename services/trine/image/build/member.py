"""Members of a tar as entries: of the build context, of an archive ADD unpacks, of a download."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from typing import cast

from trine.image.build.streams import Reader
from trine.image.build.tree import DIRECTORY, FILE, LINK, SPECIAL, Entry, copied_attribute

_XATTR = "SCHILY.xattr."


class MemberEntry(Entry):
    """An entry held in memory; ``opener`` gives a file's content."""

    def __init__(self, kind: str, mode: int, opener: Callable[[], Reader] | None = None) -> None:
        """``mode`` has the type bits too."""
        self.kind = kind
        self.mode = mode
        self.uid = self.gid = self.mtime_ns = self.size = self.device = 0
        self.target = ""
        self.identity = None
        self.children: dict[str, MemberEntry] = {}
        self.extended: dict[str, bytes] = {}
        self._opener = opener

    def child(self, name: str) -> MemberEntry | None:
        """Return a member of a directory."""
        return self.children.get(name)

    def names(self) -> list[str]:
        """Return the names in a directory."""
        return sorted(self.children)

    def open(self) -> Reader:
        """Open the content of a file."""
        assert self._opener is not None
        return self._opener()

    def attributes(self) -> dict[str, bytes]:
        """Return its extended attributes worth copying."""
        return dict(self.extended)


def from_tar(member: tarfile.TarInfo, opener: Callable[[], Reader | None]) -> MemberEntry | None:
    """Return the entry of a tar member; None for hard links and for types nobody can make."""
    permissions = member.mode & 0o7777
    if member.isdir():
        entry = MemberEntry(DIRECTORY, stat.S_IFDIR | permissions)
    elif member.issym():
        entry = MemberEntry(LINK, stat.S_IFLNK | 0o777)
        entry.target = member.linkname
    elif member.isreg() and not member.issparse():
        entry = MemberEntry(FILE, stat.S_IFREG | permissions, cast("Callable[[], Reader]", opener))
        entry.size = member.size
    elif member.isfifo():
        entry = MemberEntry(SPECIAL, stat.S_IFIFO | permissions)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        entry = MemberEntry(SPECIAL, kind | permissions)
        entry.device = os.makedev(member.devmajor, member.devminor)
    else:
        return None
    entry.uid, entry.gid = member.uid, member.gid
    entry.mtime_ns = int(float(member.mtime) * 1_000_000_000)
    for key, value in member.pax_headers.items():
        if key.startswith(_XATTR) and copied_attribute(key[len(_XATTR) :]):
            entry.extended[key[len(_XATTR) :]] = value.encode("utf-8", "surrogateescape")
    return entry
