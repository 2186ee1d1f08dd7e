"""A layer tar becomes a directory overlayfs can stack (OCI image-spec layer.md; kernel overlayfs.rst).

Every name is reached by descriptors from the layer's own directory, component by component with
O_NOFOLLOW; a link in the way is resolved here, inside the layer, as if the layer were the root.
Nothing outside can be reached whatever the tar says. Standard library only: runs in the lean worker.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict

from trine.image.layers import tarformat
from trine.image.layers.stream import Stream
from trine.image.layers.tarformat import Entry, TarError, show

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_META = b".wh..wh."
_OPAQUE_XATTR = "trusted.overlay.opaque"
_OPEN_DIRECTORIES = 128
_MAXIMUM_LINKS = 40
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def components(name: bytes) -> list[bytes]:
    """Split a member's name into its components; a leading slash means the layer's root, as in Docker.

    Raises TarError for "..": no honest writer needs it.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise TarError(f"invalid name in layer: {show(name)}: '..' leads out of the layer")
    if any(len(part) > 255 for part in parts):
        raise TarError(f"{show(name)}: file name too long")
    return parts


class _Directories:
    """Open directories of the layer by their real path, least recently used closed first."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def get(self, path: bytes) -> int | None:
        if not path:
            return self._root
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
        return found

    def put(self, path: bytes, descriptor: int) -> None:
        self._open[path] = descriptor
        if len(self._open) > _OPEN_DIRECTORIES:
            os.close(self._open.popitem(last=False)[1])

    def forget(self, path: bytes) -> None:
        """Close a directory that goes away, and all below it."""
        below = path + b"/"
        for known in [known for known in self._open if known == path or known.startswith(below)]:
            os.close(self._open.pop(known))

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class Unpacker:
    """Unpacks one stream into one empty directory."""

    def __init__(self, target: str) -> None:
        """``target`` is an empty directory of ours."""
        self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._directories = _Directories(self._root)
        # Mode, owner and time of directories come last: children change the time, and a setgid
        # bit would change the children's group.
        self._pending: dict[bytes, Entry] = {}
        self._opaque: set[bytes] = set()
        self._whiteouts: set[bytes] = set()
        self._owner = (os.geteuid(), os.getegid())
        self.size = 0
        self.opaque_root = False

    def run(self, stream: Stream) -> None:
        """Unpack it all and read to the end of the stream. Raises TarError, OSError."""
        previous = os.umask(0)
        try:
            for entry in tarformat.entries(stream):
                try:
                    self._member(entry, stream)
                except OSError as error:
                    raise self._explain(error, entry) from None
                except (OverflowError, ValueError):
                    raise TarError(f"{show(entry.name)}: value out of range in tar header") from None
            stream.drain()
            self._finish()
        finally:
            os.umask(previous)
            self._directories.close()
            os.close(self._root)

    @staticmethod
    def _explain(error: OSError, entry: Entry) -> Exception:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return OSError(error.errno, f"write /{show(entry.name)}: no space left on device")
        text = os.strerror(error.errno or 0).lower()
        return TarError(f"{show(entry.name)}: {text}")

    def _member(self, entry: Entry, stream: Stream) -> None:
        parts = components(entry.name)
        self.size += entry.size
        if not parts:
            if entry.type == tarformat.DIRECTORY:
                self._pending[b""] = entry
            self._pass(entry, stream)
            return
        base = parts[-1]
        parent = self._real_parent(parts[:-1])
        if base.startswith(_WHITEOUT):
            self._whiteout(parent, base, entry)
            self._pass(entry, stream)
            return
        path = parent + b"/" + base if parent else base
        descriptor = self._descriptor(parent)
        if entry.type == tarformat.REGULAR:
            self._regular(path, descriptor, base, entry, stream)
            return
        self._pass(entry, stream)
        if entry.type == tarformat.DIRECTORY:
            self._directory(path, descriptor, base, entry)
        elif entry.type == tarformat.SYMLINK:
            self._clear(path, descriptor, base)
            os.symlink(entry.link, base, dir_fd=descriptor)
            self._finish_node(descriptor, base, entry)
        elif entry.type == tarformat.HARD_LINK:
            self._hard_link(path, descriptor, base, entry)
        elif entry.type in (tarformat.CHARACTER, tarformat.BLOCK_DEVICE, tarformat.FIFO):
            self._node(path, descriptor, base, entry)
        else:
            raise TarError(f"{show(entry.name)}: unhandled tar header type {entry.type!r}")

    @staticmethod
    def _pass(entry: Entry, stream: Stream) -> None:
        if entry.stored:
            stream.skip(entry.stored)
            stream.pad(entry.stored)

    # --- where ---------------------------------------------------------------------------------
    def _real_parent(self, parts: list[bytes]) -> bytes:
        """Return the real path of a directory, making what is missing, following links inside the layer."""
        literal = b"/".join(parts)
        if self._directories.get(literal) is not None:
            return literal
        done: list[bytes] = []
        todo = parts[::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part == b"..":  # only from a link
                if not done:
                    raise TarError(f"invalid name in layer: {show(literal)}: a link leads out of the layer")
                done.pop()
                continue
            here = b"/".join(done)
            path = here + b"/" + part if here else part
            if self._directories.get(path) is None:
                target = self._enter(here, part, path)
                if target is not None:
                    links += 1
                    if links > _MAXIMUM_LINKS:
                        raise TarError(f"{show(literal)}: too many levels of symbolic links")
                    if target.startswith(b"/"):
                        done = []
                    todo += [p for p in target.split(b"/") if p not in (b"", b".")][::-1]
                    continue
            done.append(part)
        return b"/".join(done)

    def _enter(self, parent: bytes, name: bytes, path: bytes) -> bytes | None:
        """Open or make a directory; return the target instead when the name is a symbolic link."""
        descriptor = self._descriptor(parent)
        try:
            opened = os.open(name, _DIRECTORY_FLAGS, dir_fd=descriptor)
        except FileNotFoundError:
            self._make(descriptor, name, path)
            opened = os.open(name, _DIRECTORY_FLAGS, dir_fd=descriptor)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                return os.readlink(name, dir_fd=descriptor)
            if not stat.S_ISCHR(found.st_mode) or path not in self._whiteouts:
                raise
            self._make(descriptor, name, path)
            opened = os.open(name, _DIRECTORY_FLAGS, dir_fd=descriptor)
        self._directories.put(path, opened)
        return None

    def _descriptor(self, path: bytes) -> int:
        """Return the descriptor of a real directory path."""
        found = self._directories.get(path)
        if found is not None:
            return found
        parent, _, name = path.rpartition(b"/")
        opened = os.open(name, _DIRECTORY_FLAGS, dir_fd=self._descriptor(parent))
        self._directories.put(path, opened)
        return opened

    def _make(self, descriptor: int, name: bytes, path: bytes) -> None:
        if path in self._whiteouts:
            # A directory in the place of what the layer below has: nothing below shines through.
            self._whiteouts.discard(path)
            os.unlink(name, dir_fd=descriptor)
            self._opaque.add(path)
        os.mkdir(name, 0o755, dir_fd=descriptor)

    def _clear(self, path: bytes, descriptor: int, name: bytes) -> None:
        """Remove what an earlier member of this layer put in the way."""
        try:
            os.unlink(name, dir_fd=descriptor)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            self._directories.forget(path)
            self._drop(path, descriptor, name)
        self._whiteouts.discard(path)

    def _drop(self, path: bytes, descriptor: int, name: bytes) -> None:
        import shutil

        below = path + b"/"
        for known in [known for known in self._pending if known == path or known.startswith(below)]:
            del self._pending[known]
        for known in [known for known in self._whiteouts if known.startswith(below)]:
            self._whiteouts.discard(known)
        for known in [known for known in self._opaque if known == path or known.startswith(below)]:
            self._opaque.discard(known)
        shutil.rmtree(os.fsdecode(name), dir_fd=descriptor)

    # --- what ----------------------------------------------------------------------------------
    def _whiteout(self, parent: bytes, base: bytes, entry: Entry) -> None:
        if base == _OPAQUE:
            if parent:
                self._opaque.add(parent)
            else:
                self.opaque_root = True
            return
        if base.startswith(_META):
            return  # AUFS's own bookkeeping (layer.md)
        name = base[len(_WHITEOUT) :]
        if name in (b"", b".", b".."):
            raise TarError(f"invalid whiteout in layer: {show(entry.name)}")
        path = parent + b"/" + name if parent else name
        descriptor = self._descriptor(parent)
        try:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=descriptor)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=descriptor, follow_symlinks=False)
            self._whiteouts.add(path)
        except FileExistsError:
            # Whiteouts hide lower layers only (layer.md): what this layer has stays.
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                self._opaque.add(path)

    def _regular(self, path: bytes, parent: int, base: bytes, entry: Entry, stream: Stream) -> None:
        try:
            descriptor = os.open(base, _FILE_FLAGS, entry.mode & 0o777, dir_fd=parent)
        except FileExistsError:
            self._clear(path, parent, base)
            descriptor = os.open(base, _FILE_FLAGS, entry.mode & 0o777, dir_fd=parent)
        try:
            if entry.sparse is not None:
                for offset, length in entry.sparse:
                    os.lseek(descriptor, offset, os.SEEK_SET)
                    stream.copy_to(descriptor, length)
                os.ftruncate(descriptor, entry.size)
            elif entry.stored:
                stream.copy_to(descriptor, entry.stored)
            stream.pad(entry.stored)
            if (entry.uid, entry.gid) != self._owner:
                os.fchown(descriptor, entry.uid, entry.gid)
            if entry.mode & 0o7000:
                os.fchmod(descriptor, entry.mode)
            if entry.xattrs:
                self._set_xattrs(descriptor, entry)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(descriptor)

    def _directory(self, path: bytes, parent: int, base: bytes, entry: Entry) -> None:
        try:
            os.mkdir(base, 0o755, dir_fd=parent)
        except FileExistsError:
            found = os.stat(base, dir_fd=parent, follow_symlinks=False)
            if path in self._whiteouts:
                self._make(parent, base, path)
            elif not stat.S_ISDIR(found.st_mode):
                self._clear(path, parent, base)
                os.mkdir(base, 0o755, dir_fd=parent)
        self._pending[path] = entry

    def _hard_link(self, path: bytes, parent: int, base: bytes, entry: Entry) -> None:
        parts = components(entry.link)
        if not parts:
            raise TarError(f'invalid hardlink "{show(entry.name)}" -> "{show(entry.link)}"')
        source = self._existing_parent(parts[:-1], entry)
        origin = source + b"/" + parts[-1] if source else parts[-1]
        if origin == path:
            return
        try:
            found = os.stat(parts[-1], dir_fd=self._descriptor(source), follow_symlinks=False)
        except FileNotFoundError:
            raise TarError(
                f'invalid hardlink "{show(entry.name)}" -> "{show(entry.link)}": no such file'
            ) from None
        if stat.S_ISDIR(found.st_mode) or origin in self._whiteouts:
            raise TarError(f'invalid hardlink "{show(entry.name)}" -> "{show(entry.link)}"')
        self._clear(path, parent, base)
        os.link(
            parts[-1],
            base,
            src_dir_fd=self._descriptor(source),
            dst_dir_fd=self._descriptor(path.rpartition(b"/")[0]),
            follow_symlinks=False,
        )

    def _existing_parent(self, parts: list[bytes], entry: Entry) -> bytes:
        """Return the real path of the directory a hard link's target is in; make nothing."""
        done = b""
        for part in parts:
            path = done + b"/" + part if done else part
            if self._directories.get(path) is None:
                try:
                    found = os.stat(part, dir_fd=self._descriptor(done), follow_symlinks=False)
                except OSError:
                    found = None
                if found is None or not (stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                    raise TarError(
                        f'invalid hardlink "{show(entry.name)}" -> "{show(entry.link)}": no such file'
                    )
                if stat.S_ISLNK(found.st_mode):
                    return self._real_parent(parts)
            done = path
        return done

    def _node(self, path: bytes, parent: int, base: bytes, entry: Entry) -> None:
        if entry.type == tarformat.FIFO:
            kind, device = stat.S_IFIFO, 0
        else:
            kind = stat.S_IFCHR if entry.type == tarformat.CHARACTER else stat.S_IFBLK
            if entry.type == tarformat.CHARACTER and entry.device == (0, 0):
                raise TarError(
                    f"invalid device in layer: {show(entry.name)}: character device 0:0 is a whiteout"
                )
            device = os.makedev(*entry.device)
        self._clear(path, parent, base)
        os.mknod(base, kind | entry.mode & 0o7777, device, dir_fd=parent)
        self._finish_node(parent, base, entry)

    def _finish_node(self, parent: int, base: bytes, entry: Entry) -> None:
        """Set owner, mode and time of what has no descriptor (links, devices, FIFOs)."""
        if (entry.uid, entry.gid) != self._owner:
            os.chown(base, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.mode & 0o7000 and entry.type != tarformat.SYMLINK:
            os.chmod(base, entry.mode, dir_fd=parent)  # a node made here just now, never a link
        if entry.xattrs:
            # There is no setxattrat before Linux 6.13; the directory's descriptor stands for its path.
            self._set_xattrs(f"/proc/self/fd/{parent}/".encode() + base, entry)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    @staticmethod
    def _set_xattrs(where: int | bytes, entry: Entry) -> None:
        for key, value in entry.xattrs.items():
            if key.startswith((b"trusted.overlay.", b"user.overlay.")):
                raise TarError(f"invalid attribute in layer: {show(entry.name)}: {show(key)}")
            try:
                os.setxattr(where, key, value, follow_symlinks=isinstance(where, int))
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
                if key == b"security.capability":
                    raise

    def _finish(self) -> None:
        """Give directories their attributes, deepest first."""
        for path in sorted(self._opaque, key=len):
            os.setxattr(self._descriptor(path), _OPAQUE_XATTR, b"y")
        for path in sorted(self._pending, key=len, reverse=True):
            entry = self._pending[path]
            descriptor = self._descriptor(path)
            os.fchown(descriptor, entry.uid, entry.gid)
            if entry.xattrs:
                self._set_xattrs(descriptor, entry)
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
