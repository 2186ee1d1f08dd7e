"""HTTP/2 for a gRPC client (RFC 9113; gRPC over HTTP/2): one connection, many streams.

Nothing here blocks but ``pump``: it waits for the socket and handles the frames that came. ``Stream``'s
send and receive pump until they can go on, so a command can be written as a plain sequence; one with
an event loop of its own (attach) polls ``Connection.fileno`` and calls ``pump(0)``.

Flow control: a stream's window is given back as its messages are read, so a slow terminal slows the
server down; the connection's window is given back at once, so one slow stream does not stop others.
"""

from __future__ import annotations

import select
import struct
from time import monotonic

from trine.cli.transport import hpack

TYPE_CHECKING = False  # typing costs 5 ms to import
if TYPE_CHECKING:
    from typing import Protocol

    class Wire(Protocol):
        """A connected, non-blocking byte stream (see connect.py)."""

        def fileno(self) -> int:
            """Return the descriptor to poll."""

        def receive(self, size: int) -> bytes | None:
            """Return what is there, b"" at the end, None when nothing is there."""

        def send(self, data: bytes | bytearray | memoryview) -> int:
            """Send and return how much went, 0 when it would block."""

        def close(self) -> None:
            """Close it."""


# A server greets at once, however long its answers take: one that does not is stopped or stuck.
HELLO_SECONDS = 30.0
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY = 0, 1, 3, 4, 5, 6, 7
_WINDOW_UPDATE, _CONTINUATION = 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_CANCEL, _REFUSED_STREAM, _ENHANCE_YOUR_CALM = 0x8, 0x7, 0xB
_PROTOCOL_ERROR, _FLOW_CONTROL_ERROR, _FRAME_SIZE_ERROR, _COMPRESSION_ERROR = 0x1, 0x3, 0x6, 0x9
_WINDOW = 4 * 1024 * 1024  # ours, of a stream and of the connection
_OUR_FRAME_SIZE = 256 * 1024
_MAXIMUM_HEADER_BLOCK = 64 * 1024
_MAXIMUM_WINDOW = 2**31 - 1
_MAXIMUM_MESSAGE = 64 * 1024 * 1024
_RETURN_AT = 256 * 1024  # give a window back in pieces of at least this


class TransportError(Exception):
    """The connection is gone or the peer does not speak HTTP/2; the message is one line."""


class Stream:
    """One gRPC call on a connection."""

    def __init__(self, connection: Connection, identifier: int, window: int) -> None:
        """Made by ``Connection.open`` only."""
        self._connection = connection
        self.identifier = identifier
        self.send_window = window
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.closed = False  # nothing more comes
        self.reset_code: int | None = None  # RST_STREAM of the peer
        self.error: TransportError | None = None  # the connection broke
        self._ended = False  # we sent END_STREAM
        self._buffer = bytearray()
        self._messages: list[bytes] = []
        self._queued = 0  # octets of whole messages nobody has read yet
        self._receive_window = _WINDOW

    def send(self, message: bytes, *, end: bool = False) -> bool:
        """Send one message, waiting for window; return False when the peer has already ended the call."""
        view = memoryview(b"\0" + len(message).to_bytes(4, "big") + message)
        connection = self._connection
        while True:
            if self.closed or self._ended:
                return False
            size = min(len(view), connection.frame_size, self.send_window, connection.send_window)
            if size <= 0 and len(view):
                connection.flush()
                connection.pump(None)
                continue
            last = size == len(view)
            self.send_window -= size
            connection.send_window -= size
            connection.put_frame(_DATA, _END_STREAM if last and end else 0, self.identifier, view[:size])
            view = view[size:]
            if last:
                self._ended = self._ended or end
                break
            connection.flush()
        connection.flush()
        return True

    def finish(self) -> None:
        """Say that no more messages follow; twice does no harm."""
        if not self._ended and not self.closed:
            self._ended = True
            self._connection.put_frame(_DATA, _END_STREAM, self.identifier, b"")
            self._connection.flush()

    def cancel(self) -> None:
        """End the call now; what is still on its way is thrown away."""
        if not self.closed:
            self.closed = True
            self.trailers.setdefault("grpc-status", "1")
            self._connection.put_frame(_RST_STREAM, 0, self.identifier, struct.pack(">I", _CANCEL))
            self._connection.forget(self)
            self._connection.flush()

    def take(self) -> bytes | None:
        """Return a message that is already here, else None."""
        if not self._messages:
            return None
        message = self._messages.pop(0)
        self._queued -= len(message) + 5
        self._give_back()
        return message

    def receive(self, timeout: float | None = None) -> bytes | None:
        """Return the next message, None at the end of the call (then look at ``trailers``).

        Raises TimeoutError when ``timeout`` seconds pass without one.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while not self._messages and not self.closed:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._connection.pump(left)
        return self.take()

    def on_data(self, data: bytes, flow: int) -> None:
        """Take the payload of a DATA frame; ``flow`` is what it takes of the window."""
        self._receive_window -= flow
        if self._receive_window < 0:
            raise _Fault(_FLOW_CONTROL_ERROR, "the daemon sent more than the window")
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 5:
            size = int.from_bytes(buffer[at + 1 : at + 5], "big")
            if buffer[at] or size > _MAXIMUM_MESSAGE:
                raise _Fault(_PROTOCOL_ERROR, "the daemon sent a message it should not")
            if len(buffer) - at - 5 < size:
                break
            self._messages.append(bytes(buffer[at + 5 : at + 5 + size]))
            self._queued += size + 5
            at += 5 + size
        if at:
            del buffer[:at]
        self._give_back()

    def _give_back(self) -> None:
        """Return window to the peer: all but what lies here unread. A message that is not whole yet
        does not count as unread, else one larger than the window could never arrive."""
        owed = _WINDOW - self._receive_window - self._queued
        if owed >= _RETURN_AT and not self.closed:
            self._receive_window += owed
            self._connection.put_frame(_WINDOW_UPDATE, 0, self.identifier, struct.pack(">I", owed))


class _Fault(Exception):
    """What the peer did wrong: an HTTP/2 error code and a line."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """A client's end of an HTTP/2 connection."""

    def __init__(self, wire: Wire, authority: str = "localhost", scheme: str = "http") -> None:
        """Send the preface and our settings; ``wire`` is connected and non-blocking."""
        self._wire = wire
        self._scheme = scheme
        self._authority = authority
        self._out = bytearray()
        self._in = bytearray()
        self._decoder = hpack.Decoder()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._initial_window = 65535
        self._maximum_streams = 2**31
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, HEADERS under way
        self._unreturned = 0
        self._going_away = ""
        self._failure: TransportError | None = None
        self._poll = select.poll()
        self._hello_until = monotonic() + HELLO_SECONDS
        self._heard = False  # a first byte came
        self.frame_size = 16384
        self.send_window = 65535
        settings = struct.pack(
            ">HIHIHI",
            *(0x2, 0),  # ENABLE_PUSH
            *(0x4, _WINDOW),  # INITIAL_WINDOW_SIZE
            *(0x5, _OUR_FRAME_SIZE),  # MAX_FRAME_SIZE
        )
        self._out += b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        self.put_frame(_SETTINGS, 0, 0, settings)
        self.put_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - 65535))

    def fileno(self) -> int:
        """Return the descriptor an event loop polls; readable means: call ``pump(0)``."""
        return self._wire.fileno()

    def open(self, path: str, timeout_seconds: float | None = None) -> Stream:
        """Begin a call of the method at ``path``; raises TransportError when the connection is gone."""
        while len(self._streams) >= self._maximum_streams and not self._failure:
            self.pump(None)
        if self._failure:
            raise self._failure
        if self._going_away:
            raise TransportError(self._going_away)
        headers = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "trine-cli"),
        ]
        if timeout_seconds is not None:
            headers.append(("grpc-timeout", f"{max(1, int(timeout_seconds * 1000))}m"))
        stream = Stream(self, self._next, self._initial_window)
        self._streams[self._next] = stream
        self._next += 2
        self.put_frame(_HEADERS, _END_HEADERS, stream.identifier, hpack.encode(headers))
        return stream

    def close(self) -> None:
        """Close the connection; open calls end."""
        if self._failure is None:
            self._failure = TransportError("connection closed")
            try:
                self.put_frame(_GOAWAY, 0, 0, b"\0" * 8)
                self._wire.send(bytes(self._out))
            except OSError:
                pass
        self._wire.close()

    def forget(self, stream: Stream) -> None:
        """Drop a stream that has ended."""
        self._streams.pop(stream.identifier, None)

    def put_frame(self, kind: int, flags: int, stream: int, payload: bytes | memoryview) -> None:
        """Append a frame to what is to be sent."""
        self._out += struct.pack(">IBI", len(payload) << 8 | kind, flags, stream)
        self._out += payload

    def flush(self) -> None:
        """Send what waits, reading meanwhile so that neither side waits for the other."""
        while self._out and not self._failure:
            self._write()
            if self._out:
                self._wait(None, writing=True)
                self._read()

    def pump(self, timeout: float | None) -> None:
        """Wait at most so many seconds (None: for ever, 0: not at all) for frames and handle them."""
        self.flush()
        if self._failure:
            return
        if not self._read() and timeout != 0 and not self._failure:
            self._wait(timeout, writing=False)
            self._read()
        self._write()

    def _wait(self, timeout: float | None, *, writing: bool) -> None:
        if not self._heard:
            left = self._hello_until - monotonic()
            if left <= 0:
                self._fail("the daemon does not answer")
                return
            timeout = left if timeout is None else min(timeout, left)
        self._poll.register(self._wire.fileno(), select.POLLIN | (select.POLLOUT if writing else 0))
        self._poll.poll(None if timeout is None else max(0, timeout * 1000))

    def _write(self) -> None:
        if not self._out or self._failure:
            return
        try:
            sent = self._wire.send(self._out)
        except OSError as error:
            # What the peer said before it closed is still to be read; only then is it a failure.
            self._out.clear()
            while self._read():
                pass
            self._fail(error.strerror or str(error))
            return
        del self._out[:sent]

    def _read(self) -> bool:
        """Read and handle what is there; return whether there was anything."""
        if self._failure:
            return False
        try:
            data = self._wire.receive(_OUR_FRAME_SIZE)
        except OSError as error:
            self._fail(error.strerror or str(error))
            return True
        if data is None:
            return False
        if not data:
            self._fail(self._going_away or "the daemon closed the connection")
            return True
        self._heard = True
        self._in += data
        try:
            self._frames()
        except _Fault as fault:
            self._abort(fault.code, str(fault))
        except (ValueError, IndexError, struct.error) as error:
            self._abort(_COMPRESSION_ERROR, f"malformed answer of the daemon: {error}")
        return True

    def _abort(self, code: int, message: str) -> None:
        self._out.clear()
        self.put_frame(_GOAWAY, 0, 0, struct.pack(">II", 0, code))
        try:
            self._wire.send(self._out)
        except OSError:
            pass
        self._out.clear()
        self._fail(message)

    def _fail(self, message: str) -> None:
        if self._failure is None:
            self._failure = TransportError(message)
        for stream in list(self._streams.values()):
            stream.error = self._failure
            stream.closed = True
        self._streams.clear()

    def _frames(self) -> None:
        buffer = self._in
        at = 0
        while len(buffer) - at >= 9:
            head, flags, identifier = struct.unpack_from(">IBI", buffer, at)
            size, kind = head >> 8, head & 255
            if size > _OUR_FRAME_SIZE:
                raise _Fault(_FRAME_SIZE_ERROR, "the daemon does not speak gRPC (frame too large)")
            if len(buffer) - at - 9 < size:
                break
            payload = bytes(buffer[at + 9 : at + 9 + size])
            at += 9 + size
            self._frame(kind, flags, identifier & 0x7FFFFFFF, payload)
        del buffer[:at]

    def _frame(self, kind: int, flags: int, identifier: int, payload: bytes) -> None:
        if self._block is not None and kind != _CONTINUATION:
            raise _Fault(_PROTOCOL_ERROR, "frame inside a header block")
        if kind == _DATA:
            self._on_data(flags, identifier, payload)
        elif kind == _HEADERS:
            if flags & _PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & _WITH_PRIORITY:
                payload = payload[5:]
            self._block = (identifier, flags, bytearray(payload))
            if flags & _END_HEADERS:
                self._on_headers()
        elif kind == _CONTINUATION:
            if self._block is None or self._block[0] != identifier:
                raise _Fault(_PROTOCOL_ERROR, "continuation of nothing")
            self._block[2].extend(payload)
            if len(self._block[2]) > _MAXIMUM_HEADER_BLOCK:
                raise _Fault(_ENHANCE_YOUR_CALM, "headers of the daemon too large")
            if flags & _END_HEADERS:
                self._on_headers()
        elif kind == _SETTINGS:
            if not flags & _ACK:
                self._on_settings(payload)
        elif kind == _PING:
            if not flags & _ACK:
                self.put_frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE:
            self._on_window_update(identifier, payload)
        elif kind == _RST_STREAM:
            if stream := self._streams.pop(identifier, None):
                stream.reset_code = struct.unpack(">I", payload)[0]
                stream.closed = True
        elif kind == _GOAWAY:
            self._on_goaway(payload)
        elif kind == _PUSH_PROMISE:
            raise _Fault(_PROTOCOL_ERROR, "push is switched off")
        # PRIORITY and unknown kinds are ignored (section 5.5).

    def _on_data(self, flags: int, identifier: int, payload: bytes) -> None:
        self._unreturned += len(payload)
        if self._unreturned >= _RETURN_AT:
            self.put_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unreturned))
            self._unreturned = 0
        stream = self._streams.get(identifier)
        if stream is None:
            return  # cancelled; the connection's window was counted above
        flow = len(payload)
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        stream.on_data(payload, flow)
        if flags & _END_STREAM:
            stream.closed = True
            self.forget(stream)

    def _on_headers(self) -> None:
        assert self._block is not None
        identifier, flags, block = self._block
        self._block = None
        headers = dict(self._decoder.decode(bytes(block)))  # always, to keep the table in step
        stream = self._streams.get(identifier)
        if stream is None:
            return
        if stream.headers or flags & _END_STREAM:
            stream.trailers = headers
        if not stream.headers:
            stream.headers = headers
        if flags & _END_STREAM:
            stream.closed = True
            self.forget(stream)

    def _on_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == 0x3:
                self._maximum_streams = max(1, value)
            elif name == 0x4:
                if value > _MAXIMUM_WINDOW:
                    raise _Fault(_FLOW_CONTROL_ERROR, "initial window too large")
                for stream in self._streams.values():
                    stream.send_window += value - self._initial_window
                self._initial_window = value
            elif name == 0x5:
                self.frame_size = value
        self.put_frame(_SETTINGS, _ACK, 0, b"")

    def _on_window_update(self, identifier: int, payload: bytes) -> None:
        size = struct.unpack(">I", payload)[0] & _MAXIMUM_WINDOW
        if identifier == 0:
            self.send_window += size
        elif stream := self._streams.get(identifier):
            stream.send_window += size

    def _on_goaway(self, payload: bytes) -> None:
        last, code = struct.unpack_from(">II", payload)
        text = payload[8:].decode("utf-8", "replace").split("\n")[0]
        self._going_away = "the daemon is shutting down" + (f": {text}" if code and text else "")
        for stream in [s for i, s in self._streams.items() if i > last & _MAXIMUM_WINDOW]:
            stream.error = TransportError(self._going_away)
            stream.closed = True
            self.forget(stream)
