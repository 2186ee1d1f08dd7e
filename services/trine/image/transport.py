"""Connections to registries: TLS, proxies, and errors in words Docker's users know."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse
from pathlib import Path

from trine.kit.errors import InvalidArgumentError, UnavailableError

_CERTIFICATES = (Path("/etc/trine/certs.d"), Path("/etc/docker/certs.d"))
_CONNECT_SECONDS = 10.0


class RegistryError(Exception):
    """What a registry answered instead of what was asked: HTTP status and its own error code."""

    def __init__(self, status: int, code: str, message: str, url: str) -> None:
        """``code`` as in the specification ("MANIFEST_UNKNOWN"), or empty."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.url = url

    @property
    def text(self) -> str:
        """The error as Docker prints it: "manifest unknown: manifest unknown"."""
        if self.code:
            return f"{self.code.lower().replace('_', ' ')}: {self.message}"
        phrase = http.client.responses.get(self.status, "")
        return f"received unexpected HTTP status: {self.status} {phrase}".rstrip()


class UnreachableError(UnavailableError):
    """No answer from the registry at all."""

    default_reason = "REGISTRY_UNREACHABLE"


def explain(method: str, url: str, error: Exception) -> UnreachableError:
    """Return a network error in the words of Go's net/http, which Docker's users know."""
    where = urllib.parse.urlsplit(url)
    address = "127.0.0.1" if where.hostname == "localhost" else where.hostname
    port = where.port or (443 if where.scheme == "https" else 80)
    verb = method.capitalize()
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"x509: {error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        reason = f"tls: {(error.reason or 'handshake failure').lower().replace('_', ' ')}"
    elif isinstance(error, socket.gaierror):
        reason = f"dial tcp: lookup {where.hostname}: no such host"
    elif isinstance(error, TimeoutError):
        reason = f"dial tcp {address}:{port}: i/o timeout"
    elif isinstance(error, ConnectionRefusedError):
        reason = f"dial tcp {address}:{port}: connect: connection refused"
    elif isinstance(error, http.client.HTTPException):
        reason = (
            "unexpected EOF" if isinstance(error, http.client.IncompleteRead) else "malformed HTTP response"
        )
    elif isinstance(error, OSError) and error.strerror:
        reason = f"dial tcp {address}:{port}: {error.strerror.lower()}"
    else:
        reason = "EOF"
    return UnreachableError(f'{verb} "{url}": {reason}')


def _tls_context(host: str, insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for base in _CERTIFICATES:
        directory = base / host
        for file in sorted(directory.glob("*.crt")) if directory.is_dir() else ():
            context.load_verify_locations(file)
        for file in sorted(directory.glob("*.cert")) if directory.is_dir() else ():
            context.load_cert_chain(file, file.with_suffix(".key"))
    return context


def _proxy(parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    if parts.scheme not in proxies or proxy_bypass(parts.hostname or ""):
        return None
    return urllib.parse.urlsplit(proxies[parts.scheme])


def open_connection(url: str, insecure: bool) -> http.client.HTTPConnection:
    """Return a connection to a URL's host, not yet connected."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgumentError(f"invalid registry address {url!r}")
    proxy = _proxy(parts)
    host, port = parts.hostname, parts.port
    if parts.scheme == "https":
        context = _tls_context(parts.netloc, insecure)
        if proxy is not None and proxy.hostname:
            tunnel = http.client.HTTPSConnection(
                proxy.hostname, proxy.port, timeout=_CONNECT_SECONDS, context=context
            )
            tunnel.set_tunnel(host, port or 443)
            return tunnel
        return http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=context)
    return http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)


def target_of(parts: urllib.parse.SplitResult) -> str:
    """Return path and query, what goes into the request line."""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
