"""Network namespaces in a thread: make one, visit one, pin one to a file (network_namespaces(7)).

setns(2) and unshare(2) of CLONE_NEWNET change only the calling thread, so a process with many threads
may do it; CLONE_NEWNS and the others may not be changed there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from trine.linux import mount, namespaces

NSFS_MAGIC = 0x6E736673
_SELF = "/proc/thread-self/ns/net"


def open_current() -> int:
    """Return a descriptor of the namespace this thread is in. Raises OSError."""
    return os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)


def open_pin(path: str) -> int:
    """Open a pinned namespace; raises OSError, also (EINVAL) when the file is no namespace."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not is_namespace(descriptor):
        os.close(descriptor)
        raise OSError(22, "not a network namespace", path)
    return descriptor


def is_namespace(descriptor: int) -> bool:
    """Tell whether an open file is on nsfs (fstatfs(2)): a bind mount that is gone leaves a plain file."""
    return mount.filesystem_type(descriptor) == NSFS_MAGIC


def enter(descriptor: int) -> None:
    """Move this thread to a namespace (setns(2)). Raises OSError."""
    namespaces.setns(descriptor, namespaces.CLONE_NEWNET)


@contextmanager
def fresh(home: int) -> Iterator[int]:
    """Run the body in a new namespace and give its descriptor; back in ``home`` afterwards.

    The descriptor is closed at the end: pin the namespace or keep a socket of it to keep it alive.
    Raises OSError.
    """
    namespaces.unshare(namespaces.CLONE_NEWNET)
    try:
        descriptor = open_current()
    except BaseException:
        enter(home)
        raise
    try:
        yield descriptor
    finally:
        enter(home)
        os.close(descriptor)


@contextmanager
def inside(descriptor: int, home: int) -> Iterator[None]:
    """Run the body in another namespace, back in ``home`` afterwards. Raises OSError."""
    enter(descriptor)
    try:
        yield
    finally:
        enter(home)


def pin(descriptor: int, path: str) -> None:
    """Keep a namespace alive by a bind mount at ``path``, which must not exist. Raises OSError.

    Killed between the two steps, a plain empty file is left: ``open_pin`` refuses it, ``unpin`` removes it.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    try:
        mount.mount(f"/proc/thread-self/fd/{descriptor}", path, "", mount.MS_BIND)
    except BaseException:
        os.unlink(path)
        raise


def unpin(path: str) -> None:
    """Take the pin away, mounted or not, there or not. Raises OSError when it cannot."""
    while True:
        try:
            mount.unmount(path, mount.MNT_DETACH)
        except OSError:
            break
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
