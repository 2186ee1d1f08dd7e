"""One container's control group on this host: made, filled, frozen, killed, limited, removed.

A group is a directory of the same name below every mounted hierarchy. Nothing is kept in memory that
the kernel does not know: any process that knows the path can go on where another one died.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal as signals
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from trine.linux import bpf
from trine.runtime.cgroups import device_program, limits, plan
from trine.runtime.cgroups.layout import CgroupError, Layout

_SUBSTITUTES = {"blkio.bfq.weight": "blkio.weight", "blkio.bfq.weight_device": "blkio.weight_device"}
_GONE = (FileNotFoundError, ProcessLookupError, NotADirectoryError)
_PATIENCE_SECONDS = 5.0


class Group:
    """The cgroup ``path`` ("/trine/<id>") in every hierarchy of a layout."""

    def __init__(self, layout: Layout, path: str) -> None:
        """Touch nothing yet.

        Raises:
            CgroupError: a path that is not absolute or climbs out.
        """
        parts = path.split("/")
        if not path.startswith("/") or ".." in parts or not path.strip("/"):
            raise CgroupError(errno.EINVAL, f"invalid cgroup path: {path}")
        self.layout = layout
        self.path = "/" + "/".join(part for part in parts if part not in ("", "."))
        self.directories = [root + self.path for root in layout.roots()]

    def exists(self) -> bool:
        """Tell whether any directory of it is there."""
        return any(os.path.isdir(directory) for directory in self.directories)

    def directory(self, controller: str) -> str:
        """Return the directory where a controller is, "" when it is not mounted."""
        root = self.layout.root_of(controller)
        return root + self.path if root else ""

    def create(self, resources: Mapping[str, Any] | None = None) -> list[str]:
        """Make every directory, then set limits; one that is there is taken as it is.

        Args:
            resources: an OCI linux.resources, devices included.

        Returns:
            Warnings for the user about limits this kernel does not have.

        Raises:
            CgroupError: after removing the directories it made.
        """
        made: list[str] = []
        try:
            for root, directory in zip(self.layout.roots(), self.directories, strict=True):
                self._make(root, directory, made)
            return self.apply(resources or {})
        except OSError as error:
            for directory in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
            if isinstance(error, CgroupError):
                raise
            raise CgroupError(error.errno, f"cannot make cgroup {self.path}: {error.strerror}") from None

    def apply(self, resources: Mapping[str, Any]) -> list[str]:
        """Set the limits that ``resources`` names and leave the others; returns warnings.

        Raises:
            CgroupError: the kernel refuses a value.
        """
        writes = plan.for_v1(resources) if self.layout.has_v1 else plan.for_v2(resources)
        lacking: dict[str, None] = {}
        again: list[plan.Write] = []
        for write in writes:
            self._write(write, lacking, retry=again)
        for write in again:
            self._write(write, lacking)
        if not self.layout.has_v1 and resources.get("devices"):
            self._set_device_program(resources["devices"])
        return [limits.warning(feature) for feature in lacking]

    def join(self, pid: int = 0) -> None:
        """Move a process (0: the caller) into every directory, one write right behind the other.

        Raises:
            CgroupError: it cannot be moved; ProcessLookupError: there is none.
        """
        text = str(pid).encode()
        opened: list[int] = []
        try:
            for directory in self.directories:
                opened.append(os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
            for descriptor in opened:
                os.write(descriptor, text)
        except ProcessLookupError:
            raise
        except OSError as error:
            raise CgroupError(
                error.errno, f"cannot move process {pid} to cgroup {self.path}: {error.strerror}"
            ) from None
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def pids(self) -> list[int]:
        """Return the processes in it and in all cgroups below, each once."""
        found: dict[int, None] = {}
        for directory in self._member_directories():
            for inner in _tree(directory):
                with contextlib.suppress(OSError), open(f"{inner}/cgroup.procs") as stream:
                    found.update((int(line), None) for line in stream)
        found.pop(0, None)  # processes of a PID namespace we cannot see
        return list(found)

    def freeze(self) -> None:
        """Stop every process and return when all have stopped.

        Raises:
            CgroupError: no freezer here, or one does not stop (it waits in the kernel) within 5 s; then
                all are let go again.
        """
        if self.directory("freezer") and self.layout.has_v1:
            state = f"{self.directory('freezer')}/freezer.state"
            self._until(lambda: _frozen_v1(state))
        else:
            where = self._unified_directory()
            _put(f"{where}/cgroup.freeze", "1")
            self._until(lambda: "frozen 1" in _get(f"{where}/cgroup.events"))

    def thaw(self) -> None:
        """Let every process go on; harmless when they do. Raises CgroupError without a freezer."""
        if self.directory("freezer") and self.layout.has_v1:
            _put(f"{self.directory('freezer')}/freezer.state", "THAWED")
        else:
            _put(f"{self._unified_directory()}/cgroup.freeze", "0")

    def frozen(self) -> bool:
        """Tell whether it is frozen, or on the way there."""
        try:
            if self.directory("freezer") and self.layout.has_v1:
                return _get(f"{self.directory('freezer')}/freezer.state") != "THAWED"
            return _get(f"{self._unified_directory()}/cgroup.freeze") == "1"
        except OSError:
            return False

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to every process in it and below; none escapes by forking meanwhile."""
        if signal == signals.SIGKILL and self.layout.unified:
            with contextlib.suppress(OSError):
                _put(f"{self._unified_directory()}/cgroup.kill", "1")
        if not self.pids():
            return
        was_frozen = self.frozen()
        with contextlib.suppress(OSError):
            if not was_frozen:
                self.freeze()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal)
        if signal == signals.SIGKILL or not was_frozen:
            with contextlib.suppress(OSError):
                self.thaw()

    def wait_empty(self, seconds: float = _PATIENCE_SECONDS) -> bool:
        """Wait until no process is in it; False when some still are after ``seconds``."""
        end = time.monotonic() + seconds
        pause = 0.0005
        while self.pids():
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True

    def delete(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """Remove it with all cgroups below; what is not there is no error.

        Raises:
            CgroupError: a process is still in it after ``seconds`` (a killed one takes its time).
        """
        end = time.monotonic() + seconds
        pause = 0.0005
        left = list(self.directories)
        while True:
            left = [directory for directory in left if not _remove_tree(directory)]
            if not left:
                return
            if time.monotonic() > end:
                raise CgroupError(errno.EBUSY, f"cgroup {self.path} is in use: {left[0]}")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def oom_kills(self) -> int:
        """Return how many processes of it were killed for memory since it was made; 0 when unknown."""
        file = "memory.oom_control" if self.layout.has_v1 else "memory.events"
        try:
            for line in _get(f"{self.directory('memory')}/{file}").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        except OSError:
            pass
        return 0

    def oom_watch(self) -> int:
        """Return a descriptor that becomes readable when memory runs out (also when the cgroup goes).

        Version 1: an eventfd of memory.oom_control; version 2: an inotify of memory.events. After it
        became readable: read it, then ask ``oom_kills``. The caller closes it.

        Raises:
            OSError: there is no memory controller here.
        """
        where = self.directory("memory")
        if not where:
            raise CgroupError(errno.ENOENT, "the memory cgroup is not mounted")
        if self.layout.has_v1:
            event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            try:
                control = os.open(f"{where}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    _put(f"{where}/cgroup.event_control", f"{event} {control}")
                finally:
                    os.close(control)
            except OSError:
                os.close(event)
                raise
            return event
        from trine.linux import inotify  # only here: version 1 hosts never need it

        watcher = inotify.open_inotify()
        try:
            inotify.add_watch(watcher, f"{where}/memory.events", inotify.IN_MODIFY)
        except OSError:
            os.close(watcher)
            raise
        return watcher

    def _member_directories(self) -> list[str]:
        """Return the hierarchies to ask for members: one is enough, two where both kinds are."""
        if not self.layout.has_v1:
            return [self._unified_directory()]
        wanted = [self.directory("freezer") or self.directory("pids") or self.directories[0]]
        if self.layout.unified:
            wanted.append(self._unified_directory())
        return wanted

    def _unified_directory(self) -> str:
        if not self.layout.unified:
            raise CgroupError(errno.ENOENT, "the freezer cgroup is not mounted")
        return self.layout.unified + self.path

    def _make(self, root: str, directory: str, made: list[str]) -> None:
        cpuset = root == self.layout.hierarchies.get("cpuset")
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            return
        except FileNotFoundError:
            # The first container below this parent: make the parents level by level.
            parent = root
            for part in self.path.strip("/").split("/")[:-1]:
                if not self.layout.has_v1:
                    self._delegate(parent)
                parent = f"{parent}/{part}"
                with contextlib.suppress(FileExistsError):
                    os.mkdir(parent, 0o755)
                if cpuset:
                    _inherit_cpuset(parent, root)
            if not self.layout.has_v1:
                self._delegate(parent)
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o755)
        made.append(directory)
        if cpuset:
            _inherit_cpuset(directory, root)

    def _delegate(self, directory: str) -> None:
        """Turn on all controllers for the children of a version 2 directory, as far as they go."""
        with contextlib.suppress(OSError):
            wanted = set(_get(f"{directory}/cgroup.controllers").split())
            wanted -= set(_get(f"{directory}/cgroup.subtree_control").split())
            for name in sorted(wanted):
                with contextlib.suppress(OSError):
                    _put(f"{directory}/cgroup.subtree_control", f"+{name}")

    def _write(
        self, write: plan.Write, lacking: dict[str, None], retry: list[plan.Write] | None = None
    ) -> None:
        """Do one write. A missing file is noted in ``lacking``, one refused for now in ``retry``."""
        where = self.directory(write.controller)
        if not where:
            lacking[write.feature] = None
            return
        try:
            _put(f"{where}/{write.file}", write.value)
        except OSError as error:
            if error.errno == errno.ENOENT and write.file in _SUBSTITUTES:
                other = plan.Write(write.controller, _SUBSTITUTES[write.file], write.value, write.feature)
                self._write(other, lacking, retry)
            elif error.errno in (errno.ENOENT, errno.EOPNOTSUPP, 524):  # 524: the kernel's own ENOTSUPP
                lacking[write.feature] = None
            elif error.errno in (errno.EINVAL, errno.EBUSY) and retry is not None:
                retry.append(write)
            else:
                raise CgroupError(error.errno, self._refusal(write, where, error)) from None

    def _refusal(self, write: plan.Write, where: str, error: OSError) -> str:
        if write.file == "memory.limit_in_bytes" and error.errno == errno.EBUSY:
            with contextlib.suppress(OSError):
                usage = _get(f"{where}/memory.usage_in_bytes")
                peak = _get(f"{where}/memory.max_usage_in_bytes")
                return (
                    f"unable to set memory limit to {write.value} "
                    f"(current usage: {usage}, peak usage: {peak})"
                )
        return f'failed to write "{write.value}" to "{where}/{write.file}": {(error.strerror or "").lower()}'

    def _set_device_program(self, rules: Iterable[Mapping[str, Any]]) -> None:
        directory = os.open(self._unified_directory(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            bpf.set_device_program(directory, device_program.build(rules))
        except OSError as error:
            raise CgroupError(error.errno, f"cannot set device rules: {error.strerror}") from None
        finally:
            os.close(directory)

    def _until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.0002
        while not done():
            if time.monotonic() > end:
                self.thaw()
                raise CgroupError(errno.EBUSY, "unable to freeze")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


def _put(file: str, value: str) -> None:
    """Write a value in one write(2), as the kernel wants it."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _get(file: str) -> str:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16).decode().strip()
    finally:
        os.close(descriptor)


def _frozen_v1(state: str) -> bool:
    """Ask once more for the freeze (a process forked meanwhile slips through one) and tell whether it is."""
    _put(state, "FROZEN")
    return _get(state) == "FROZEN"


def _inherit_cpuset(directory: str, root: str) -> None:
    """Give a new version 1 cpuset its parent's CPUs and nodes: it is born empty and takes no process.

    Whoever made the parent a moment ago may not have come to that yet: then it is done here, too.
    """
    parent = os.path.dirname(directory)
    for name in ("cpuset.cpus", "cpuset.mems"):
        if _get(f"{directory}/{name}"):
            continue
        if not _get(f"{parent}/{name}") and parent != root:
            _inherit_cpuset(parent, root)
        _put(f"{directory}/{name}", _get(f"{parent}/{name}"))


def _tree(directory: str) -> Iterator[str]:
    """Yield a directory's cgroups bottom-up, itself last; nothing when it is not there."""
    try:
        with os.scandir(directory) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except _GONE:
        return
    for child in children:
        yield from _tree(child)
    yield directory


def _remove_tree(directory: str) -> bool:
    """Remove a cgroup and all below; False when one is in use."""
    try:
        os.rmdir(directory)  # nearly always there is nothing below: spare the scan
        return True
    except _GONE:
        return True
    except OSError:
        pass
    for inner in _tree(directory):
        try:
            os.rmdir(inner)
        except _GONE:
            continue
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise CgroupError(error.errno, f"cannot remove {inner}: {error.strerror}") from None
            return False
    return True
