"""The shim: one per container, a fork of the zygote, parent of the container's processes. Lean.

It outlives every service: it owns the PTY or pipes, writes the log, serves attachments
(docs/shim.md), runs execs and keeps the exit status. What it knows of the exit is on disk
(<data-root>/runtime/containers/<id>/exit.json) before anybody is told.

Private requests of the runtime service, all answered with the number "n" they carry:
watch, start, exec_create (spec in a passed file), exec_start, exec_state, pause, resume, destroy.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import signal
import socket
import time
from typing import Any, NoReturn

from trine.linux import process
from trine.runtime import exit_file, packets
from trine.runtime.cgroups.group import Group
from trine.runtime.cgroups.layout import Layout
from trine.runtime.failure import ContainerError, describe, from_dict, from_os_error
from trine.runtime.json_log import JsonLog, open_log
from trine.runtime.reactor import READ, Reactor
from trine.runtime.shim_create import make_first
from trine.runtime.shim_peer import Peer
from trine.runtime.shim_process import CREATED, RUNNING, STOPPED, Process
from trine.runtime.shim_requests import OPERATIONS

ENDED_EXECS_KEPT = 256
_FAMILY = int(socket.AF_UNIX)
_SIGCHLD = int(signal.SIGCHLD)


class Shim:
    """All state of one container."""

    def __init__(self, request: dict[str, Any], control: socket.socket, layout: Layout) -> None:
        """Take the zygote's request: {"id", "state_directory", "bundle", "group_id"}."""
        self.id: str = request["id"]
        self.state_directory: str = request["state_directory"]
        self.bundle: str = request["bundle"]
        self.group_id: int = request.get("group_id", -1)
        self.reactor = Reactor()
        self.peers: set[Peer] = set()
        self.paused = False
        self.oom_kills = 0
        self.started = False
        self.finished = False
        self.execs: dict[str, Process] = {}
        self._oom_watch = -1
        self._layout = layout
        self._warnings: list[str] = []
        self._created = False
        self._control = Peer(self, control)
        self._control.watching = True
        self.peers.add(self._control)
        self._own_pid_namespace = bool(request["own_pid_namespace"])
        self.container = {"id": self.id, "seccomp_filter": request.get("seccomp_filter")}
        self.group = Group(layout, request["cgroup"])
        self.first = Process("", request["process"])
        self._log_options: dict[str, Any] = request["log"]
        self.log: JsonLog | None = None

    # Life

    def run(self) -> None:
        """Make the container and serve until it has ended and everybody has been told."""
        try:
            self._listen()
            self.log = open_log(self._log_options)
            streams = self.first.streams(self.reactor, self.log)
            self._warnings = make_first(self.first, streams, self.group, self.bundle, self.id)
            self.watch_process(self.first)
            self._watch_memory()
        except ContainerError as error:
            self._fail_create(error)
        except OSError as error:
            self._fail_create(from_os_error(error))
        if not self._own_pid_namespace:
            self._reap_orphans()
        self.reactor.run()

    def _listen(self) -> None:
        path = f"{self.state_directory}/shim.sock"
        listener = socket.socket(_FAMILY, packets.KIND)
        # A path below a long root may pass the 108 bytes of sun_path: bind by the directory's descriptor.
        directory = os.open(self.state_directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            previous = os.umask(0o117)
            listener.bind(f"/proc/self/fd/{directory}/shim.sock")
            os.umask(previous)
        finally:
            os.close(directory)
        if self.group_id >= 0:
            os.chown(path, -1, self.group_id)
        listener.listen(64)
        listener.setblocking(False)
        self._listener = listener
        self.reactor.add(listener.fileno(), READ, self._accept)

    def _accept(self, _events: int) -> None:
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        self.peers.add(Peer(self, socket.socket(_FAMILY, packets.KIND, 0, descriptor)))

    def _watch_memory(self) -> None:
        try:
            self._oom_watch = self.group.oom_watch()
        except OSError:
            return
        self.reactor.add(self._oom_watch, READ, self._memory_ran_out)

    def _memory_ran_out(self, _events: int) -> None:
        try:
            os.read(self._oom_watch, 4096)
        except OSError:
            pass
        kills = self.group.oom_kills()
        if kills > self.oom_kills:
            self.oom_kills = kills
            self._tell({"event": "oom", **self.state()})

    def _reap_orphans(self) -> None:
        """Reap what a container in a shared PID namespace leaves to us (we are a subreaper)."""
        process.set_child_subreaper()
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def child_ended(_events: int) -> None:
            try:
                os.read(reader, 4096)
            except OSError:
                pass
            known = {self.first.pid, *(p.pid for p in self.execs.values())}
            while True:
                try:
                    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                except ChildProcessError:
                    return
                if found is None or found.si_pid in known:
                    return
                os.waitpid(found.si_pid, 0)

        self.reactor.add(reader, READ, child_ended)

    def leave_if_done(self) -> None:
        """End when the container has ended and nobody still has output to take."""
        if self.finished and not any(peer.clients for peer in self.peers):
            self.reactor.stop()

    # Processes

    def watch_process(self, target: Process) -> None:
        """Listen to a child: its packets and its end."""
        assert target.sync is not None
        target.sync.setblocking(False)
        self.reactor.add(target.sync.fileno(), READ, lambda _events: self._hear(target))
        self.reactor.add(target.pidfd, READ, lambda _events: self._ended(target))

    def say(self, target: Process, message: dict[str, Any]) -> None:
        """Send a packet to a child that still listens."""
        if target.sync is not None:
            try:
                packets.send(target.sync, message)
            except OSError:
                pass  # it died: its pidfd tells

    def _hear(self, target: Process) -> None:
        self._child_says(target)

    def _child_says(self, target: Process) -> bool:
        """Read one packet of a child; False when there is none (yet)."""
        if target.sync is None:
            return False
        try:
            message, descriptors = packets.receive(target.sync)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            message, descriptors = None, []
        if message is None:
            self.reactor.remove(target.sync.fileno())
            target.sync.close()
            target.sync = None
            if target.executing and target.error is None:
                self._executed(target)
            return False
        if "tty" in message and descriptors:
            target.take_terminal(self.reactor, descriptors[0], self.log if target is self.first else None)
            if target is not self.first:
                self.say(target, {"tty": True})
        elif "ready" in message:
            self._created = True
            self._control.send({"event": "created", "warnings": self._warnings, **self.state()})
        elif "executing" in message:
            target.executing = True
        elif "error" in message:
            target.error = from_dict(message["error"])
        return True

    def _executed(self, target: Process) -> None:
        """The command runs: the child's end of the socket was closed by execve."""
        if target.state != CREATED:
            return
        target.state = RUNNING
        target.started_at = time.time_ns()
        if target is self.first:
            self.started = True
            self._tell({"event": "started", **self.state()})
            waiters, target.waiters = target.waiters, []
            for peer, number in waiters:
                peer.send({"event": "ok", "n": number, **self.state()})
        else:
            self._answer_exec(target)

    def _ended(self, target: Process) -> None:
        while self._child_says(target):
            pass
        _, status = os.waitpid(target.pid, 0)
        self.reactor.remove(target.pidfd)
        code = os.waitstatus_to_exitcode(status)
        target.exit_code = code if code >= 0 else 128 - code
        if target.error is not None:
            target.exit_code = target.error.exit_code
        target.finished_at = time.time_ns()
        target.state = STOPPED
        if target is self.first:
            self._container_ended()
        else:
            self._exec_ended(target)
        os.close(target.pidfd)
        target.pidfd = -1

    def _exec_ended(self, target: Process) -> None:
        target.end_streams()
        self._answer_exec(target)
        self._tell({"event": "exec_exited", "process": target.id, "code": target.exit_code})
        ended = [p.id for p in self.execs.values() if p.state == STOPPED]
        for identifier in ended[:-ENDED_EXECS_KEPT]:
            del self.execs[identifier]

    def _answer_exec(self, target: Process) -> None:
        for peer, number in target.waiters:
            if target.error is not None:
                peer.send({"event": "error", "n": number, **target.error.as_dict()})
            else:
                peer.send({"event": "ok", "n": number, "pid": target.pid})
        target.waiters = []

    def _container_ended(self) -> None:
        if not self._created:
            error = self.first.error or ContainerError("container init died during its setup")
            self._fail_create(error)
            return
        if not self._own_pid_namespace:
            self.group.kill()
        for target in list(self.execs.values()):
            if target.pid and target.state != STOPPED:
                self._kill_exec(target)
            elif not target.pid:
                target.state, target.exit_code = STOPPED, 137
                target.end_streams()
        self.oom_kills = max(self.oom_kills, self.group.oom_kills())
        if self.first.stdio is not None:
            self.first.stdio.read_rest()
        exit_file.write(self.state(), self.bundle, self.state_directory)
        self.finished = True
        self._tell({"event": "exited", **self.state()})
        self.first.end_streams()
        error = self.first.error or ContainerError("container init was killed before it started")
        for peer, number in self.first.waiters:
            peer.send({"event": "error", "n": number, **error.as_dict()})
        self.reactor.call_later(self._clean_up)

    def _kill_exec(self, target: Process) -> None:
        try:
            target.signal(signal.SIGKILL)
        except OSError:
            pass
        self._ended(target)

    def _clean_up(self) -> None:
        """Remove what only a living container needs; then go when nobody waits for output."""
        if self._oom_watch >= 0:
            self.reactor.remove(self._oom_watch)
            os.close(self._oom_watch)
            self._oom_watch = -1
        self.reactor.remove(self._listener.fileno())
        self._listener.close()
        try:
            self.group.kill()
            self.group.delete()
        except OSError:
            pass  # the service tries again when the container is deleted
        try:
            os.unlink(f"{self.state_directory}/shim.sock")
        except OSError:
            pass
        exit_file.sync(self.bundle)
        self.leave_if_done()

    def _fail_create(self, error: ContainerError) -> NoReturn:
        """Undo everything, say why and end."""
        if self.first.pid and self.first.state != STOPPED:
            try:
                self.first.signal(signal.SIGKILL)
                os.waitpid(self.first.pid, 0)
            except OSError:
                pass
        try:
            self.group.kill()
            self.group.delete()
        except OSError:
            pass
        try:
            os.unlink(f"{self.state_directory}/shim.sock")
        except OSError:
            pass
        self._control.connection.setblocking(True)
        self._control.send({"event": "create_failed", **error.as_dict()})
        os._exit(0)

    def _tell(self, message: dict[str, Any]) -> None:
        for peer in list(self.peers):
            if peer.watching:
                peer.send(message)

    def state(self) -> dict[str, Any]:
        """Return what is to be known of the container, as in exit.json."""
        first = self.first
        state = first.state
        if state == RUNNING and self.paused:
            state = "paused"
        return {
            "id": self.id,
            "state": state,
            "pid": 0 if state == STOPPED else first.pid,
            "exit_code": first.exit_code,
            "started_at": first.started_at,
            "finished_at": first.finished_at,
            "oom_killed": self.oom_kills > 0,
            "never_started": not self.started,
            "error": first.error.message if first.error else "",
        }

    # Requests

    def handle(self, peer: Peer, message: dict[str, Any], descriptors: list[int]) -> None:
        """Do one request; descriptors it does not take are closed."""
        number = message.get("n")
        operation = OPERATIONS.get(str(message.get("op")))
        try:
            if operation is None:
                raise ContainerError(f"unknown operation: {message.get('op')}", "INVALID_ARGUMENT")
            answer = operation(self, peer, message, descriptors)
        except ContainerError as error:
            answer = {"event": "error", **error.as_dict()}
        except (KeyError, TypeError, ValueError) as error:
            answer = {"event": "error", "reason": "INVALID_ARGUMENT", "message": f"bad request: {error}"}
        except OSError as error:
            answer = {"event": "error", "reason": "", "message": describe(error)}
        packets.close_all(descriptors)
        if answer is not None:
            if number is not None:
                answer["n"] = number
            peer.send(answer)

    def find(self, message: dict[str, Any]) -> Process:
        """Return the process a request names. Raises ContainerError."""
        identifier = message.get("process") or ""
        if not identifier:
            return self.first
        target = self.execs.get(identifier)
        if target is None:
            raise ContainerError(f"No such exec instance: {identifier}", "NO_SUCH_EXEC")
        return target

    def not_running(self) -> ContainerError:
        """Return the error for what needs a running container."""
        return ContainerError(f"Container {self.id} is not running", "NOT_RUNNING")


def main(request: dict[str, Any], control: socket.socket, layout: Layout) -> NoReturn:
    """Run as a shim, in a fresh fork of the zygote; never returns."""
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.close(null)
        # Bare calls here and below: each layer of the library that a shim goes through is memory of its own.
        name = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
        os.write(name, b"trine-shim")
        os.close(name)
        # The zygote ignores what could end us (SIGTERM, SIGHUP, …), and children, which we wait for.
        # The bare module: ctypes and the enums of signal would be 300 KB of a shim's own.
        _signal.signal(_SIGCHLD, 0)
        os.chdir("/")
        Shim(request, control, layout).run()
    except BaseException:
        _leave_trace(request.get("state_directory", ""))
        os._exit(1)
    os._exit(0)


def _leave_trace(directory: str) -> None:
    """Keep why a shim failed in <state directory>/shim.error: its streams are /dev/null."""
    import traceback

    try:
        with open(f"{directory}/shim.error", "a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    except OSError:
        pass
