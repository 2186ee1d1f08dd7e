"""Files below a container's root as a tar stream, and back. Lean; runs in a worker's mount namespace.

Paths are resolved by openat2 in the root, then only descriptors are used: a link in the container, or
in the archive, leads nowhere but into the container.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import IO, Any

from trine.linux import openat2
from trine.runtime.failure import ContainerError

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_XATTR = "SCHILY.xattr."
_KEPT_XATTRS = ("security.capability", "user.")


def locate(root: int, path: str) -> tuple[int, str]:
    """Return (O_PATH descriptor of the parent, last part) of a path; "." when it names a directory itself.

    The last part is not followed, unless the path ends in "/" or "/.". Raises OSError.
    """
    if not path.strip("/") or path.endswith(("/", "/.")) or path == ".":
        return openat2.openat2(root, path or "/", os.O_PATH | os.O_DIRECTORY), "."
    parent, _, name = path.rpartition("/")
    if name == "..":
        return openat2.openat2(root, path, os.O_PATH | os.O_DIRECTORY), "."
    return openat2.openat2(root, parent or "/", os.O_PATH | os.O_DIRECTORY), name


def base_name(path: str) -> str:
    """Return what Docker calls a path's name: "etc" of "/etc" and "/etc/", "." of "/etc/.", "/" of "/"."""
    if path.endswith("/.") and path.strip("/."):
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def describe(root: int, path: str, descriptors: int) -> dict[str, Any]:
    """Return the PathStat of a path as a dict; ``descriptors`` is our own /proc/self/fd. Raises OSError."""
    parent, name = locate(root, path)
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        link = ""
        if stat.S_ISLNK(found.st_mode):
            link = _final(root, path, os.readlink(name, dir_fd=parent), descriptors)
        return {
            "name": base_name(path),
            "size_bytes": found.st_size,
            "mode": found.st_mode,
            "modified_at_unix_nanos": found.st_mtime_ns,
            "link_target": link,
        }
    finally:
        os.close(parent)


def _final(root: int, path: str, target: str, descriptors: int) -> str:
    """Return where a link leads, as a path in the container; its bare text when nowhere."""
    try:
        descriptor = openat2.open_path(root, path)
    except OSError:
        return target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    try:
        whole = os.readlink(str(descriptor), dir_fd=descriptors)
        above = os.readlink(str(root), dir_fd=descriptors)
    finally:
        os.close(descriptor)
    return "/" + os.path.relpath(whole, above) if above != "/" else whole


# Out


class Packer:
    """Writes a tree as a tar (PAX, pax(1)) to a pipe."""

    def __init__(self, output: int) -> None:
        """Write to ``output`` (blocking)."""
        self._output = output
        self._links: dict[tuple[int, int], str] = {}

    def pack(self, root: int, path: str) -> None:
        """Write ``path`` and what is below, named by its last part, and the end mark. Raises OSError."""
        parent, name = locate(root, path)
        try:
            shown = base_name(path)
            self._entry(parent, name, "." if shown == "/" else shown)
        finally:
            os.close(parent)
        self._put(b"\0" * 1024)

    def _entry(self, parent: int, name: str, shown: str) -> None:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISSOCK(found.st_mode):
            return
        info = self._header(parent, name, shown, found)
        if info.isreg():
            self._file(parent, name, info)
        elif info.isdir():
            self._directory(parent, name, info, shown)
        else:
            self._put(_encode(info))

    def _header(self, parent: int, name: str, shown: str, found: os.stat_result) -> tarfile.TarInfo:
        info = tarfile.TarInfo(shown)
        info.mode = stat.S_IMODE(found.st_mode)
        info.uid, info.gid = found.st_uid, found.st_gid
        info.mtime = found.st_mtime_ns // 1_000_000_000
        kind = stat.S_IFMT(found.st_mode)
        key = (found.st_dev, found.st_ino)
        if kind == stat.S_IFDIR:
            info.type = tarfile.DIRTYPE
        elif kind == stat.S_IFLNK:
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
        elif found.st_nlink > 1 and key in self._links:
            info.type, info.linkname = tarfile.LNKTYPE, self._links[key]
        elif kind == stat.S_IFREG:
            info.type, info.size = tarfile.REGTYPE, found.st_size
        elif kind == stat.S_IFIFO:
            info.type = tarfile.FIFOTYPE
        else:
            info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
            info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
        if found.st_nlink > 1 and kind != stat.S_IFDIR:
            self._links.setdefault(key, shown)
        return info

    def _directory(self, parent: int, name: str, info: tarfile.TarInfo, shown: str) -> None:
        below = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._put(_encode(info))
            for child in sorted(os.listdir(below)):
                try:
                    self._entry(below, child, f"{shown}/{child}")
                except FileNotFoundError:
                    continue  # removed meanwhile
        finally:
            os.close(below)

    def _file(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=parent)
        try:
            headers: dict[str, str] = {}
            for attribute in os.listxattr(descriptor):
                if attribute.startswith(_KEPT_XATTRS):
                    value = os.getxattr(descriptor, attribute)
                    headers[_XATTR + attribute] = value.decode("utf-8", "surrogateescape")
            info.pax_headers = headers
            self._put(_encode(info))
            left = info.size
            while left:
                sent = os.sendfile(self._output, descriptor, None, min(left, _CHUNK))
                if not sent:
                    break
                left -= sent
            # A file that shrank meanwhile is filled up; one that grew is cut: the header is out already.
            while left:
                part = min(left, _CHUNK)
                self._put(b"\0" * part)
                left -= part
            self._put(b"\0" * (-info.size % 512))
        finally:
            os.close(descriptor)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._output, view) :]


def _encode(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


# In


class Unpacker:
    """Unpacks a tar into a directory of a container."""

    def __init__(self, root: int, directory: str, no_overwrite_dir_non_dir: bool) -> None:
        """Take an existing directory. Raises ContainerError, OSError."""
        self._root = root
        self._strict = no_overwrite_dir_non_dir
        status = openat2.open_path(root, directory)
        try:
            if not stat.S_ISDIR(os.fstat(status).st_mode):
                raise ContainerError("extraction point is not a directory", "NOT_A_DIRECTORY")
        finally:
            os.close(status)
        self._directory = directory.rstrip("/")
        self._times: list[tuple[str, int]] = []

    def unpack(self, stream: IO[bytes]) -> None:
        """Unpack everything. Raises ContainerError, OSError."""
        try:
            with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as archive:
                for member in archive:
                    self._member(archive, member)
        except tarfile.TarError as error:
            raise ContainerError(f"invalid tar header: {error}", "INVALID_ARCHIVE") from None
        for path, modified in reversed(self._times):
            descriptor = openat2.openat2(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
            os.utime(descriptor, ns=(modified, modified))
            os.close(descriptor)
        while stream.read(_CHUNK):
            pass  # what is behind the end mark

    def _path_of(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ContainerError(f'"{name}" is outside of "{self._directory or "/"}"', "INVALID_ARCHIVE")
        return "/".join(parts)

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        relative = self._path_of(member.name)
        if not relative:
            return  # the directory itself, which is there
        above, _, name = relative.rpartition("/")
        parent = openat2.make_directories(self._root, f"{self._directory}/{above}")
        try:
            self._clear(parent, name, member, relative)
            self._make(archive, member, parent, name)
            self._finish(member, parent, name, relative)
        finally:
            os.close(parent)

    def _clear(self, parent: int, name: str, member: tarfile.TarInfo, relative: str) -> None:
        """Remove what is in the way; a directory stays for a directory."""
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        is_directory = stat.S_ISDIR(found.st_mode)
        shown = f"{self._directory}/{relative}"
        if self._strict and is_directory and not member.isdir():
            raise ContainerError(f'cannot overwrite directory "{shown}" with non-directory', "CONFLICT")
        if self._strict and not is_directory and member.isdir():
            raise ContainerError(f'cannot overwrite non-directory "{shown}" with directory', "CONFLICT")
        if is_directory and member.isdir():
            return
        if is_directory:
            remove_tree(parent, name)
        else:
            os.unlink(name, dir_fd=parent)

    def _make(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        if member.isdir():
            try:
                os.mkdir(name, 0o755, dir_fd=parent)
            except FileExistsError:
                pass
        elif member.isreg():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
            with os.fdopen(descriptor, "wb", buffering=0) as output:
                source = archive.extractfile(member)
                while source is not None and (data := source.read(_CHUNK)):
                    view = memoryview(data)
                    while view:
                        view = view[output.write(view) :]
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            self._hard_link(member, parent, name)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif member.isdev():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent)

    def _hard_link(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        above, _, last = self._path_of(member.linkname).rpartition("/")
        where = openat2.openat2(self._root, f"{self._directory}/{above}", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(last, name, src_dir_fd=where, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(where)

    def _finish(self, member: tarfile.TarInfo, parent: int, name: str, relative: str) -> None:
        """Give owner, mode, attributes and time; the last for directories when all is in them."""
        if member.islnk():
            return
        os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        modified = int(member.mtime * 1_000_000_000)
        if member.issym():
            os.utime(name, ns=(modified, modified), dir_fd=parent, follow_symlinks=False)
            return
        # Nothing else can be at this name: we have just made it, and links were never followed.
        os.chmod(name, member.mode & 0o7777, dir_fd=parent)
        if member.isreg():
            self._attributes(member, parent, name)
        if member.isdir():
            self._times.append((f"{self._directory}/{relative}", modified))
        else:
            os.utime(name, ns=(modified, modified), dir_fd=parent, follow_symlinks=False)

    def _attributes(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        wanted = {
            key.removeprefix(_XATTR): value
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR) and key.removeprefix(_XATTR).startswith(_KEPT_XATTRS)
        }
        if not wanted:
            return
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            for key, value in wanted.items():
                os.setxattr(descriptor, key, value.encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)


def remove_tree(parent: int, name: str) -> None:
    """Remove a directory with all below, by descriptors. Raises OSError."""
    directory = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        for child in os.listdir(directory):
            if stat.S_ISDIR(os.stat(child, dir_fd=directory, follow_symlinks=False).st_mode):
                remove_tree(directory, child)
            else:
                os.unlink(child, dir_fd=directory)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)
