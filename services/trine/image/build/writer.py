"""Writing files into a snapshot that is not mounted: what overlayfs would do, done by hand.

Everything is looked up in the merged view (layer_tree.py) and written to the upper directory only.
That directory is ours alone and holds no link on the way to a place we write to, so plain paths
are safe: every parent was seen to be, or made, a real directory.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from trine.image.build.layer_tree import LayerEntry, layer_root
from trine.image.build.tree import DIRECTORY, FILE, LINK, Entry, Resolved, resolve
from trine.image.operation import Operation

Owner = tuple[int, int]
ROOT: Owner = (0, 0)
_CHUNK = 1 << 20
_RESERVED = ".wh."  # image-spec layer.md: marks a removal


class Writer:
    """Puts copies of entries below a snapshot's root."""

    def __init__(self, upper: Path, lower: Sequence[Path], operation: Operation) -> None:
        """``upper`` is the snapshot's writable directory, ``lower`` what is below, topmost first."""
        self._upper = str(upper)
        self._layers = [upper, *lower]
        self._operation = operation
        self._links: dict[object, str] = {}
        self._times: list[tuple[str, int]] = []

    @property
    def root(self) -> LayerEntry:
        """The merged root as it is now."""
        return layer_root(self._layers)

    def locate(self, path: str) -> Resolved:
        """Follow a path in the merged view. Raises OSError (ENOTDIR, ELOOP)."""
        return resolve(self.root, path)

    def make_directory(self, path: str, owner: Owner = ROOT) -> LayerEntry:
        """Make a directory (path without links) and its missing parents, 0755; return it as merged.

        Raises NotADirectoryError.
        """
        entry = self.root
        walked = ""
        for part in path.split("/") if path else []:
            walked = f"{walked}/{part}" if walked else part
            below = entry.child(part)
            if below is None:
                self._check_name(part)
                self._make(walked, 0o755, owner)
            elif below.kind != DIRECTORY:
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", f"/{walked}")
            elif not below.path.startswith(self._upper + "/"):
                self._copy_up(below, walked)
            else:
                entry = below
                continue
            found = entry.child(part)
            assert found is not None
            entry = found
        return entry

    def put(self, source: Entry, parent: LayerEntry, directory: str, name: str, owner: Owner | None) -> None:
        """Make ``directory/name`` a copy of ``source`` with all below it; what was there is replaced.

        ``parent`` is the merged entry of ``directory`` (already in the upper directory). Directories
        merge. ``owner`` None keeps the owner the source has. Raises OSError.
        """
        self._operation.check()
        self._check_name(name)
        path = f"{directory}/{name}" if directory else name
        below = parent.child(name)
        if source.kind == DIRECTORY and below is not None and below.kind == DIRECTORY:
            if not below.path.startswith(self._upper + "/"):
                self._copy_up(below, path)
        else:
            self._remove(path)
            if source.kind == DIRECTORY:
                self._make(path, 0o700, ROOT)
            else:
                self._make_file(source, path, owner)
                return
        self._dress(source, path, owner)
        merged = parent.child(name)
        assert merged is not None
        self.put_children(source, merged, path, owner)
        self._times.append((path, source.mtime_ns))

    def put_children(self, source: Entry, merged: LayerEntry, path: str, owner: Owner | None) -> None:
        """Copy what is in a directory into one that is there."""
        for name in source.names():
            child = source.child(name)
            if child is not None:
                self.put(child, merged, path, name, owner)

    def link(self, existing: str, path: str) -> None:
        """Make a hard link between two paths without links; parents are in the upper directory."""
        self._remove(path)
        target = f"{self._upper}/{existing}"
        if not os.path.lexists(target):
            found = self.locate(existing).entry
            if found is None or found.kind == DIRECTORY:
                raise FileNotFoundError(errno.ENOENT, "no such file or directory", f"/{existing}")
            self.make_directory(os.path.dirname(existing))
            self._make_file(found, existing, None)
        os.link(target, f"{self._upper}/{path}", follow_symlinks=False)

    def finish(self) -> None:
        """Set the times of directories, now that nothing is put into them any more."""
        for path, time in reversed(self._times):
            try:
                os.utime(f"{self._upper}/{path}", ns=(time, time), follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # replaced by a later source
        self._times.clear()

    def _make(self, path: str, mode: int, owner: Owner) -> None:
        full = f"{self._upper}/{path}"
        os.mkdir(full)
        os.chown(full, *owner, follow_symlinks=False)
        os.chmod(full, mode)

    def _copy_up(self, entry: LayerEntry, path: str) -> None:
        full = f"{self._upper}/{path}"
        os.mkdir(full)
        for name, value in entry.attributes().items():
            os.setxattr(full, name, value)
        os.chown(full, entry.uid, entry.gid)
        os.chmod(full, stat.S_IMODE(entry.mode))
        os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns))

    def _remove(self, path: str) -> None:
        """Take away what the upper directory has there; what is below in the layers is hidden by the new."""
        full = f"{self._upper}/{path}"
        try:
            status = os.lstat(full)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(full)
        else:
            os.unlink(full)

    def _make_file(self, source: Entry, path: str, owner: Owner | None) -> None:
        full = f"{self._upper}/{path}"
        if source.identity is not None:
            earlier = self._links.get(source.identity)
            if earlier is not None and os.path.lexists(earlier):
                os.link(earlier, full, follow_symlinks=False)
                return
            self._links[source.identity] = full
        if source.kind == FILE:
            self._copy_content(source, full)
        elif source.kind == LINK:
            os.symlink(source.target, full)
        elif stat.S_ISFIFO(source.mode):
            os.mkfifo(full, 0o600)
        elif source.device or stat.S_ISBLK(source.mode):
            os.mknod(full, stat.S_IFMT(source.mode) | 0o600, source.device)
        else:
            raise OSError(errno.EPERM, "operation not permitted", f"/{path}")
        self._dress(source, path, owner)

    def _copy_content(self, source: Entry, full: str) -> None:
        descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with source.open() as reader:
                while chunk := reader.read(_CHUNK):
                    self._operation.check()
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def _dress(self, source: Entry, path: str, owner: Owner | None) -> None:
        """Give owner, mode, attributes and time.

        With an owner given, Docker chowns after it wrote, and that clears set-id bits and file
        capabilities (chown(2)); so do we.
        """
        full = f"{self._upper}/{path}"
        uid, gid = owner if owner is not None else (source.uid, source.gid)
        os.chown(full, uid, gid, follow_symlinks=False)
        if source.kind == LINK:
            os.utime(full, ns=(source.mtime_ns, source.mtime_ns), follow_symlinks=False)
            return
        mode = stat.S_IMODE(source.mode)
        attributes = source.attributes()
        if owner is not None and source.kind != DIRECTORY:
            mode &= ~stat.S_ISUID
            if mode & stat.S_IXGRP:
                mode &= ~stat.S_ISGID
            attributes.pop("security.capability", None)
        os.chmod(full, mode)
        for name, value in attributes.items():
            try:
                os.setxattr(full, name, value)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
        if source.kind != DIRECTORY:
            os.utime(full, ns=(source.mtime_ns, source.mtime_ns))

    @staticmethod
    def _check_name(name: str) -> None:
        if name.startswith(_RESERVED):
            raise OSError(errno.EINVAL, "invalid name: .wh. marks removals in layers", name)
