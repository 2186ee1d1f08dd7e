"""Standard input and output of one process in a shim: to the log and to every attached client. Lean.

Back-pressure: a source is read again only when every client took what was read before, so a client
that does not read slows the process down, and nothing is ever kept beyond one chunk.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from trine.runtime.json_log import JsonLog
from trine.runtime.reactor import READ, WRITE, Reactor

CHUNK = 64 * 1024


class Client:
    """One attachment: pipe ends passed by a client. ``finished`` is called when it is over."""

    def __init__(self, stdin: int, stdout: int, stderr: int, finished: Callable[[], None]) -> None:
        self.stdin = stdin
        self.outputs = {"stdout": stdout, "stderr": stderr}
        self.pending = {"stdout": b"", "stderr": b""}
        self.finished = finished
        self.input_waiting = b""
        self.detached = False

    def descriptors(self) -> list[int]:
        """Return those that are open."""
        return [d for d in (self.stdin, *self.outputs.values()) if d >= 0]


class Source:
    """One output of the process: a pipe's read end or a PTY's master."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.reading = False


class Stdio:
    """All streams of one process. Descriptors given to it are its own and non-blocking."""

    def __init__(
        self,
        reactor: Reactor,
        sources: dict[str, int],
        input_descriptor: int,
        log: JsonLog | None,
        close_input_with_client: bool,
    ) -> None:
        """Take the streams.

        Args:
            reactor: the loop.
            sources: "stdout" and "stderr" → read ends; with a terminal only "stdout", its master.
            input_descriptor: write end of standard input, -1 when there is none.
            log: where output is logged, or None.
            close_input_with_client: end of a client's input is end of the process's (stdin_once).
        """
        self._reactor = reactor
        self._log = log
        self._once = close_input_with_client
        self.input = input_descriptor
        self._input_owner: Client | None = None
        self._close_input_when_flushed = False
        self.clients: list[Client] = []
        self.ended = False
        self.sources = {name: Source(name, descriptor) for name, descriptor in sources.items()}
        for source in self.sources.values():
            os.set_blocking(source.descriptor, False)
            self._resume(source)
        if self.input >= 0:
            os.set_blocking(self.input, False)

    # Output

    def _resume(self, source: Source) -> None:
        if not source.reading and source.descriptor >= 0:
            source.reading = True
            self._reactor.add(source.descriptor, READ, lambda _events: self._readable(source))

    def _pause(self, source: Source) -> None:
        if source.reading:
            source.reading = False
            self._reactor.remove(source.descriptor)

    def _readable(self, source: Source) -> None:
        if not self._read(source):
            self._close_source(source)

    def _read(self, source: Source) -> bool:
        """Pass one chunk on; False at the end of the stream."""
        try:
            data = os.read(source.descriptor, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False  # EIO: nobody has the terminal open any more
        if not data:
            return False
        self._deliver(source, data)
        return True

    def _deliver(self, source: Source, data: bytes) -> None:
        if self._log is not None:
            self._log.write(source.name, data)
        for client in list(self.clients):
            descriptor = client.outputs[source.name]
            if descriptor < 0:
                continue
            if client.pending[source.name]:
                client.pending[source.name] += data
                continue
            rest = self._write(client, source.name, data)
            if rest:
                client.pending[source.name] = rest
                self._pause(source)
                self._reactor.add(
                    descriptor,
                    WRITE,
                    lambda _e, c=client, s=source.name: self._writable(c, s),  # type: ignore[misc]
                )

    def _write(self, client: Client, name: str, data: bytes) -> bytes:
        """Write to a client; return what did not fit. One that closed its end loses this stream."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(client.outputs[name], view) :]
            except BlockingIOError:
                return bytes(view)
            except OSError:
                self._drop_output(client, name)
                return b""
        return b""

    def _writable(self, client: Client, name: str) -> None:
        rest = self._write(client, name, client.pending[name])
        client.pending[name] = rest
        if rest or client.detached:
            return
        if client.outputs[name] >= 0:
            self._reactor.remove(client.outputs[name])
        self._after_flush(client, name)

    def _after_flush(self, client: Client, name: str) -> None:
        source = self.sources.get(name)
        if source is not None and not any(c.pending[name] for c in self.clients):
            self._resume(source)
        self._finish_if_done(client)

    def _drop_output(self, client: Client, name: str) -> None:
        descriptor = client.outputs[name]
        client.outputs[name] = -1
        client.pending[name] = b""
        self._reactor.remove(descriptor)
        os.close(descriptor)
        self._reactor.call_later(lambda: self._after_flush(client, name))

    def _close_source(self, source: Source) -> None:
        self._pause(source)
        if source.descriptor >= 0:
            os.close(source.descriptor)
            source.descriptor = -1

    # Input

    def _input_readable(self, client: Client) -> None:
        try:
            data = os.read(client.stdin, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_client_input(client)
            if self._once:
                self._end_input()
            return
        if self.input < 0:
            return  # nobody reads it: thrown away, as a closed stdin would
        self._write_input(client, data)

    def _write_input(self, client: Client, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.input, view) :]
            except BlockingIOError:
                break
            except OSError:
                self.close_input()
                return
        client.input_waiting = bytes(view)
        if not view:
            return
        # The process does not read: leave the client's bytes where they are.
        self._reactor.remove(client.stdin)
        if self._input_owner is None:
            self._input_owner = client
            self._reactor.add(self.input, WRITE, lambda _events: self._input_writable())

    def _input_writable(self) -> None:
        self._reactor.remove(self.input)
        self._input_owner = None
        for client in list(self.clients):
            if client.input_waiting and self.input >= 0:
                self._write_input(client, client.input_waiting)
                if client.input_waiting:
                    return
                if client.stdin >= 0:
                    self._watch_input(client)
        if self._close_input_when_flushed:
            self.close_input()

    def _pass_input_on(self) -> None:
        """Who waited for the process to read has gone: another's input is next, or the end that waits."""
        self._input_owner = next((c for c in self.clients if c.input_waiting), None)
        if self._input_owner is not None or self.input < 0:
            return
        self._reactor.remove(self.input)
        if self._close_input_when_flushed:
            self.close_input()

    def _watch_input(self, client: Client) -> None:
        self._reactor.add(client.stdin, READ, lambda _events: self._input_readable(client))

    def _close_client_input(self, client: Client) -> None:
        if client.stdin >= 0:
            self._reactor.remove(client.stdin)
            os.close(client.stdin)
            client.stdin = -1

    def _end_input(self) -> None:
        if self._input_owner is not None:
            self._close_input_when_flushed = True
        else:
            self.close_input()

    def close_input(self) -> None:
        """Close the process's standard input."""
        if self.input >= 0:
            self._reactor.remove(self.input)
            os.close(self.input)
            self.input = -1

    # Clients

    def attach(self, client: Client) -> None:
        """Take a client; its descriptors are ours from now on."""
        for descriptor in client.descriptors():
            os.set_blocking(descriptor, False)
        self.clients.append(client)
        if client.stdin >= 0:
            try:
                self._watch_input(client)
            except PermissionError:  # a regular file can't be waited for
                self._close_client_input(client)

    def detach(self, client: Client) -> None:
        """Let a client go; the process keeps its input, unless it was made with stdin_once."""
        if client.detached:
            return
        client.detached = True
        self.clients.remove(client)
        if self._input_owner is client:
            self._pass_input_on()
        had_input = client.stdin >= 0
        self._close_client_input(client)
        for name, descriptor in client.outputs.items():
            if descriptor >= 0:
                self._reactor.remove(descriptor)
                os.close(descriptor)
                client.outputs[name] = -1
            client.pending[name] = b""
        if had_input and self._once:
            self._end_input()
        if not self.ended:
            for source in self.sources.values():  # one that waited for this client goes on
                if not any(c.pending[source.name] for c in self.clients):
                    self._resume(source)

    def read_rest(self) -> None:
        """The process has ended: read what is left, log it and close the log."""
        for source in self.sources.values():
            self._pause(source)
            while source.descriptor >= 0 and self._progress(source):
                pass
            self._close_source(source)
        if self._log is not None:
            self._log.finish()
            self._log = None
        self.close_input()

    def end(self) -> None:
        """Let each client go when it has everything; ``read_rest`` first, if that was not done."""
        self.read_rest()
        self.ended = True
        for client in list(self.clients):
            self._finish_if_done(client)

    def _progress(self, source: Source) -> bool:
        """Read one chunk at the end; False when there is no more."""
        try:
            data = os.read(source.descriptor, CHUNK)
        except OSError:
            return False
        if data:
            self._deliver(source, data)
        return bool(data)

    def _finish_if_done(self, client: Client) -> None:
        if self.ended and not client.detached and not any(client.pending.values()):
            self.detach(client)
            client.finished()
