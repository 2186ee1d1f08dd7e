"""docker diff: what a writable layer changed against the layers below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from trine.image.layers import merged, pack

MODIFIED, ADDED, DELETED = "C", "A", "D"


def changes(upper: str, lower: Sequence[str]) -> list[tuple[str, str]]:
    """Return (kind, absolute path) of every change, sorted by path (kernel overlayfs.rst; Docker's rules).

    A directory that is only there because something in it changed is "C", as in Docker; what the
    runtime made to mount on is left out.
    """
    found = dict(_walk(upper, lower))
    for path in list(found):
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found[parent] = MODIFIED
            parent = parent.rpartition("/")[0]
    return sorted(((kind, path) for path, kind in found.items()), key=lambda item: item[1])


def _walk(upper: str, lower: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, kind) of what is in the upper directory."""
    pending: list[tuple[str, list[str]]] = [("", list(lower))]
    while pending:
        prefix, below = pending.pop()
        directory = f"{upper}/{prefix}" if prefix else upper
        if prefix and merged.is_opaque(directory):
            here = set(os.listdir(directory))
            for name in merged.names(below):
                if name not in here:
                    yield f"/{prefix}/{name}", DELETED
        with os.scandir(directory) as entries:
            for entry in entries:
                path = f"{prefix}/{entry.name}" if prefix else entry.name
                try:
                    mine = entry.stat(follow_symlinks=False)
                    skip = pack.is_mount_point(path, entry.path, mine, lower)
                except OSError:
                    continue  # a running container removed it
                if skip:
                    continue
                old, stack = merged.stack_below(below, entry.name)
                if merged.is_whiteout(mine):
                    if old is not None:
                        yield f"/{path}", DELETED
                    continue
                if old is None:
                    yield f"/{path}", ADDED
                elif not _same_directory(mine, old):
                    yield f"/{path}", MODIFIED
                if stat.S_ISDIR(mine.st_mode):
                    pending.append((path, stack))


def _same_directory(mine: os.stat_result, old: os.stat_result) -> bool:
    """Whether a directory was copied up without a change of its own."""
    return (
        stat.S_ISDIR(mine.st_mode)
        and stat.S_ISDIR(old.st_mode)
        and (mine.st_mode, mine.st_uid, mine.st_gid, mine.st_mtime_ns)
        == (old.st_mode, old.st_uid, old.st_gid, old.st_mtime_ns)
    )
