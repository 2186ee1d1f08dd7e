"""The files of an image, or of a snapshot being written, read from its layer directories.

The same view overlayfs gives (kernel: Documentation/filesystems/overlayfs.rst), without a mount:
0:0 devices hide, opaque directories end the stack, a file hides the directories below it. Only
real directories are entered, so no link in a layer is ever followed by the kernel.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from trine.image.build.streams import Reader
from trine.image.build.tree import DIRECTORY, LINK, Entry, entry_kind, read_attributes
from trine.image.layers.merged import is_opaque, is_whiteout


class LayerEntry(Entry):
    """An entry in a stack of directories."""

    def __init__(self, path: str, status: os.stat_result, stack: list[str] | None = None) -> None:
        self.path = path
        self.stack = stack or []  # the directories merged here, topmost first
        self.mode = status.st_mode
        self.kind = entry_kind(status.st_mode)
        self.uid = status.st_uid
        self.gid = status.st_gid
        self.mtime_ns = status.st_mtime_ns
        self.size = status.st_size
        self.device = status.st_rdev
        self.identity = (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
        self.target = os.readlink(path) if self.kind == LINK else ""

    def child(self, name: str) -> LayerEntry | None:
        """Return what shows through at that name."""
        found: tuple[str, os.stat_result] | None = None
        stack: list[str] = []
        for directory in self.stack:
            path = f"{directory}/{name}"
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            is_directory = stat.S_ISDIR(status.st_mode)
            if found is None:
                if is_whiteout(status):
                    return None
                found = (path, status)
            if not is_directory:
                break
            stack.append(path)
            if is_opaque(path):
                break
        return LayerEntry(found[0], found[1], stack) if found else None

    def names(self) -> list[str]:
        """Return the names that show through."""
        found: dict[str, bool] = {}
        for directory in self.stack:
            with os.scandir(directory) as listing:
                for item in listing:
                    if item.name not in found:
                        found[item.name] = not is_whiteout(item.stat(follow_symlinks=False))
        return sorted(name for name, visible in found.items() if visible)

    def open(self) -> Reader:
        """Open the file; links are refused (the path was checked to be a file)."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(descriptor, "rb")

    def attributes(self) -> dict[str, bytes]:
        """Return its extended attributes worth copying."""
        return read_attributes(self.path)


def layer_root(directories: Sequence[Path]) -> LayerEntry:
    """Return the root of a stack of layer directories, topmost first (at least one)."""
    stack: list[str] = []
    for directory in directories:
        stack.append(str(directory))
        if is_opaque(str(directory)):
            break
    entry = LayerEntry(stack[0], os.lstat(stack[0]), stack)
    assert entry.kind == DIRECTORY
    return entry
