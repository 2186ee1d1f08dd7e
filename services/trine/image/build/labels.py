"""The digests Docker shows for COPY and ADD in an image's history: "file:<hex>", "dir:<hex>".

They are tarsums of version 1 (moby pkg/tarsum): SHA-256 over the fields of a tar header, run
together, and the content. Computed as Docker does, so that histories, and what --cache-from finds in
them, agree with images Docker built. They are for showing: cache keys use ``tree.digest``, which also
says where each field ends, over the same sums, so that contents are read once.
"""

from __future__ import annotations

import hashlib
import os
import stat

from trine.image.build.tree import DIRECTORY, FILE, LINK, Entry, digest, resolve, walk

_CHUNK = 1 << 20


class Sums:
    """The tarsums of one tree, each computed once."""

    def __init__(self, root: Entry, *, in_context: bool) -> None:
        """``in_context``: owners and type bits are not in the headers of a context."""
        self._root = root
        self._in_context = in_context
        self._known: dict[str, str] = {}

    def describe(self, entry: Entry, path: str, name: str) -> tuple[str, str]:
        """Return (label, digest) of a source: ``path`` where it is, links followed, ``name`` as written."""

        def content(below: str, child: Entry) -> str:
            where = f"{path}/{below}" if path else below
            return self.of(child, path if entry.kind != DIRECTORY else where)

        own = digest(entry, name if entry.kind != DIRECTORY else "", content)
        if entry.kind != DIRECTORY:
            return f"file:{self.of(entry, path)}", own
        sums = [self.of(entry, path)] if path else []
        for below, child in walk(entry, path):
            sums.append(self._followed(child, below))
        joined = ",".join(sorted(sums))
        return f"dir:{hashlib.sha256(joined.encode('utf-8', 'surrogateescape')).hexdigest()}", own

    def _followed(self, entry: Entry, path: str) -> str:
        """Return the sum of what a path leads to; the path itself when that is nothing."""
        if entry.kind != LINK:
            return self.of(entry, path)
        try:
            found = resolve(self._root, path)
        except OSError:
            return path
        return self.of(found.entry, found.path) if found.entry is not None else path

    def of(self, entry: Entry, path: str) -> str:
        """Return the tarsum of an entry."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._compute(entry, path)
        return known

    def _compute(self, entry: Entry, path: str) -> str:
        owner, group = ("0", "0") if self._in_context else (str(entry.uid), str(entry.gid))
        user_name = "" if self._in_context or entry.uid else "root"
        group_name = "" if self._in_context or entry.gid else "root"
        mode = entry.mode if not self._in_context else stat.S_IMODE(entry.mode)
        flag = {DIRECTORY: "5", FILE: "0", LINK: "2"}.get(entry.kind, _special_flag(entry.mode))
        fields = [
            ("name", path + "/" if entry.kind == DIRECTORY else path),
            ("mode", str(mode)),
            ("uid", owner),
            ("gid", group),
            ("size", str(entry.size if entry.kind == FILE else 0)),
            ("typeflag", flag),
            ("linkname", entry.target),
            ("uname", user_name),
            ("gname", group_name),
            ("devmajor", str(os.major(entry.device))),
            ("devminor", str(os.minor(entry.device))),
        ]
        whole = hashlib.sha256()
        for key, value in fields:
            whole.update((key + value).encode("utf-8", "surrogateescape"))
        for key, data in sorted(entry.attributes().items()):
            whole.update(key.encode("utf-8", "surrogateescape") + data)
        if entry.kind == FILE:
            with entry.open() as file:
                while chunk := file.read(_CHUNK):
                    whole.update(chunk)
        return whole.hexdigest()


def _special_flag(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "6"
    return "4" if stat.S_ISBLK(mode) else "3"
