"""Making a process for a shim: namespaces, streams, clone. Lean.

``spawn_init`` makes a container's first process, ``spawn_exec`` one more in a running container. Both
return at once with a packet socket to the child, which tells what it does.
"""

from __future__ import annotations

import fcntl
import os
import socket
from typing import Any

from trine.linux import namespaces, process, tty
from trine.runtime import enter, init, packets
from trine.runtime.failure import ContainerError, describe
from trine.runtime.json_log import JsonLog
from trine.runtime.reactor import Reactor
from trine.runtime.stdio import Client, Stdio

CREATED = "created"
RUNNING = "running"
STOPPED = "stopped"
_PIPE_BYTES = 256 * 1024


class Process:
    """One process of a container: the first one (id "") or an exec."""

    def __init__(self, identifier: str, spec: dict[str, Any]) -> None:
        """Take an OCI process with "open_stdin" and "stdin_once" beside it."""
        self.id = identifier
        self.spec = spec
        self.terminal = bool(spec.get("terminal"))
        self.pid = 0
        self.pidfd = -1
        self.sync: socket.socket | None = None
        self.state = CREATED
        self.stdio: Stdio | None = None
        self.master = -1
        self.size: tuple[int, int] = _size(spec)
        self.started_at = 0
        self.finished_at = 0
        self.exit_code = 0
        self.error: ContainerError | None = None
        self.executing = False  # the child is about to call execve
        self.waiters: list[tuple[Any, Any]] = []  # (peer, number of request) of those who started it
        self._early: list[Client] = []  # attached before there are streams
        self.released: list[int] = []  # what the child has and we close after the clone

    def streams(self, reactor: Reactor, log: JsonLog | None) -> tuple[int, int, int] | None:
        """Make pipes for a process without a terminal; return the child's ends. Raises OSError."""
        if self.terminal:
            return None
        sources: dict[str, int] = {}
        child: list[int] = []
        input_descriptor = -1
        if self.spec.get("open_stdin"):
            reader, input_descriptor = os.pipe2(os.O_CLOEXEC)
            child.append(reader)
        else:
            child.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        for name in ("stdout", "stderr"):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            _widen(reader)
            sources[name] = reader
            child.append(writer)
        self._take(Stdio(reactor, sources, input_descriptor, log, bool(self.spec.get("stdin_once"))))
        self.released = child
        return child[0], child[1], child[2]

    def take_terminal(self, reactor: Reactor, master: int, log: JsonLog | None) -> None:
        """Take the master of the child's PTY. Raises OSError."""
        self.master = master
        if self.size != (0, 0):
            tty.set_size(master, *self.size)
        self._take(Stdio(reactor, {"stdout": _copy(master)}, _copy(master), log, False))

    def _take(self, stdio: Stdio) -> None:
        self.stdio = stdio
        waiting, self._early = self._early, []
        for client in waiting:
            stdio.attach(client)

    def attach(self, client: Client) -> None:
        """Attach a client now, or as soon as there are streams."""
        if self.stdio is None:
            self._early.append(client)
        else:
            self.stdio.attach(client)

    def detach(self, client: Client) -> None:
        """Let a client go and close its descriptors."""
        if client in self._early:
            self._early.remove(client)
            packets.close_all(client.descriptors())
        elif self.stdio is not None:
            self.stdio.detach(client)

    def end_streams(self) -> None:
        """The process has ended, or never will run: pass on what is left and tell the clients."""
        waiting, self._early = self._early, []
        for client in waiting:
            packets.close_all(client.descriptors())
            client.finished()
        if self.stdio is not None:
            self.stdio.end()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size, now or when there is one. Raises OSError."""
        self.size = (rows, columns)
        if self.master >= 0:
            tty.set_size(self.master, rows, columns)

    def signal(self, number: int) -> None:
        """Send a signal. Raises OSError (ProcessLookupError when it ended)."""
        process.pidfd_send_signal(self.pidfd, number)

    def release(self) -> None:
        """Close the child's ends of the streams."""
        packets.close_all(self.released)
        self.released = []


def _widen(pipe: int) -> None:
    """Give a pipe more room (pages are only taken as they are filled): fewer waits at full speed."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        pass  # pipe-user-pages-soft is reached: 64 KiB do


def _copy(descriptor: int) -> int:
    """Return a duplicate, close-on-exec: one for each direction, epoll wants a descriptor only once."""
    return os.dup(descriptor)  # not inheritable since PEP 446


def _size(spec: dict[str, Any]) -> tuple[int, int]:
    console = spec.get("consoleSize") or {}
    return int(console.get("height", 0)), int(console.get("width", 0))


def spawn_init(
    config: dict[str, Any],
    container_id: str,
    sync: socket.socket,
    streams: tuple[int, int, int] | None,
) -> tuple[int, int]:
    """Clone a container's first process into its namespaces; return (pid, pidfd).

    Called by a helper of the shim: the new process becomes the shim's child, not the helper's.
    Raises OSError, ContainerError.
    """
    flags, joins = _open_namespaces(config["linux"]["namespaces"])
    pid_namespace = joins.pop("pid", -1)
    try:
        if pid_namespace >= 0:
            namespaces.setns(pid_namespace, namespaces.CLONE_NEWPID)
        pid, pidfd = process.clone(flags, sibling=True)
        if not pid:
            init.main(config, sync, streams, joins, container_id)
    finally:
        packets.close_all(list(joins.values()))
    set_oom_score(pid, int(config["process"].get("oomScoreAdj") or 0))
    return pid, pidfd


def spawn_exec(
    spec: dict[str, Any],
    container: dict[str, Any],
    sync: socket.socket,
    streams: tuple[int, int, int] | None,
    init_pidfd: int,
) -> tuple[int, int]:
    """Clone one more process, which enters the namespaces of a container's init; return (pid, pidfd).

    Called by a helper of the shim, as ``spawn_init``. Raises OSError.
    """
    namespaces.setns(init_pidfd, namespaces.CLONE_NEWPID)
    pid, pidfd = process.clone(0, sibling=True)
    if not pid:
        enter.main(spec, container, sync, streams, init_pidfd)
    set_oom_score(pid, int(spec.get("oomScoreAdj") or 0))
    return pid, pidfd


def set_oom_score(pid: int, adjustment: int) -> None:
    """Write oom_score_adj; what the host forbids (lower than ours, no CAP_SYS_RESOURCE) stays as it is."""
    if not adjustment:
        return
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write(str(adjustment))
    except OSError:
        pass


def _open_namespaces(entries: list[dict[str, Any]]) -> tuple[int, dict[str, int]]:
    """Return flags of fresh namespaces (cgroup: later, by init) and descriptors of those to join."""
    flags = 0
    joins: dict[str, int] = {}
    for entry in entries:
        kind, path = entry["type"], entry.get("path")
        if kind not in namespaces.FLAGS or kind == "user":
            raise ContainerError(f"namespace {kind} is not supported", "UNSUPPORTED")
        if kind == "cgroup":
            continue
        if not path:
            flags |= namespaces.FLAGS[kind]
            continue
        try:
            joins[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            packets.close_all(list(joins.values()))
            raise ContainerError(f"lstat {path}: {describe(error)}", "NO_SUCH_NAMESPACE") from None
    return flags | namespaces.CLONE_NEWNS, joins
