"""Opening the byte stream to the daemon: unix sockets, and tcp with TLS."""

from __future__ import annotations

import _socket  # socket adds 6 ms of enums a unix socket has no use for
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl


_CONNECT_SECONDS = 30.0


class UnixWire:
    """A connected unix stream socket that never blocks."""

    def __init__(self, path: str) -> None:
        """Connect to the socket at ``path``; raises OSError."""
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._socket.settimeout(
            _CONNECT_SECONDS
        )  # connect(2) blocks when the queue of a stuck daemon is full
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def receive(self, size: int) -> bytes | None:
        """Return what is there, b"" at the end, None when nothing is there; raises OSError."""
        try:
            return self._socket.recv(size)
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send and return how much went, 0 when it would block; raises OSError."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class TlsWire:
    """A TLS connection over tcp that never blocks."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        """Take over a connection whose handshake is done."""
        self._socket = connection
        connection.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def receive(self, size: int) -> bytes | None:
        """Return what is there, b"" at the end, None when nothing is there; raises OSError."""
        import ssl

        try:
            return self._socket.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:
            return b""

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send and return how much went, 0 when it would block; raises OSError."""
        import ssl

        try:
            return self._socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def open_tls(host: str, port: int, *, verify: bool, ca: str, certificate: str, key: str) -> TlsWire:
    """Connect to a daemon by TLS with ALPN h2; certificate and key may be empty.

    Raises OSError (ssl.SSLError is one), FileNotFoundError for files that are not there.
    """
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate and os.path.exists(certificate):
        context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    plain: socket.socket = socket.create_connection((host, port), timeout=32)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return TlsWire(context.wrap_socket(plain, server_hostname=host))
    except BaseException:
        plain.close()
        raise
