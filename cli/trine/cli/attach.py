"""Attaching: copying the standard streams of a process here and there until it ends or is left.

Two carriers do the same: ``LocalCarrier`` hands pipes to the container's shim and copies between them and
our own streams, ``RemoteCarrier`` uses the API's bidirectional stream (a daemon on tcp). ``Session.run`` is
one loop over both.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal adds 4 ms of enums
import fcntl
import os
import select

from trine.cli import terminal
from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Protocol

    from trine.cli.client import Call, Client

    class Carrier(Protocol):
        """The way to the process."""

        exit_code: int | None

        def descriptors(self) -> list[int]:
            """Return the descriptors whose readiness means: call ``work``."""

        def work(self) -> bool:
            """Copy what is there to our streams; return False when there is nothing to come."""

        def write(self, data: bytes) -> int:
            """Send input; return how much was taken."""

        def writable_descriptor(self) -> int | None:
            """Return what to poll for writing when ``write`` took less, None: reading will do."""

        def close_input(self) -> None:
            """Say that no more input follows."""

        def resize(self, rows: int, columns: int) -> None:
            """Tell the size of our terminal."""

        def close(self) -> None:
            """Leave the process."""


_PIPE_SIZE = 1 << 20
_CHUNK = 1 << 16
# As Docker all that can be caught but SIGPIPE, SIGCHLD and SIGURG; without those of a fault of our own, and
# without SIGTTIN and SIGTTOU: who catches them tries to read a terminal for ever in the background.
_PROXIED = (1, 2, 3, 6, 10, 12, 14, 15, 16, 18, 20, 24, 25, 26, 27, 28, 29, 30, *range(34, 65))
_WINCH = 28
# What ends us while the terminal is raw: it must be put back first.
_ENDING = (1, 2, 3, 15)


def copy_out(source: int, target: int) -> bool:
    """Move what is in a pipe to a descriptor, by splice(2) where that works; return False at the end."""
    try:
        return os.splice(source, target, _PIPE_SIZE) > 0
    except BlockingIOError:
        return True
    except BrokenPipeError:
        raise
    except OSError:
        pass  # a terminal, or a file opened for appending
    try:
        data = os.read(source, _CHUNK)
    except BlockingIOError:
        return True
    write_all(target, data)
    return bool(data)


def write_all(target: int, data: bytes) -> None:
    """Write all of it, also to a descriptor someone else made non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(target, select.POLLOUT)
            poll.poll()


class LocalCarrier:
    """Streams by pipes handed to the shim."""

    def __init__(self, path: str, process: str, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        """Attach to a process ("" or an exec id) through the shim at ``path``; returns once attached.

        Raises OSError when the shim cannot be reached from here, Failure when it refuses.
        """
        from trine.cli.shim import Shim

        self.exit_code: int | None = None
        self._process = process
        self._shim = Shim(path)
        self._input: int | None = None
        self._outputs: dict[int, int] = {}  # our end of a pipe -> 1 or 2
        given: list[int] = []
        if stdin:
            read_end, self._input = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._input, False)
            given.append(read_end)
        for wanted, number in ((stdout, 1), (stderr, 2)):
            if wanted:
                read_end, write_end = os.pipe2(os.O_CLOEXEC)
                self._outputs[read_end] = number
                os.set_blocking(read_end, False)
                try:
                    fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
                except (OSError, AttributeError):
                    pass  # above the limit for users (fs/pipe-max-size): as it is, then
                given.append(write_end)
        request: dict[str, str | bool | int] = {
            "op": "attach",
            "process": process,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
        }
        try:
            self._shim.send(request, tuple(given))
        except OSError as error:
            raise Failure(f"Error response from daemon: cannot attach: {error.strerror}") from None
        finally:
            for descriptor in given:
                os.close(descriptor)
        self._shim_open = True
        self._shim.expect("attached")

    def descriptors(self) -> list[int]:
        """Return the descriptors whose readiness means: call ``work``."""
        return [*self._outputs, self._shim.fileno()] if self._shim_open else list(self._outputs)

    def work(self) -> bool:
        """Copy what is there to our streams; return False when there is nothing to come."""
        for source, target in list(self._outputs.items()):
            if not copy_out(source, target):
                os.close(source)
                del self._outputs[source]
        while self._shim_open and self._shim.waiting():
            event = self._shim.event()
            if event is None:
                self._shim_open = False
            elif event.get("event") == "exit":
                self.exit_code = int(event.get("code", 0))
        return bool(self._outputs) or (self._shim_open and self.exit_code is None)

    def write(self, data: bytes) -> int:
        """Send input; return how much was taken (all of it when nobody reads any more)."""
        if self._input is None:
            return len(data)
        try:
            return os.write(self._input, data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close_input()
            return len(data)

    def writable_descriptor(self) -> int | None:
        """Return the pipe to poll for writing."""
        return self._input

    def close_input(self) -> None:
        """Say that no more input follows."""
        if self._input is not None:
            os.close(self._input)
            self._input = None

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of our terminal."""
        try:
            self._shim.send({"op": "resize", "process": self._process, "rows": rows, "columns": columns})
        except OSError:
            pass  # it has ended; that will be seen

    def close(self) -> None:
        """Leave the process."""
        self.close_input()
        for descriptor in self._outputs:
            os.close(descriptor)
        self._outputs.clear()
        self._shim.close()


class RemoteCarrier:
    """Streams by the API's AttachContainer."""

    def __init__(
        self, client: Client, container: str, process: str, *, stdin: bool, stdout: bool, stderr: bool
    ) -> None:
        """Attach to a process ("" or an exec id); returns once attached. Raises Failure."""
        self.exit_code: int | None = None
        self._client = client
        self._call: Call = client.start("ContainerService.AttachContainer")
        self._input_closed = not stdin
        target = {
            "container_id": container,
            "exec_id": process,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
        }
        self._call.send({"target": target})
        first = self._call.receive()
        if first is None or "attached" not in first:
            raise Failure("Error response from daemon: cannot attach")

    def descriptors(self) -> list[int]:
        """Return the descriptors whose readiness means: call ``work``."""
        return [self._client.connection.fileno()]

    def work(self) -> bool:
        """Copy what is there to our streams; return False when there is nothing to come."""
        self._client.connection.pump(0)
        while (answer := self._call.take()) is not None:
            if "stdout" in answer:
                write_all(1, answer.stdout)
            elif "stderr" in answer:
                write_all(2, answer.stderr)
            elif "exit_code" in answer:
                self.exit_code = answer.exit_code
        if self._call.done:
            self._call.check()
            return False
        return self.exit_code is None

    def write(self, data: bytes) -> int:
        """Send input; return how much was taken."""
        if not self._input_closed:
            self._call.send({"stdin": data})
        return len(data)

    def writable_descriptor(self) -> int | None:
        """Return None: ``write`` takes everything."""
        return None

    def close_input(self) -> None:
        """Say that no more input follows."""
        if not self._input_closed:
            self._input_closed = True
            self._call.send({"stdin_closed": True})

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of our terminal."""
        self._call.send({"resize": {"rows": rows, "columns": columns}})

    def close(self) -> None:
        """Leave the process."""
        self._call.cancel()


def _carrier(
    client: Client, container: str, process: str, stdin: bool, stdout: bool, stderr: bool
) -> Carrier:
    """Return the quickest way to a process: its shim, else (tcp, a forwarded socket) the API.

    Raises Failure.
    """
    from trine.cli.client import DaemonError

    if client.local:
        answer = client.call("ContainerService.GetContainerAttachSocket", {"container_id": container})
        try:
            return LocalCarrier(answer.path, process, stdin=stdin, stdout=stdout, stderr=stderr)
        except OSError:
            pass  # it has just ended, or the socket is another machine's: the API knows
    try:
        return RemoteCarrier(client, container, process, stdin=stdin, stdout=stdout, stderr=stderr)
    except DaemonError as error:
        if error.reason == "NOT_RUNNING" and not process:
            raise Failure("You cannot attach to a stopped container, start it first") from None
        raise


class Session:
    """One attachment, from ``open`` to ``close``."""

    def __init__(
        self,
        client: Client,
        container: str,
        *,
        process: str = "",
        stdin: bool,
        stdout: bool,
        stderr: bool,
        tty: bool,
        detach_keys: str = "",
        redraw: bool = False,
    ) -> None:
        """Attach; returns once nothing can be missed any more.

        Args:
            client: the engine.
            container: its id.
            process: "" for its own process, else an exec id.
            stdin: send our standard input.
            stdout: receive its output.
            stderr: receive its error output (not with a terminal).
            tty: whether the process has a terminal.
            detach_keys: as --detach-keys, "" for the usual ones.
            redraw: have a terminal's process paint itself anew: another size for a moment, as Docker does.

        Raises Failure.
        """
        keys = check_keys(detach_keys)
        self._redraw = redraw
        self._ended_by = 0
        self._stdin = stdin
        self._tty = tty
        self._escape = terminal.EscapeProxy(keys if tty and stdin and terminal.is_terminal(0) else b"")
        stderr = stderr and not tty
        self._carrier: Carrier = _carrier(client, container, process, stdin, stdout, stderr)
        self.detached = False

    @property
    def exit_code(self) -> int | None:
        """What the process ended with, None when that is not known."""
        return self._carrier.exit_code

    def close(self) -> None:
        """Leave the process."""
        self._carrier.close()

    def run(self, on_signal: Callable[[int], None] | None = None) -> None:
        """Copy until the process has ended and all its output is here, or the detach keys were typed.

        Args:
            on_signal: gets each signal this process receives; None leaves signals as they are.

        Raises Failure when the daemon says so, BrokenPipeError when our standard output is closed.
        """
        if self._tty and self._stdin and terminal.is_terminal(0):
            with terminal.RawMode(0):
                self._loop(on_signal, raw=True)
            if self._ended_by:
                _signal.signal(self._ended_by, _signal.SIG_DFL)
                os.kill(os.getpid(), self._ended_by)
        else:
            self._loop(on_signal)

    def _loop(self, on_signal: Callable[[int], None] | None, raw: bool = False) -> None:
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        numbers = list(_PROXIED) if on_signal is not None else []
        if raw:
            numbers = [*_ENDING, _WINCH]
        elif self._tty:
            numbers.append(_WINCH)
        before = {number: _signal.signal(number, _ignore) for number in numbers}
        _signal.set_wakeup_fd(wake_write)
        try:
            if self._tty:
                self._resize()
            self._copy(wake_read, None if raw else on_signal)
        finally:
            _signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
            os.close(wake_read)
            os.close(wake_write)

    def _resize(self) -> None:
        rows, columns = terminal.size(1)
        if rows or columns:
            if self._redraw:
                self._redraw = False
                self._carrier.resize(rows + 1, columns + 1)
            self._carrier.resize(rows, columns)

    def _copy(self, wake: int, on_signal: Callable[[int], None] | None) -> None:
        carrier = self._carrier
        reading = self._stdin
        pending = b""
        while True:
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            for descriptor in carrier.descriptors():
                poll.register(descriptor, select.POLLIN)
            target = carrier.writable_descriptor()
            if pending and target is not None:
                poll.register(target, select.POLLOUT)
            elif reading:
                poll.register(0, select.POLLIN)
            ready = dict(poll.poll())
            if wake in ready:
                for number in os.read(wake, 256):
                    if number == _WINCH and self._tty:
                        self._resize()
                    elif on_signal is not None:
                        on_signal(number)
                    else:
                        self._ended_by = number
                if self._ended_by:
                    return
            if reading and 0 in ready and not pending:
                pending, reading = self._read_input()
                if self.detached:
                    carrier.write(pending)
                    return
            if pending:
                pending = pending[carrier.write(pending) :]
            if not reading and not pending and self._stdin:
                carrier.close_input()
            if not carrier.work():
                return

    def _read_input(self) -> tuple[bytes, bool]:
        """Return what was typed and whether there may be more."""
        try:
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            return b"", True
        except OSError:
            data = b""
        if not data:
            return b"", False
        passed, self.detached = self._escape.feed(data)
        return passed, True


def check_keys(text: str) -> bytes:
    """Return the octets of detach keys, "" for the usual ones; raises Failure in Docker's words."""
    try:
        return terminal.parse_keys(text or terminal.DETACH_KEYS)
    except ValueError:
        raise Failure(f"Error response from daemon: Invalid escape keys ({text}) provided") from None


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by nothing: its number arrives in the wake-up pipe."""
