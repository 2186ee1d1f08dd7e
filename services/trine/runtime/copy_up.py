"""Fills an empty volume with what the image has at its target, before the volume hides it. Lean.

As Docker does on first use of a volume: owners, modes, times, links, devices and extended attributes
are kept. Only descriptors are walked, links are never followed.
"""

from __future__ import annotations

import os
import stat

from trine.linux import openat2


def fill(root: int, target: str, volume: int) -> None:
    """Copy the directory ``target`` of ``root`` into ``volume`` (O_PATH), when that is empty.

    Nothing is done when the image has no directory there. Raises OSError; what was copied is taken
    back then, so that the next start tries again.
    """
    try:
        source = openat2.openat2(root, target, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    destination = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=volume)
    try:
        if _names(destination):
            return
        links: dict[tuple[int, int], tuple[int, str]] = {}
        try:
            _copy_directory(source, destination, links)
            _copy_status(source, destination)
        except BaseException:
            _remove_content(destination)
            raise
        finally:
            for directory, _ in links.values():
                os.close(directory)
        os.fsync(destination)
    finally:
        os.close(destination)
        os.close(source)


def _names(directory: int) -> list[str]:
    """Return what a directory holds; an ext4 volume's lost+found does not count, as in Docker."""
    return [name for name in os.listdir(directory) if name != "lost+found"]


def _copy_directory(source: int, destination: int, links: dict[tuple[int, int], tuple[int, str]]) -> None:
    for name in os.listdir(source):
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=destination)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below, copy = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=destination)
            try:
                _copy_directory(below, copy, links)
                _copy_status(below, copy)
            finally:
                os.close(below)
                os.close(copy)
            continue
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in links:
            directory, first = links[key]
            os.link(first, name, src_dir_fd=directory, dst_dir_fd=destination, follow_symlinks=False)
            continue
        if kind == stat.S_IFREG:
            _copy_file(name, source, destination)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=destination)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=destination, follow_symlinks=False)
            times = (found.st_atime_ns, found.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=destination, follow_symlinks=False)
        elif kind != stat.S_IFSOCK:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=destination)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=destination, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=destination)
        else:
            continue
        if found.st_nlink > 1:
            links[key] = (os.dup(destination), name)


def _copy_file(name: str, source: int, destination: int) -> None:
    read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        write = os.open(name, flags, 0o600, dir_fd=destination)
        try:
            while os.sendfile(write, read, None, 1 << 24):
                pass
            _copy_status(read, write)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _copy_status(source: int, destination: int) -> None:
    """Copy owner, mode, extended attributes and times from one open file or directory to another."""
    found = os.fstat(source)
    os.fchown(destination, found.st_uid, found.st_gid)
    os.fchmod(destination, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if name.startswith("trusted.overlay."):
            continue
        try:
            os.setxattr(destination, name, os.getxattr(source, name))
        except OSError:
            continue  # the volume's file system may know fewer kinds
    os.utime(destination, ns=(found.st_atime_ns, found.st_mtime_ns))


def _remove_content(directory: int) -> None:
    for name in _names(directory):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=directory)
            continue
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        below = os.open(name, flags, dir_fd=directory)
        try:
            _remove_content(below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=directory)
