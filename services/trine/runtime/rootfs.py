"""A container's file system: mounts, devices, masks and pivot_root, from an OCI configuration. Lean.

Runs in init, in a fresh mount namespace. Every target is resolved once by openat2 in the new root
and the mount attached to that descriptor, so a link planted by an image can't lead out of it.
Descriptors of bind mounts' sources are taken first, while the host's tree is still whole.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

from trine.linux import mount as mounts
from trine.linux import openat2, tty
from trine.runtime import mount_checks
from trine.runtime.failure import ContainerError, describe, quote

_ATTRIBUTES = {
    "ro": (mounts.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mounts.MOUNT_ATTR_RDONLY),
    "nosuid": (mounts.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mounts.MOUNT_ATTR_NOSUID),
    "nodev": (mounts.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mounts.MOUNT_ATTR_NODEV),
    "noexec": (mounts.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mounts.MOUNT_ATTR_NOEXEC),
    "noatime": (mounts.MOUNT_ATTR_NOATIME, mounts.MOUNT_ATTR__ATIME),
    "relatime": (0, mounts.MOUNT_ATTR__ATIME),
    "strictatime": (mounts.MOUNT_ATTR_STRICTATIME, mounts.MOUNT_ATTR__ATIME),
    "nodiratime": (mounts.MOUNT_ATTR_NODIRATIME, 0),
}
_PROPAGATION = {
    "private": (mounts.MS_PRIVATE, False),
    "rprivate": (mounts.MS_PRIVATE, True),
    "shared": (mounts.MS_SHARED, False),
    "rshared": (mounts.MS_SHARED, True),
    "slave": (mounts.MS_SLAVE, False),
    "rslave": (mounts.MS_SLAVE, True),
    "unbindable": (mounts.MS_UNBINDABLE, False),
    "runbindable": (mounts.MS_UNBINDABLE, True),
}
_IGNORED = frozenset({"newinstance", "bind", "rbind", "defaults", "tmpcopyup", "diratime", "async"})
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
)


class Options:
    """The options of one OCI mount, sorted by what they mean."""

    def __init__(self, names: list[str]) -> None:
        self.set = 0
        self.clear = 0
        self.propagation: list[tuple[int, bool]] = []
        self.data: list[tuple[str, str | None]] = []
        self.recursive = "rbind" in names
        for name in names:
            if name in _ATTRIBUTES:
                bits, cleared = _ATTRIBUTES[name]
                self.set = self.set & ~cleared | bits
                self.clear = self.clear & ~bits | cleared
            elif name in _PROPAGATION:
                self.propagation.append(_PROPAGATION[name])
            elif name not in _IGNORED:
                key, separator, value = name.partition("=")
                self.data.append((key, value if separator else None))


def is_bind(entry: dict[str, Any]) -> bool:
    """Tell whether an OCI mount is a bind mount."""
    options = entry.get("options") or []
    return entry.get("type") == "bind" or "bind" in options or "rbind" in options


def is_cgroup(entry: dict[str, Any]) -> bool:
    """Tell whether an OCI mount must wait until init is in its cgroup."""
    destination = os.path.normpath(entry["destination"])
    return entry.get("type") in ("cgroup", "cgroup2") or f"{destination}/".startswith("/sys/fs/cgroup/")


def open_sources(entries: list[dict[str, Any]]) -> dict[int, int]:
    """Return detached copies of all bind sources by their number in ``entries``.

    Raises ContainerError when one is not there.
    """
    result: dict[int, int] = {}
    for number, entry in enumerate(entries):
        if not is_bind(entry):
            continue
        recursive = "rbind" in (entry.get("options") or [])
        try:
            result[number] = mounts.open_tree(mounts.AT_FDCWD, entry["source"], recursive=recursive)
        except OSError as error:
            raise mount_error(entry, f"stat {entry['source']}: {describe(error)}") from None
    return result


def mount_error(entry: dict[str, Any], text: str) -> ContainerError:
    """Return the error of one mount in runc's words."""
    source = quote(entry.get("source") or "")
    return ContainerError(
        f"error mounting {source} to rootfs at {quote(entry['destination'])}: {text}", "MOUNT_FAILED"
    )


def mount_root(config: dict[str, Any]) -> int:
    """Make everything private, mount the root file system at root.path; return an O_PATH descriptor of it.

    Raises ContainerError.
    """
    path = config["root"]["path"]
    overlay = (config.get("trine") or {}).get("overlay")
    try:
        if overlay:
            tree = mount_overlay(overlay)
        else:
            tree = mounts.open_tree(mounts.AT_FDCWD, path)
    except OSError as error:
        raise ContainerError(f"error creating overlay mount: {describe(error)}", "MOUNT_FAILED") from None
    mounts.mount("", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    target = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.attach(tree, target)
    os.close(target)
    os.close(tree)
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def mount_overlay(overlay: dict[str, Any]) -> int:
    """Return a detached overlay mount of {"lower": [topmost first], "upper", "work"}.

    One fsconfig per layer (Linux 6.7: any number of them); before that mount(2)'s one page of
    options, made to reach further by relative paths. Raises OSError.
    """
    lower, upper, work = list(overlay["lower"]), overlay.get("upper"), overlay.get("work")
    if not upper and len(lower) == 1:
        tree = mounts.open_tree(mounts.AT_FDCWD, lower[0], recursive=False)
        mounts.set_attributes(tree, set_bits=mounts.MOUNT_ATTR_RDONLY)
        return tree
    options: list[tuple[str, str | None]] = [("source", "overlay"), ("index", "off")]
    options += [("lowerdir+", path) for path in lower]
    if upper:
        options += [("upperdir", upper), ("workdir", work)]
    try:
        return mounts.new_filesystem("overlay", options)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.E2BIG, errno.ENOSYS):
            raise
    return _mount_overlay_old(lower, upper or "", work or "")


def _mount_overlay_old(lower: list[str], upper: str, work: str) -> int:
    def escape(path: str) -> str:
        return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")

    base = os.path.commonpath(lower)
    before = os.getcwd()
    os.chdir(base)
    try:
        data = "index=off,lowerdir=" + ":".join(escape(os.path.relpath(path, base)) for path in lower)
        if upper:
            data += f",upperdir={escape(upper)},workdir={escape(work)}"
        place = upper or lower[0]
        mounts.mount("overlay", place, "overlay", 0, data)
        tree = mounts.open_tree(mounts.AT_FDCWD, place, recursive=False)
        mounts.unmount(place, mounts.MNT_DETACH)
        return tree
    finally:
        os.chdir(before)


def mount_one(root: int, entry: dict[str, Any], source: int | None, copy: bool = False) -> None:
    """Mount one OCI mount at its destination in ``root``; ``source`` is the tree of a bind mount.

    With ``copy`` an empty source directory is first filled from what the image has there.
    Raises ContainerError.
    """
    options = Options(list(entry.get("options") or []))
    try:
        if source is not None:
            _mount_bind(root, entry, source, options, copy)
        else:
            _mount_new(root, entry, options)
    except OSError as error:
        raise mount_error(entry, describe(error)) from None


def _mount_bind(root: int, entry: dict[str, Any], source: int, options: Options, copy: bool) -> None:
    destination = entry["destination"]
    if stat.S_ISDIR(os.fstat(source).st_mode):
        target = openat2.make_directories(root, destination)
        if copy:
            from trine.runtime import copy_up

            copy_up.fill(root, destination, source)
    else:
        target = openat2.make_file(root, destination)
    if text := mount_checks.refusal(root, target, source, destination):
        raise mount_error(entry, text)
    if options.set or options.clear:
        mounts.set_attributes(
            source, set_bits=options.set, clear_bits=options.clear, recursive=options.recursive
        )
    for kind, recursive in options.propagation or [(mounts.MS_PRIVATE, True)]:
        mounts.set_attributes(source, propagation=kind, recursive=recursive)
    mounts.attach(source, target)
    os.close(target)
    os.close(source)


def _mount_new(root: int, entry: dict[str, Any], options: Options) -> None:
    kind, destination = entry["type"], entry["destination"]
    before = _mode_of(root, destination)
    if kind in ("proc", "sysfs"):
        target = _ordinary_directory(root, destination, kind)
    else:
        target = openat2.make_directories(root, destination)
    data = [("source", entry.get("source") or kind), *options.data]
    if kind == "tmpfs" and before is not None and not any(name == "mode" for name, _ in options.data):
        # As in runc: what the directory in the image has; a new one has the tmpfs's own 1777.
        data.append(("mode", f"{before:o}"))
    tree = mounts.new_filesystem(kind, data, options.set)
    for flag, recursive in options.propagation:
        mounts.set_attributes(tree, propagation=flag, recursive=recursive)
    mounts.attach(tree, target)
    os.close(tree)
    os.close(target)


def _mode_of(root: int, path: str) -> int | None:
    """Return the permissions of what is at a path in ``root``, None when nothing is."""
    try:
        found = openat2.open_path(root, path)
    except OSError:
        return None
    mode = stat.S_IMODE(os.fstat(found).st_mode)
    os.close(found)
    return mode


def _ordinary_directory(root: int, path: str, kind: str) -> int:
    """Return /proc or /sys itself, never what a link there points to (CVE-2019-19921)."""
    flags = os.O_PATH | os.O_DIRECTORY
    resolve = openat2.RESOLVE_IN_ROOT | openat2.RESOLVE_NO_SYMLINKS
    try:
        try:
            return openat2.openat2(root, path, flags, resolve=resolve)
        except FileNotFoundError:
            os.close(openat2.make_directories(root, path))
            return openat2.openat2(root, path, flags, resolve=resolve)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ContainerError(
                f'filesystem "{kind}" must be mounted on ordinary directory', "MOUNT_FAILED"
            ) from None
        raise


def leave_mark(root: int) -> None:
    """Make /.dockerenv, empty: programs look for it to know that they are in a container."""
    try:
        os.close(openat2.make_file(root, "/.dockerenv", 0o755))
    except OSError:
        pass  # a root that cannot be written to, or an image with something else there


def make_devices(root: int, entries: list[dict[str, Any]]) -> None:
    """Make the default device nodes and links in /dev, and ``entries`` (OCI linux.devices).

    Raises OSError.
    """
    dev = openat2.openat2(root, "/dev", os.O_PATH | os.O_DIRECTORY)
    previous = os.umask(0)
    try:
        for name, major, minor in _DEVICES:
            _make_node(root, f"/dev/{name}", stat.S_IFCHR | 0o666, major, minor, 0, 0)
        for name, target in _LINKS:
            if name == "core" and not os.path.exists(target):
                continue  # a kernel without it; runc makes no dangling link either
            try:
                os.symlink(target, name, dir_fd=dev)
            except FileExistsError:
                pass
        kinds = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
        for entry in entries:
            mode = kinds[entry["type"]] | (entry.get("fileMode", 0o666) & 0o7777)
            _make_node(
                root,
                entry["path"],
                mode,
                entry.get("major", 0),
                entry.get("minor", 0),
                entry.get("uid", 0) or 0,
                entry.get("gid", 0) or 0,
            )
    finally:
        os.umask(previous)
        os.close(dev)


def _make_node(root: int, path: str, mode: int, major: int, minor: int, uid: int, gid: int) -> None:
    parent, _, name = path.rpartition("/")
    directory = openat2.make_directories(root, parent or "/")
    try:
        try:
            os.mknod(name, mode, os.makedev(major, minor), dir_fd=directory)
        except FileExistsError:
            return
        if uid or gid:
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(directory)


def open_terminal(root: int) -> tuple[int, int]:
    """Return (master, slave) of a new PTY of the container's own devpts, slave also as /dev/console.

    Raises OSError.
    """
    multiplexer = openat2.openat2(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    master, slave = tty.pair_of(multiplexer)
    target = openat2.make_file(root, "/dev/console", 0o600)
    tree = mounts.open_tree(slave, "", recursive=False)
    mounts.attach(tree, target)
    os.close(tree)
    os.close(target)
    return master, slave


def mask(root: int, path: str) -> None:
    """Hide a file behind /dev/null, a directory behind an empty read-only tmpfs; missing is fine."""
    try:
        target = openat2.open_path(root, path)
    except OSError:
        return
    try:
        if stat.S_ISDIR(os.fstat(target).st_mode):
            tree = mounts.new_filesystem("tmpfs", [("source", "tmpfs")], mounts.MOUNT_ATTR_RDONLY)
        else:
            null = openat2.open_path(root, "/dev/null")
            tree = mounts.open_tree(null, "", recursive=False)
            os.close(null)
        mounts.attach(tree, target)
        os.close(tree)
    finally:
        os.close(target)


def make_read_only(root: int, path: str) -> None:
    """Bind a path over itself, read-only; missing is fine."""
    try:
        target = openat2.open_path(root, path)
    except OSError:
        return
    try:
        tree = mounts.open_tree(target, "")
        mounts.set_attributes(tree, set_bits=mounts.MOUNT_ATTR_RDONLY)
        mounts.attach(tree, target)
        os.close(tree)
    finally:
        os.close(target)


def write_sysctl(root: int, name: str, value: str) -> None:
    """Write one namespaced kernel setting, only when the file is really procfs. Raises ContainerError."""
    try:
        descriptor = openat2.openat2(root, "/proc/sys/" + name.replace(".", "/"), os.O_WRONLY)
        try:
            if not mount_checks.is_procfs(descriptor):
                raise OSError(errno.EPERM, "not procfs")
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ContainerError(
            f"open /proc/sys/{name.replace('.', '/')}: {describe(error)}", "INVALID_SYSCTL"
        ) from None


def set_names(hostname: str, domainname: str) -> None:
    """Set the UTS names (sethostname(2), setdomainname(2)). Raises OSError."""
    if hostname:
        socket.sethostname(hostname)
    if domainname:
        from trine.linux.syscalls import libc

        encoded = domainname.encode()
        libc.setdomainname(encoded, len(encoded))


def pivot(root: int) -> None:
    """Make ``root`` the root of this namespace and drop the old one (pivot_root(2), "." twice)."""
    os.fchdir(root)
    mounts.pivot_root(".", ".")
    mounts.unmount(".", mounts.MNT_DETACH)
    os.chdir("/")


def finish_root(read_only: bool, propagation: str) -> None:
    """Set the root mount's propagation and, if asked, make it read-only. Raises OSError."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    kind, _ = _PROPAGATION.get(propagation, (mounts.MS_PRIVATE, False))
    if kind == mounts.MS_SHARED:
        mounts.set_attributes(root, propagation=kind)
    if read_only:
        mounts.set_attributes(root, set_bits=mounts.MOUNT_ATTR_RDONLY)
    os.close(root)
