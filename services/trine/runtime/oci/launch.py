"""Making processes: create, start, exec, kill and delete of trine-oci, on the host's side."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from trine.linux import namespaces, process
from trine.runtime import devices, packets
from trine.runtime.cgroups import layout
from trine.runtime.cgroups.group import Group
from trine.runtime.failure import ContainerError, describe, from_dict
from trine.runtime.oci import child, hooks
from trine.runtime.oci import state as states
from trine.runtime.oci.foreground import send_master

FIRST_PRESERVED = 3
_PATIENCE_SECONDS = 10.0
Warn = Callable[[str], None]


def load_bundle(bundle: str) -> dict[str, Any]:
    """Return a bundle's configuration with host paths made absolute and checked. Raises ContainerError."""
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "rb") as stream:
            config = json.load(stream)
    except FileNotFoundError:
        raise ContainerError("JSON specification file config.json not found") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ContainerError(f"{path}: {error}") from None
    try:
        _check(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ContainerError(f"{path}: not a container's configuration: {error!r}") from None
    config["root"]["path"] = os.path.realpath(os.path.join(bundle, config["root"]["path"]))
    if not os.path.isdir(config["root"]["path"]):
        raise ContainerError(f'rootfs ("{config["root"]["path"]}") does not exist')
    for mount in config.setdefault("mounts", []):
        options = mount.get("options") or []
        if mount.get("type") == "bind" or "bind" in options or "rbind" in options:
            mount["source"] = os.path.join(bundle, mount["source"])
    return dict(config)


def _check(config: dict[str, Any]) -> None:
    if not config["process"]["args"]:
        raise ContainerError("args must not be empty")
    cwd = config["process"].setdefault("cwd", "/")
    if not cwd.startswith("/"):
        raise ContainerError("Cwd must be an absolute path")
    config["root"]["path"] += ""
    linux = config.setdefault("linux", {})
    kinds = [entry["type"] for entry in linux.setdefault("namespaces", [])]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ContainerError(f"duplicated namespace type {kind}")
        if kind not in namespaces.FLAGS:
            raise ContainerError(f"namespace type {kind} is not supported")
    if "user" in kinds or linux.get("uidMappings"):
        raise ContainerError("user namespaces are not supported")
    if "mount" not in kinds or any(n["type"] == "mount" and n.get("path") for n in linux["namespaces"]):
        raise ContainerError("a mount namespace of its own is needed")
    for mount in config.get("mounts") or []:
        if not mount["destination"].startswith("/"):
            mount["destination"] = "/" + mount["destination"]


def preserved(count: int) -> list[int]:
    """Return the descriptors to pass on (--preserve-fds, and systemd's LISTEN_FDS). Raises ContainerError."""
    listen = os.environ.get("LISTEN_FDS", "")
    count += int(listen) if listen.isdecimal() else 0
    found = list(range(FIRST_PRESERVED, FIRST_PRESERVED + count))
    for descriptor in found:
        try:
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
        except OSError:
            raise ContainerError(
                f"please check that preserved-fd {descriptor - FIRST_PRESERVED} (of {count}) is present"
            ) from None
    return found


def cgroup_path(config: Mapping[str, Any], container_id: str) -> str:
    """Return the cgroup: as configured, systemd's "slice:prefix:name" as directories, else our own."""
    path = config["linux"].get("cgroupsPath") or f"/trine-oci/{container_id}"
    if path.count(":") == 2 and "/" not in path:
        parent, prefix, name = path.split(":")
        unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
        path = f"/{parent or 'system.slice'}/{unit}"
    return path if path.startswith("/") else f"/{path}"


class Creation:
    """One container being made; undone unless it is finished."""

    def __init__(self, record: states.Record, config: dict[str, Any], bundle: str, warn: Warn) -> None:
        self.record = record
        self.config = config
        self.warn = warn
        self.master = -1
        self.pid = 0
        self._group = Group(layout.detect(), cgroup_path(config, record.id))
        record.data = {
            "ociVersion": config.get("ociVersion", "1.1.0"),
            "id": record.id,
            "bundle": bundle,
            "rootfs": config["root"]["path"],
            "created": states.now(),
            "annotations": config.get("annotations") or {},
            "cgroup": self._group.path,
            "pid": 0,
            "start_time": 0,
        }

    def make(self, console: str, preserved_descriptors: list[int], front: bool) -> None:
        """Make the container up to its start gate.

        Args:
            console: console socket for the terminal's master; empty: keep it in ``master``.
            preserved_descriptors: to pass on.
            front: the caller stays in front of it, so a terminal needs no console socket.

        Raises:
            ContainerError: after undoing everything.
        """
        terminal = bool(self.config["process"].get("terminal"))
        if terminal and not console and not front:
            raise ContainerError(
                "cannot allocate tty if trine-oci will detach without setting console socket"
            )
        if console and not terminal:
            raise ContainerError("cannot use console socket if trine-oci will not detach or allocate tty")
        lock = self.record.claim()
        if members := self._group.pids():
            # Not ours: we would limit, and in the end kill, somebody else's processes.
            os.close(lock)
            self.record.remove()
            raise ContainerError(f"container's cgroup is not empty: {len(members)} process(es) found")
        try:
            self._make(console, preserved_descriptors, terminal)
        except BaseException as error:
            self.undo()
            if isinstance(error, OSError) and not isinstance(error, ContainerError):
                text = describe(error)
                raise ContainerError(f"{error.filename}: {text}" if error.filename else text) from None
            raise
        finally:
            os.close(lock)

    def _make(self, console: str, preserved_descriptors: list[int], terminal: bool) -> None:
        record, config = self.record, self.config
        record.write("config.json", config)
        for warning in self._group.create(_resources(config)):
            self.warn(warning)
        gate = record.listen()
        mine, theirs = packets.pair()
        start = child.Start(
            config=config,
            container_id=record.id,
            sync=theirs,
            streams=None if terminal else (0, 1, 2),
            preserved=preserved_descriptors,
            gate=gate,
            state={key: record.data[key] for key in ("ociVersion", "id", "bundle", "annotations")},
        )
        self.pid = _clone(start, config["linux"]["namespaces"])
        theirs.close()
        gate.close()
        found = states.stat_of(self.pid)
        record.data.update(pid=self.pid, start_time=found[1] if found else 0, creating=True)
        record.save()
        self._group.join(self.pid)
        _set_oom_score(self.pid, config["process"].get("oomScoreAdj"))
        told = {**start.state, "pid": self.pid}
        if hooks.wanted(config, *hooks.BEFORE_PIVOT):
            self._until(mine, "mounted", console)
            for stage in hooks.BEFORE_PIVOT:
                hooks.run(config, stage, told, "creating")
        _say(mine, {"joined": True})
        self._until(mine, "ready", console)
        mine.close()
        del record.data["creating"]
        record.save()

    def _until(self, sync: socket.socket, word: str, console: str) -> None:
        """Listen to the child until it says a word; its terminal comes on the way."""
        while True:
            message, descriptors = packets.receive(sync)
            if message is None:
                raise ContainerError("container init died during its setup")
            if "error" in message:
                raise from_dict(message["error"])
            if "tty" in message and descriptors:
                self._take_terminal(descriptors[0], console)
            if word in message:
                return

    def _take_terminal(self, master: int, console: str) -> None:
        size = self.config["process"].get("consoleSize")
        if size:
            from trine.linux import tty

            tty.set_size(master, size.get("height", 0), size.get("width", 0))
        if console:
            send_master(console, master)
            os.close(master)
        else:
            self.master = master

    def undo(self) -> None:
        """Remove everything that was made."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            self._group.kill()
            self._group.delete()
        self.record.remove()


def _resources(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits; what every container may open is allowed whatever is said of devices, as in runc."""
    found = dict(config["linux"].get("resources") or {})
    if found.get("devices"):
        found["devices"] = [*found["devices"], *devices.DEFAULT_RULES[1:]]
    return found


def _clone(start: child.Start, entries: list[dict[str, Any]]) -> int:
    """Clone the first process into its namespaces; return its number."""
    joins: dict[str, int] = {}
    flags = namespaces.CLONE_NEWNS
    pid_namespace = -1
    for entry in entries:
        kind, path = entry["type"], entry.get("path")
        if kind in ("mount", "cgroup"):
            continue
        if not path:
            flags |= namespaces.FLAGS[kind]
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ContainerError(f"lstat {path}: {describe(error)}") from None
        if kind == "pid":
            pid_namespace = descriptor
        else:
            joins[kind] = descriptor
    if pid_namespace >= 0:
        namespaces.setns(pid_namespace, namespaces.CLONE_NEWPID)
        os.close(pid_namespace)
    pid, pidfd = process.clone(flags)
    if not pid:
        child.main(start._replace(joins=joins))
    os.close(pidfd)
    packets.close_all(list(joins.values()))
    return pid


def _say(sync: socket.socket, message: dict[str, Any]) -> None:
    """Send to a child; one that has died has said why before, so go on and read it."""
    with contextlib.suppress(OSError):
        packets.send(sync, message)


def _set_oom_score(pid: int, value: int | None) -> None:
    """Set oom_score_adj; one lower than ours needs CAP_SYS_RESOURCE, without it ours stays."""
    if value is None:
        return
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as stream:
        stream.write(str(value))


def start(record: states.Record) -> None:
    """Let the waiting init execute the process.

    Raises:
        ContainerError: it does not wait, or its command cannot be executed.
    """
    if record.status() == states.STOPPED:
        raise ContainerError("cannot start a container that has stopped")
    try:
        connection = record.connect()
    except OSError:
        raise ContainerError("cannot start an already running container") from None
    with connection:
        _say(connection, {"go": True})
        while True:
            message, _ = packets.receive(connection)
            if message is None:
                break  # execve closed its end
            if "error" in message:
                raise from_dict(message["error"])
    config = record.config()
    hooks.run(config, hooks.POST_START, _told(record), "running")


def _told(record: states.Record) -> dict[str, Any]:
    return {key: record.data[key] for key in ("ociVersion", "id", "bundle", "annotations", "pid")}


class Execution:
    """One more process in a running container."""

    def __init__(self, record: states.Record) -> None:
        self.record = record
        self.master = -1
        self.pid = 0

    def make(self, spec: dict[str, Any], console: str, preserved_descriptors: list[int], front: bool) -> None:
        """Run a process (OCI process object). Raises ContainerError."""
        terminal = bool(spec.get("terminal"))
        if terminal and not console and not front:
            raise ContainerError(
                "cannot allocate tty if trine-oci will detach without setting console socket"
            )
        config = self.record.config()
        config["process"] = spec
        first = self.record.pidfd()
        mine, theirs = packets.pair()
        start_of_child = child.Start(
            config=config,
            container_id=self.record.id,
            sync=theirs,
            streams=None if terminal else (0, 1, 2),
            preserved=preserved_descriptors,
            first=first,
        )
        namespaces.setns(first, namespaces.CLONE_NEWPID)
        self.pid, pidfd = process.clone(0)
        if not self.pid:
            child.main(start_of_child)
        theirs.close()
        os.close(first)
        try:
            self.record.group().join(self.pid)
            _set_oom_score(self.pid, spec.get("oomScoreAdj"))
            _say(mine, {"joined": True})
            self._until_executed(mine, console)
        except BaseException:
            with contextlib.suppress(OSError):
                process.pidfd_send_signal(pidfd, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            raise
        finally:
            mine.close()
            os.close(pidfd)

    def _until_executed(self, sync: socket.socket, console: str) -> None:
        while True:
            message, descriptors = packets.receive(sync)
            if message is None:
                return
            if "error" in message:
                raise from_dict(message["error"])
            if "tty" in message and descriptors:
                if console:
                    send_master(console, descriptors[0])
                    os.close(descriptors[0])
                else:
                    self.master = descriptors[0]
                _say(sync, {"tty": True})


def kill(record: states.Record, number: int, everybody: bool) -> None:
    """Send a signal to the first process, or to all. Raises ContainerError."""
    if everybody:
        if number == signal.SIGKILL:
            record.group().kill()
            return
        for pid in record.group().pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return
    descriptor = record.pidfd()
    try:
        process.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        raise ContainerError("container not running", "NOT_RUNNING") from None
    finally:
        os.close(descriptor)
    if number == signal.SIGKILL:
        # A frozen process of version 1 takes even this only when it is let go.
        with contextlib.suppress(OSError):
            record.group().thaw()


def delete(record: states.Record, force: bool) -> None:
    """Remove what is left of a container. Raises ContainerError when it still runs."""
    status = record.status()
    if status != states.STOPPED:
        if not force and status not in (states.CREATED, states.CREATING):
            raise ContainerError(
                f"cannot delete container {record.id} that is not stopped: {status}", "RUNNING"
            )
        with contextlib.suppress(ContainerError):
            kill(record, signal.SIGKILL, False)
        end = time.monotonic() + _PATIENCE_SECONDS
        while states.alive(record.pid, record.data["start_time"]):
            if time.monotonic() > end:
                raise ContainerError(f"container {record.id} does not end")
            time.sleep(0.002)
    group = record.group()
    group.kill()
    group.delete()
    try:
        hooks.run(record.config(), hooks.POST_STOP, _told(record), "stopped")
    finally:
        record.remove()
