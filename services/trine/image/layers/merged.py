"""The merged view of stacked overlay directories, without mounting them (kernel overlayfs.rst).

Standard library only: used by the lean worker (export) and by the service (diff).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

OPAQUE = "trusted.overlay.opaque"


def is_whiteout(found: os.stat_result) -> bool:
    """Whether it is a character device 0:0, which hides what lies below."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: str) -> bool:
    """Whether a directory hides the directories of the same name below it."""
    try:
        return os.getxattr(path, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def stack_below(directories: Sequence[str], name: str) -> tuple[os.stat_result | None, list[str]]:
    """Look ``name`` up in directories stacked topmost first.

    Returns what is seen there (None: nothing) and, for a directory, the stack it merges.
    """
    seen: os.stat_result | None = None
    stack: list[str] = []
    for directory in directories:
        path = f"{directory}/{name}"
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(found):
            break
        if not stat.S_ISDIR(found.st_mode):
            if seen is None:
                return found, []
            break
        seen = seen or found
        stack.append(path)
        if is_opaque(path):
            break
    return seen, stack


def names(directories: Sequence[str]) -> list[str]:
    """Return the names seen in a stack of directories, sorted."""
    seen: set[str] = set()
    hidden: set[str] = set()
    for directory in directories:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name in seen or entry.name in hidden:
                    continue
                if not entry.is_file(follow_symlinks=False) and is_whiteout(
                    entry.stat(follow_symlinks=False)
                ):
                    hidden.add(entry.name)
                else:
                    seen.add(entry.name)
    return sorted(seen)


def walk(directories: Sequence[str], prefix: str = "") -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield (path in the view, path on disk, attributes) of everything, parents first, names sorted."""
    pending: list[tuple[str, list[str]]] = [(prefix, list(directories))]
    while pending:
        path, stack = pending.pop()
        below: list[tuple[str, list[str]]] = []
        for name in names(stack):
            found, merged = stack_below(stack, name)
            if found is None:
                continue
            inner = f"{path}/{name}" if path else name
            if merged:
                yield inner, merged[0], found
                below.append((inner, merged))
            else:
                holder = next(d for d in stack if os.path.lexists(f"{d}/{name}"))
                yield inner, f"{holder}/{name}", found
        pending.extend(reversed(below))
