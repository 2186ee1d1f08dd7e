"""Addresses of a daemon: what -H takes, and the way to one by tcp."""

from __future__ import annotations

from trine.cli.failure import Failure
from trine.cli.transport import connect
from trine.cli.transport.http2 import Connection


def parse_host(text: str) -> str:
    """Return a -H value in its full form, "unix:///path" or "tcp://host:port".

    Raises Failure with Docker's text for anything else.
    """
    value = text.strip()
    if value.startswith("unix://"):
        return "unix://" + (value[len("unix://") :] or "/run/trine/trine.sock")
    if value.startswith("/"):
        return "unix://" + value
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "tcp", value
    if scheme != "tcp":
        raise Failure(
            f"Failed to initialize: unable to resolve trine endpoint: invalid bind address format: {text}"
        )
    host, port = split_host_port(rest.rstrip("/"))
    return f"tcp://{host if ':' not in host else f'[{host}]'}:{port}"


def split_host_port(text: str) -> tuple[str, int]:
    """Return host and port of "host:port", "[v6]:port" or "host" (port 2376).

    Raises Failure when the port is no number.
    """
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.lstrip(":")
    else:
        host, _, port = text.partition(":")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise Failure(f"invalid bind address ({text}): invalid port")
    return host or "localhost", int(port or 2376)


def connect_tcp(host: str, tls: dict[str, str] | None) -> Connection:
    """Return a connection to a daemon that listens on tcp (always with TLS).

    Raises Failure when TLS was not asked for, a file is missing or the handshake fails.
    """
    import ssl

    from trine.cli.failure import UnreachableError

    name, port = split_host_port(host[len("tcp://") :])
    if tls is None:
        _refuse_plain(host, name, port)
        raise Failure(f"{host}: a daemon on tcp is only reached with --tls or --tlsverify")
    verify = tls.get("verify") == "true"
    try:
        wire = connect.open_tls(
            name, port, verify=verify, ca=tls["ca"], certificate=tls["certificate"], key=tls["key"]
        )
    except FileNotFoundError as error:
        missing = error.filename or tls["ca"]
        raise Failure(
            f"failed to retrieve context tls info: open {missing}: no such file or directory"
        ) from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise UnreachableError(f"error during connect: tls: {reason}") from None
    except OSError:
        raise UnreachableError(
            f"Cannot connect to the Trine daemon at {host}. Is the trine daemon running?"
        ) from None
    return Connection(wire, authority=name, scheme="https")


def _refuse_plain(host: str, name: str, port: int) -> None:
    """Say that nothing listens, when that is so, before talking of TLS; raises UnreachableError."""
    import socket

    from trine.cli.failure import UnreachableError

    try:
        socket.create_connection((name, port), timeout=10).close()
    except OSError:
        raise UnreachableError(
            f"Cannot connect to the Trine daemon at {host}. Is the trine daemon running?"
        ) from None
