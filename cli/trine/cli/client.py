"""Calls of the engine's API: methods by name, requests as mappings, answers as ``wire.Message``."""

from __future__ import annotations

from trine.cli import wire
from trine.cli.failure import Failure, UnreachableError
from trine.cli.transport.http2 import Connection, Stream, TransportError
from trine.v1.schema import METHODS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

DEFAULT_HOST = "unix:///run/trine/trine.sock"
_CODES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


class DaemonError(Failure):
    """The engine refused or failed: a gRPC status. ``str()`` is what the user reads."""

    def __init__(self, code: str, message: str, reason: str, metadata: dict[str, str]) -> None:
        """Keep the parts of a google.rpc.Status with ErrorInfo."""
        super().__init__(f"Error response from daemon: {message}", 1)
        self.code = code
        self.daemon_message = message
        self.reason = reason
        self.metadata = metadata


def _percent_decoded(text: str) -> str:
    """Return grpc-message decoded (gRPC over HTTP/2: percent-encoded UTF-8)."""
    raw = text.encode("latin-1")
    if b"%" not in raw:
        return raw.decode("utf-8", "replace")
    parts = raw.split(b"%")
    out = bytearray(parts[0])
    for part in parts[1:]:
        try:
            out.append(int(part[:2], 16))
            out += part[2:]
        except ValueError:
            out += b"%" + part
    return out.decode("utf-8", "replace")


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, octets) of the length-delimited fields of a message."""
    at = 0
    while at < len(data):
        tag, at = wire.read_varint(data, at)
        size, at = wire.read_varint(data, at)
        if tag & 7 == 2:
            yield tag >> 3, data[at : at + size]
            at += size


def _error_info(details: str) -> tuple[str, dict[str, str]]:
    """Return reason and metadata of the ErrorInfo in grpc-status-details-bin, empty when there is none."""
    import binascii

    reason, metadata = "", {}
    try:
        status = binascii.a2b_base64(details + "=" * (-len(details) % 4))
        for number, packed in _fields(status):
            if number != 3:  # google.rpc.Status.details
                continue
            parts = dict(_fields(packed))
            if not parts.get(1, b"").endswith(b"google.rpc.ErrorInfo"):
                continue
            for inner, value in _fields(parts.get(2, b"")):
                if inner == 1:
                    reason = value.decode()
                elif inner == 3:
                    entry = dict(_fields(value))
                    metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode("utf-8", "replace")
    except (ValueError, IndexError):
        pass  # details are a help; the status itself stands without them
    return reason, metadata


class Call:
    """One call under way."""

    def __init__(self, client: Client, stream: Stream, request: str, response: str) -> None:
        """Made by ``Client.start``."""
        self._client = client
        self.stream = stream
        self._request = request
        self._response = response

    def send(self, fields: Mapping[str, Any], *, end: bool = False) -> bool:
        """Send a request; return False when the engine has ended the call already."""
        return self.stream.send(wire.encode(self._request, fields), end=end)

    def finish(self) -> None:
        """Say that no more requests follow."""
        self.stream.finish()

    def cancel(self) -> None:
        """End the call now."""
        self.stream.cancel()

    def receive(self, timeout: float | None = None) -> wire.Message | None:
        """Return the next answer, None after the last one.

        Raises DaemonError when the call failed, TimeoutError after ``timeout`` seconds.
        """
        raw = self.stream.receive(timeout)
        if raw is not None:
            return wire.decode(self._response, raw)
        self.check()
        return None

    def take(self) -> wire.Message | None:
        """Return an answer that is already here, else None; never waits."""
        raw = self.stream.take()
        return None if raw is None else wire.decode(self._response, raw)

    @property
    def done(self) -> bool:
        """Whether the call has ended (answers may still be there to take)."""
        return self.stream.closed

    def check(self) -> None:
        """Raise the failure of a call that has ended: DaemonError or UnreachableError."""
        stream = self.stream
        if stream.error is not None:
            raise self._client.lost(stream.error)
        trailers = stream.trailers
        status = trailers.get("grpc-status")
        if status == "0":
            return
        if status is None:
            if stream.reset_code is not None:
                code = {0x8: "CANCELLED", 0x7: "UNAVAILABLE", 0xB: "RESOURCE_EXHAUSTED"}.get(
                    stream.reset_code, "INTERNAL"
                )
                raise DaemonError(code, f"call was reset (HTTP/2 error {stream.reset_code})", "", {})
            found = stream.headers.get(":status", "none")
            raise DaemonError("UNKNOWN", f"no gRPC status in the answer (HTTP status {found})", "", {})
        code = _CODES[int(status)] if status.isdigit() and int(status) < len(_CODES) else "UNKNOWN"
        reason, metadata = _error_info(trailers.get("grpc-status-details-bin", ""))
        raise DaemonError(code, _percent_decoded(trailers.get("grpc-message", "")), reason, metadata)

    def result(self) -> wire.Message:
        """Wait for the single answer of a unary or client-streaming call; raises DaemonError."""
        answer = self.receive()
        if answer is None:
            raise DaemonError("INTERNAL", "the daemon sent no answer", "", {})
        if not self.stream.closed:
            self.receive()
        else:
            self.check()
        return answer

    def __iter__(self) -> Iterator[wire.Message]:
        """Yield all answers; raises DaemonError when the call fails."""
        while (answer := self.receive()) is not None:
            yield answer


class Client:
    """The engine at one address; connects at the first call."""

    def __init__(self, host: str, tls: dict[str, str] | None = None) -> None:
        """Keep the address ("unix:///path" or "tcp://host:port") and the TLS files."""
        self.host = host
        self._tls = tls
        self._connection: Connection | None = None

    @property
    def local(self) -> bool:
        """Whether the engine is on this machine, so that descriptors can be passed to its shims."""
        return self.host.startswith("unix://")

    @property
    def connection(self) -> Connection:
        """The connection, opened when there is none; raises UnreachableError."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        from trine.cli.transport import connect

        if self.local:
            path = self.host[len("unix://") :]
            try:
                return Connection(connect.UnixWire(path))
            except PermissionError:
                raise UnreachableError(
                    "Got permission denied while trying to connect to the Trine daemon socket at "
                    f"{self.host}: dial unix {path}: connect: permission denied"
                ) from None
            except OSError as error:
                raise self.lost(TransportError(str(error))) from None
        from trine.cli.transport.address import connect_tcp

        return connect_tcp(self.host, self._tls)

    def lost(self, error: TransportError) -> UnreachableError:
        """Return what the user is told when the daemon is not (or no longer) there."""
        if self._connection is None or str(error) in ("Connection refused", "Connection reset by peer"):
            return UnreachableError(
                f"Cannot connect to the Trine daemon at {self.host}. Is the trine daemon running?"
            )
        return UnreachableError(f"error during connect: {error}. Is the trine daemon running?")

    def start(
        self, method: str, fields: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> Call:
        """Begin a call of "Service.Method"; with ``fields`` that is the only request.

        Raises UnreachableError when there is no daemon.
        """
        path, request, response, _, _ = METHODS[method]
        try:
            message = None if fields is None else wire.encode(request, fields)
        except UnicodeEncodeError:
            raise Failure("invalid argument: not valid UTF-8") from None
        try:
            stream = self.connection.open(path, timeout)
        except TransportError as error:
            raise self.lost(error) from None
        call = Call(self, stream, request, response)
        if message is not None:
            stream.send(message, end=True)
        return call

    def call(self, method: str, fields: Mapping[str, Any] | None = None) -> wire.Message:
        """Call a unary method and return its answer; raises DaemonError, UnreachableError."""
        return self.start(method, fields or {}).result()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
