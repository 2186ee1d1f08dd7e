"""What trine-oci knows of a container: a directory below --root, and what the kernel says.

The directory has ``config.json`` (as the bundle's was at create), ``state.json`` (whole or not there)
and ``gate`` (a socket the waiting init listens at). Whether a container is created, running or stopped
is never written down: the process is there or not, its gate listens or not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import string
import time
from collections.abc import Iterator
from typing import Any

from trine.linux import process
from trine.runtime.cgroups import layout
from trine.runtime.cgroups.group import Group
from trine.runtime.failure import ContainerError

DEFAULT_ROOT = "/run/trine-oci"
_ID_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_+.-")
CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"


class Record:
    """One container's directory."""

    def __init__(self, root: str, container_id: str) -> None:
        """Touch nothing. Raises ContainerError for an id that is none."""
        if not container_id or not _ID_CHARACTERS.issuperset(container_id) or container_id in (".", ".."):
            raise ContainerError(f"invalid container id format: {container_id!r}")
        self.id = container_id
        self.directory = os.path.join(os.path.abspath(root), container_id)
        self.data: dict[str, Any] = {}

    @classmethod
    def load(cls, root: str, container_id: str) -> Record:
        """Return the record of a container there is. Raises ContainerError: "container does not exist"."""
        record = cls(root, container_id)
        try:
            with open(f"{record.directory}/state.json", "rb") as stream:
                record.data = json.load(stream)
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerError("container does not exist", "NOT_FOUND") from None
        except ValueError:
            raise ContainerError(f"state of container {container_id} cannot be read") from None
        return record

    @classmethod
    def all(cls, root: str) -> list[Record]:
        """Return the records of every container, by id; a half-made one is left out."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(root)):
                with contextlib.suppress(ContainerError):
                    found.append(cls.load(root, name))
        return found

    def claim(self) -> int:
        """Make the directory for a new container; return a lock to keep open while creating.

        What a killed create left (no state.json, no lock) is taken over.

        Raises:
            ContainerError: "container with given ID already exists".
        """
        os.makedirs(os.path.dirname(self.directory), mode=0o711, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.directory, 0o700)
        lock = os.open(f"{self.directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = os.path.exists(f"{self.directory}/state.json")
        except BlockingIOError:
            taken = True
        if taken:
            os.close(lock)
            raise ContainerError("container with given ID already exists")
        return lock

    def save(self) -> None:
        """Write state.json, whole or not at all."""
        self.write("state.json", self.data)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file of the directory, whole or not at all."""
        temporary = f"{self.directory}/.{name}.{os.getpid()}"
        with open(temporary, "w") as stream:
            json.dump(content, stream)
        os.rename(temporary, f"{self.directory}/{name}")

    def config(self) -> dict[str, Any]:
        """Return the configuration it was made from. Raises ContainerError."""
        try:
            with open(f"{self.directory}/config.json", "rb") as stream:
                found: dict[str, Any] = json.load(stream)
                return found
        except (OSError, ValueError) as error:
            raise ContainerError(f"configuration of container {self.id} cannot be read: {error}") from None

    @property
    def pid(self) -> int:
        """Return the number its first process has or had on the host."""
        return int(self.data.get("pid", 0))

    def group(self) -> Group:
        """Return its cgroup."""
        return Group(layout.detect(), self.data["cgroup"])

    def pidfd(self) -> int:
        """Return a pidfd of its first process, never of another one with the same number.

        Raises:
            ContainerError: "container not running".
        """
        try:
            descriptor = process.pidfd_open(self.pid)
        except OSError:
            raise ContainerError("container not running", "NOT_RUNNING") from None
        if alive(self.pid, self.data["start_time"]):
            return descriptor
        os.close(descriptor)
        raise ContainerError("container not running", "NOT_RUNNING")

    def status(self) -> str:
        """Return created, running, paused or stopped (or creating) by asking the kernel."""
        if not alive(self.pid, self.data.get("start_time", 0)):
            return STOPPED
        if self.data.get("creating"):
            return CREATING
        with contextlib.suppress(OSError):
            if self.group().frozen():
                return PAUSED
        try:
            self.connect().close()
            return CREATED
        except OSError:
            return RUNNING

    def listen(self) -> socket.socket:
        """Return the gate: init accepts at it until somebody says go."""
        gate = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.directory}/gate")
        with self._short_path() as directory:
            gate.bind(f"{directory}/gate")
        gate.listen(16)
        return gate

    def connect(self) -> socket.socket:
        """Return a connection to the waiting init. Raises OSError when nobody waits any more."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            with self._short_path() as directory:
                connection.connect(f"{directory}/gate")
        except OSError:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _short_path(self) -> Iterator[str]:
        """Yield a path to the directory that is short enough for sun_path (108 bytes), however deep it is."""
        directory = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{directory}"
        finally:
            os.close(directory)

    def remove(self) -> None:
        """Remove the directory; what is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.directory}/state.json")  # from here on there is no such container
        with contextlib.suppress(OSError):
            for name in os.listdir(self.directory):
                os.unlink(f"{self.directory}/{name}")
            os.rmdir(self.directory)

    def summary(self) -> dict[str, Any]:
        """Return the state as the runtime spec wants it (runtime.md, "State"), with runc's additions."""
        status = self.status()
        return {
            "ociVersion": self.data["ociVersion"],
            "id": self.id,
            "pid": 0 if status == STOPPED else self.pid,
            "status": status,
            "bundle": self.data["bundle"],
            "rootfs": self.data["rootfs"],
            "created": self.data["created"],
            "annotations": self.data.get("annotations") or {},
            "owner": "",
        }


def alive(pid: int, start_time: int) -> bool:
    """Tell whether the process that started then runs; a zombie does not (proc_pid_stat(5))."""
    found = stat_of(pid)
    return found is not None and found[0] not in ("Z", "X") and found[1] == start_time


def stat_of(pid: int) -> tuple[str, int] | None:
    """Return (state letter, start time in ticks) of a process, None when there is none."""
    try:
        with open(f"/proc/{pid}/stat") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[19])


def now() -> str:
    """Return the time as RFC 3339 in UTC."""
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanos:09d}Z"
