"""A client of the OCI distribution specification (v1.1; Docker Registry HTTP API V2), on http.client.

One ``Registry`` is one endpoint for one repository within one operation; each thread that talks to it
takes a ``Connection``. Credentials go to the registry itself and to https token servers only.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trine.image import spec
from trine.image.endpoints import Endpoint, RegistrySettings
from trine.image.models import Credentials
from trine.image.operation import Operation
from trine.image.spec import Descriptor
from trine.kit.errors import (
    DataLossError,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)

_CERTIFICATES = (Path("/etc/trine/certs.d"), Path("/etc/docker/certs.d"))
_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 60.0
_ATTEMPTS = 5
_TOKEN_LIMIT = 1024 * 1024
_ERROR_LIMIT = 64 * 1024
_REDIRECTS = 5
_CHUNK = 512 * 1024
_USER_AGENT = "trine/0.1 (docker-compatible)"


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


def _explain(method: str, url: str, error: Exception) -> UnreachableError:
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


def _open(url: str, insecure: bool) -> http.client.HTTPConnection:
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


_PARAMETER = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


def parse_challenge(values: list[str]) -> tuple[str, dict[str, str]]:
    """Return ("bearer"|"basic"|"", parameters) of WWW-Authenticate headers, bearer preferred."""
    found: dict[str, dict[str, str]] = {}
    for value in values:
        kind, _, rest = value.strip().partition(" ")
        found[kind.lower()] = dict(_PARAMETER.findall(rest))
    for kind in ("bearer", "basic"):
        if kind in found:
            return kind, found[kind]
    return "", {}


class Registry:
    """One endpoint for one repository: knows the scheme that works and how to authenticate."""

    def __init__(
        self,
        endpoint: Endpoint,
        repository: str,
        credentials: Credentials | None,
        operation: Operation,
        settings: RegistrySettings,
        actions: str = "pull",
    ) -> None:
        """``actions`` is what tokens are asked for: "pull" or "pull,push"."""
        self.endpoint = endpoint
        self.repository = repository
        self.operation = operation
        self._settings = settings
        self._credentials = credentials or Credentials()
        self._scope = f"repository:{repository}:{actions}" if repository else ""
        self._lock = threading.Lock()
        self._authorization = ""
        self.url = endpoint.urls[0]
        known = settings.schemes.get(endpoint.host)
        if known and len(endpoint.urls) > 1:
            self.url = next(url for url in endpoint.urls if url.startswith(known + ":"))

    # --- authentication ------------------------------------------------------------------------
    def authenticate(self, challenges: list[str], extra_scopes: tuple[str, ...] = ()) -> None:
        """Answer a 401. Raises UnauthenticatedError when there is nothing to answer with."""
        kind, parameters = parse_challenge(challenges)
        with self._lock:
            if kind == "bearer":
                self._authorization = f"Bearer {self._token(parameters, extra_scopes)}"
            elif kind == "basic" and self._credentials.username:
                self._authorization = self._basic()
            elif kind == "basic":
                raise UnauthenticatedError(f'Get "{self.url}/v2/": no basic auth credentials')
            else:
                raise UnauthenticatedError("unauthorized: authentication required")

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    def _token(self, parameters: dict[str, str], extra_scopes: tuple[str, ...]) -> str:
        realm = urllib.parse.urlsplit(parameters.get("realm", ""))
        here = urllib.parse.urlsplit(self.url)
        if realm.scheme not in ("http", "https") or not realm.hostname:
            raise UnauthenticatedError("unauthorized: the registry names no valid token server")
        if realm.scheme == "http" and realm.netloc != here.netloc:
            if self._credentials:
                raise UnauthenticatedError(
                    f"refusing to send credentials to http://{realm.netloc}: the token server is another "
                    "host and does not use https",
                    reason="INSECURE_TOKEN_SERVER",
                )
            if not self._settings.is_insecure(realm.netloc):
                raise UnauthenticatedError(f"refusing to ask for a token at http://{realm.netloc}: not https")
        scopes = [s for s in (parameters.get("scope") or self._scope, *extra_scopes) if s]
        query = [("service", parameters["service"])] if "service" in parameters else []
        if self._credentials.identity_token:
            form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", self._credentials.identity_token),
                ("client_id", "trine"),
                ("scope", " ".join(scopes)),
                *query,
            ]
            return self._ask_token("POST", realm, form, {})
        headers = {"Authorization": self._basic()} if self._credentials.username else {}
        if self._credentials.username:
            query.append(("account", self._credentials.username))
        return self._ask_token("GET", realm, [*query, *(("scope", s) for s in scopes)], headers)

    def _ask_token(
        self,
        method: str,
        realm: urllib.parse.SplitResult,
        form: list[tuple[str, str]],
        headers: dict[str, str],
    ) -> str:
        insecure = self._settings.is_insecure(realm.netloc)
        url = urllib.parse.urlunsplit(realm)
        connection = _open(url, insecure)
        encoded = urllib.parse.urlencode(form)
        try:
            if method == "POST":
                headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", _target(realm), encoded.encode(), headers)
            else:
                separator = "&" if realm.query else "?"
                connection.request("GET", f"{_target(realm)}{separator}{encoded}", headers=headers)
            response = connection.getresponse()
            body = response.read(_TOKEN_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            raise _explain(method, url, error) from None
        finally:
            connection.close()
        if response.status in (401, 403):
            raise UnauthenticatedError(
                f'{method.capitalize()} "{url}": unauthorized: incorrect username or password'
                if self._credentials
                else "unauthorized: authentication required"
            )
        try:
            document = json.loads(body) if response.status == 200 else {}
            token = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token.isprintable():
            raise UnavailableError(f'{method.capitalize()} "{url}": no token (HTTP status {response.status})')
        return token

    @property
    def authorization(self) -> str:
        """The header value that worked last, or empty."""
        return self._authorization

    def connect(self) -> Connection:
        """Return a connection for one thread; close it."""
        return Connection(self)

    def use_next_url(self) -> bool:
        """After a failed first contact: go on to plain http where that is allowed."""
        host, urls = self.endpoint.host, self.endpoint.urls
        known = self._settings.schemes.get(host)
        if known is not None and not self.url.startswith(known + ":"):
            # Another request has found out meanwhile.
            self.url = next(url for url in urls if url.startswith(known + ":"))
            return True
        # What was known may have changed: the next request finds out anew.
        self._settings.schemes.pop(host, None)
        position = urls.index(self.url)
        if known is not None or position + 1 >= len(urls):
            return False
        self.url = urls[position + 1]
        return True

    def works(self) -> None:
        """Remember that this scheme is the right one."""
        if len(self.endpoint.urls) > 1:
            self._settings.schemes[self.endpoint.host] = urllib.parse.urlsplit(self.url).scheme


def _target(parts: urllib.parse.SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class Connection:
    """Requests of one thread, over one kept-alive connection. A context manager."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._http: http.client.HTTPConnection | None = None
        self._http_url = ""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _interrupt(self) -> None:
        connection = self._http
        sock = getattr(connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: Any, *, fresh: bool = False
    ) -> http.client.HTTPResponse:
        parts = urllib.parse.urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        if fresh or self._http is None or self._http_url != base:
            self.close()
            self._http = _open(base, self.registry._settings.is_insecure(parts.netloc))
            self._http_url = base
        reused = self._http.sock is not None
        if not reused:
            self._http.connect()
            self._http.sock.settimeout(_IDLE_SECONDS)
        self._http.request(method, _target(parts), body=body, headers={"User-Agent": _USER_AGENT, **headers})
        return self._http.getresponse()

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: Callable[[], Any] | bytes | None = None,
        expected: tuple[int, ...] = (200,),
        extra_scopes: tuple[str, ...] = (),
        attempts: int = _ATTEMPTS,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request, authenticate, follow redirects, try again what may work later.

        ``path`` is below the registry's URL or a whole URL it gave us; a callable ``body`` is called
        for each attempt. Raises RegistryError for an unexpected status, UnreachableError, and the
        operation's errors when it is cancelled.
        """
        operation = self.registry.operation
        authenticated = False
        attempt = 0
        with operation.on_cancel(self._interrupt):
            while True:
                operation.check()
                url = path if "://" in path else self.registry.url + path
                sent = dict(headers or {})
                if self.registry.authorization and url.startswith(self.registry.url + "/"):
                    sent["Authorization"] = self.registry.authorization
                try:
                    response = self._send(
                        method, url, sent, body() if callable(body) else body, fresh=attempt > 0
                    )
                    response = self._follow(method, url, response, headers or {})
                except (OSError, http.client.HTTPException) as error:
                    self.close()
                    operation.check()
                    attempt += 1
                    if "://" not in path and self.registry.use_next_url():
                        continue
                    refused = isinstance(
                        error, (ConnectionRefusedError, socket.gaierror, ssl.SSLError, TimeoutError)
                    )
                    if refused or attempt >= attempts:
                        # As Docker, which asks for /v2/ before anything else.
                        raise _explain("GET", f"{self.registry.url}/v2/" if refused else url, error) from None
                    operation.sleep(0.1 * 2**attempt)
                    continue
                self.registry.works()
                if response.status == 401 and not authenticated:
                    challenges = response.headers.get_all("WWW-Authenticate") or []
                    self._drain(response)
                    self.registry.authenticate(challenges, extra_scopes)
                    authenticated = True
                    continue
                if (response.status == 429 or response.status >= 500) and attempt + 1 < attempts:
                    self._drain(response)
                    attempt += 1
                    operation.sleep(0.1 * 2**attempt)
                    continue
                break
            if response.status not in expected:
                raise self._failure(response, url)
            try:
                yield response
            finally:
                if not response.isclosed():
                    self.close()  # not read to its end: cannot be used again

    def _follow(
        self, method: str, url: str, response: http.client.HTTPResponse, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """Follow redirects of reads; credentials stay behind (RFC 9110, 15.4)."""
        for _ in range(_REDIRECTS):
            if response.status not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD"):
                return response
            target = urllib.parse.urljoin(url, response.headers.get("Location", ""))
            self._drain(response)
            parts = urllib.parse.urlsplit(target)
            insecure_ok = self.registry._settings.is_insecure(parts.netloc)
            if parts.scheme not in ("http", "https"):
                raise http.client.HTTPException("redirect to another protocol")
            if parts.scheme == "http" and url.startswith("https:") and not insecure_ok:
                raise UnavailableError(
                    f'{method.capitalize()} "{url}": refusing a redirect from https to http'
                )
            sent = dict(headers)
            if target.startswith(self.registry.url + "/") and self.registry.authorization:
                sent["Authorization"] = self.registry.authorization
            url = target
            response = self._send(method, url, sent, None)
        raise UnavailableError(f'{method.capitalize()} "{url}": stopped after {_REDIRECTS} redirects')

    def _drain(self, response: http.client.HTTPResponse) -> bytes:
        body = response.read(_ERROR_LIMIT)
        if not response.isclosed():
            self.close()
        return body

    def _failure(self, response: http.client.HTTPResponse, url: str) -> RegistryError:
        body = self._drain(response)
        code, message = "", ""
        try:
            first = json.loads(body)["errors"][0]
            code, message = str(first.get("code") or ""), str(first.get("message") or "")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            pass
        clean = " ".join(message.split())[:500]
        clean = "".join(c for c in clean if c.isprintable())
        if not re.fullmatch(r"[A-Za-z_]{1,64}", code):
            code = {401: "UNAUTHORIZED", 403: "DENIED"}.get(response.status, "")
            clean = clean or {
                401: "authentication required",
                403: "requested access to the resource is denied",
            }.get(response.status, "")
        return RegistryError(response.status, code.upper(), clean, url)

    # --- reads ---------------------------------------------------------------------------------
    def manifest(self, what: str) -> tuple[bytes, str, str]:
        """Return (bytes, content type, digest) of a tag or digest. Raises DataLossError for a liar."""
        path = f"/v2/{self.registry.repository}/manifests/{what}"
        with self.request("GET", path, headers={"Accept": ", ".join(spec.ACCEPT)}) as response:
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length) > spec.MANIFEST_LIMIT:
                raise InvalidArgumentError(
                    f"manifest of {int(length)} bytes is larger than {spec.MANIFEST_LIMIT}"
                )
            raw = self._read_limited(response, spec.MANIFEST_LIMIT)
            content_type = response.headers.get("Content-Type", "")
            promised = response.headers.get("Docker-Content-Digest", "")
        digest = spec.sha256(raw)
        if what.startswith("sha256:") and digest != what:
            raise DataLossError(f"manifest verification failed for digest {what}")
        if promised.startswith("sha256:") and promised != digest and not what.startswith("sha256:"):
            raise DataLossError(f"manifest verification failed for digest {promised[:80]}")
        return raw, content_type, digest

    @staticmethod
    def _read_limited(response: http.client.HTTPResponse, limit: int) -> bytes:
        try:
            raw = response.read(limit + 1)
        except (OSError, http.client.HTTPException):
            raise UnreachableError("unexpected EOF while reading from the registry") from None
        if len(raw) > limit:
            raise InvalidArgumentError(f"manifest is larger than {limit} bytes")
        return raw

    def small_blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a verified small blob (a config). Raises DataLossError."""
        path = f"/v2/{self.registry.repository}/blobs/{descriptor.digest}"
        with self.request("GET", path) as response:
            raw = self._read_limited(response, min(limit, descriptor.size))
        if len(raw) != descriptor.size or spec.sha256(raw) != descriptor.digest:
            raise DataLossError(f"image config verification failed for digest {descriptor.digest}")
        return raw

    def download(self, descriptor: Descriptor, target: Path, progress: Callable[[int], None]) -> None:
        """Write a blob to a new file, verified in digest and size, going on where a connection broke.

        Raises DataLossError when it is not what the manifest says, OSError when it cannot be written.
        """
        operation = self.registry.operation
        path = f"/v2/{self.registry.repository}/blobs/{descriptor.digest}"
        digest = hashlib.sha256()
        done = 0
        failures = 0
        descriptor_file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while True:
                before = done
                headers = {"Range": f"bytes={done}-"} if done else {}
                try:
                    with self.request("GET", path, headers=headers, expected=(200, 206)) as response:
                        if done and response.status == 200:
                            digest, done = hashlib.sha256(), 0  # it cannot resume: from the start
                            os.ftruncate(descriptor_file, 0)
                            os.lseek(descriptor_file, 0, os.SEEK_SET)
                        length = response.headers.get("Content-Length", "")
                        if length.isdigit() and int(length) != descriptor.size - done:
                            raise DataLossError(_wrong_size(descriptor))
                        for chunk in self._chunks(response):
                            done += len(chunk)
                            if done > descriptor.size:
                                break
                            digest.update(chunk)
                            _write(descriptor_file, chunk)
                            progress(done)
                    if done >= descriptor.size:
                        break
                    raise http.client.IncompleteRead(b"")
                except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                    self.close()
                    operation.check()
                    failures = failures + 1 if done == before else 1
                    if failures >= _ATTEMPTS:
                        raise _explain("GET", self.registry.url + path, error) from None
                    operation.sleep(0.1 * 2**failures)
        finally:
            os.close(descriptor_file)
        if done != descriptor.size:
            raise DataLossError(_wrong_size(descriptor))
        if "sha256:" + digest.hexdigest() != descriptor.digest:
            raise DataLossError(f"filesystem layer verification failed for digest {descriptor.digest}")

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        while True:
            self.registry.operation.check()
            chunk = response.read1(_CHUNK)
            if not chunk:
                return
            yield chunk

    def pages(self, path: str, key: str, limit: int = 100) -> Iterator[list[str]]:
        """Yield the lists of texts of a paginated answer (tags/list, _catalog)."""
        for _ in range(limit):
            with self.request("GET", path) as response:
                raw = self._read_limited(response, spec.MANIFEST_LIMIT)
                link = response.headers.get("Link", "")
            try:
                items = json.loads(raw).get(key) or []
            except (ValueError, AttributeError):
                raise UnavailableError(
                    f'Get "{self.registry.url}{path}": not the answer of a registry'
                ) from None
            yield [item for item in items if isinstance(item, str)]
            match = re.search(r'<([^>]+)>;\s*rel="?next"?', link)
            if match is None:
                return
            following = urllib.parse.urlsplit(urllib.parse.urljoin(self.registry.url + path, match[1]))
            path = _target(following)

    # --- writes --------------------------------------------------------------------------------
    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        path = f"/v2/{self.registry.repository}/blobs/{digest}"
        with self.request("HEAD", path, expected=(200, 404)) as response:
            response.read()
            return response.status == 200

    def start_upload(self, mount: str = "", source: str = "") -> str:
        """Start an upload; return its URL, or "" when the blob could be mounted from ``source``."""
        path = f"/v2/{self.registry.repository}/blobs/uploads/"
        scopes: tuple[str, ...] = ()
        if mount:
            path += "?" + urllib.parse.urlencode({"mount": mount, "from": source})
            scopes = (f"repository:{source}:pull",)
        with self.request("POST", path, body=b"", expected=(201, 202), extra_scopes=scopes) as response:
            response.read()
            if response.status == 201:
                return ""
            location = response.headers.get("Location", "")
        if not location:
            raise UnavailableError("the registry gave no place to upload to")
        return urllib.parse.urljoin(self.registry.url + path, location)

    def upload(self, location: str, digest: str, size: int, body: Callable[[], Any]) -> None:
        """Send a whole blob to an upload (distribution-spec, "POST then PUT")."""
        parts = urllib.parse.urlsplit(location)
        query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        full = urllib.parse.urlunsplit(
            parts._replace(query=urllib.parse.urlencode([*query, ("digest", digest)]))
        )
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self.request(
            "PUT", full, headers=headers, body=body, expected=(201, 204), attempts=1
        ) as response:
            response.read()

    def put_manifest(self, tag: str, media_type: str, raw: bytes) -> None:
        """Store a manifest under a tag."""
        path = f"/v2/{self.registry.repository}/manifests/{tag}"
        with self.request(
            "PUT", path, headers={"Content-Type": media_type}, body=raw, expected=(201, 200)
        ) as response:
            response.read()
            promised = response.headers.get("Docker-Content-Digest", "")
        if promised.startswith("sha256:") and promised != spec.sha256(raw):
            raise DataLossError(f"the registry stored the manifest as {promised[:80]}, not as it was sent")


def _wrong_size(descriptor: Descriptor) -> str:
    return (
        f"filesystem layer verification failed for digest {descriptor.digest}: size is not {descriptor.size}"
    )


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
