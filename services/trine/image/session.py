"""Requests to one registry endpoint: the scheme that works, authentication, retries, redirects.

Credentials go to the registry itself and to https token servers only (RFC 9110, RFC 6750; the
distribution project's "Token Authentication Specification").
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from trine.image.endpoints import Endpoint, RegistrySettings
from trine.image.models import Credentials
from trine.image.operation import Operation
from trine.image.transport import RegistryError, explain, open_connection, target_of
from trine.kit.errors import UnauthenticatedError, UnavailableError

ATTEMPTS = 5
_IDLE_SECONDS = 60.0
_TOKEN_LIMIT = 1024 * 1024
_ERROR_LIMIT = 64 * 1024
_REDIRECTS = 5
_USER_AGENT = "trine/0.1 (docker-compatible)"
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


class Session:
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
        self.settings = settings
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
            if not self.settings.is_insecure(realm.netloc):
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
        insecure = self.settings.is_insecure(realm.netloc)
        url = urllib.parse.urlunsplit(realm)
        connection = open_connection(url, insecure)
        encoded = urllib.parse.urlencode(form)
        try:
            if method == "POST":
                headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", target_of(realm), encoded.encode(), headers)
            else:
                separator = "&" if realm.query else "?"
                connection.request("GET", f"{target_of(realm)}{separator}{encoded}", headers=headers)
            response = connection.getresponse()
            body = response.read(_TOKEN_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            raise explain(method, url, error) from None
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

    def use_next_url(self, failed: str) -> bool:
        """After a failed first contact at ``failed``: go on to plain http where that is allowed."""
        with self._lock:
            return self._use_next_url(failed)

    def _use_next_url(self, failed: str) -> bool:
        if not failed.startswith(self.url + "/"):
            return True  # another thread of this operation has gone on meanwhile
        host, urls = self.endpoint.host, self.endpoint.urls
        known = self.settings.schemes.get(host)
        if known is not None and not self.url.startswith(known + ":"):
            # Another request has found out meanwhile.
            self.url = next(url for url in urls if url.startswith(known + ":"))
            return True
        # What was known may have changed: the next request finds out anew.
        self.settings.schemes.pop(host, None)
        position = urls.index(self.url)
        if known is not None or position + 1 >= len(urls):
            return False
        self.url = urls[position + 1]
        return True

    def works(self) -> None:
        """Remember that this scheme is the right one."""
        if len(self.endpoint.urls) > 1:
            self.settings.schemes[self.endpoint.host] = urllib.parse.urlsplit(self.url).scheme


class Requests:
    """Requests of one thread, over one kept-alive connection. A context manager."""

    def __init__(self, registry: Session) -> None:
        self.registry = registry
        self._http: http.client.HTTPConnection | None = None
        self._http_url = ""

    def __enter__(self) -> Self:
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
            self._http = open_connection(base, self.registry.settings.is_insecure(parts.netloc))
            self._http_url = base
        reused = self._http.sock is not None
        if not reused:
            self._http.connect()
            self._http.sock.settimeout(_IDLE_SECONDS)
        self._http.request(
            method, target_of(parts), body=body, headers={"User-Agent": _USER_AGENT, **headers}
        )
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
        attempts: int = ATTEMPTS,
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
                    if "://" not in path and self.registry.use_next_url(url):
                        continue
                    refused = isinstance(
                        error, (ConnectionRefusedError, socket.gaierror, ssl.SSLError, TimeoutError)
                    )
                    if refused or attempt >= attempts:
                        # As Docker, which asks for /v2/ before anything else.
                        raise explain("GET", f"{self.registry.url}/v2/" if refused else url, error) from None
                    operation.sleep(0.1 * 2**attempt)
                    continue
                self.registry.works()
                if response.status == 401 and not authenticated:
                    challenges = response.headers.get_all("WWW-Authenticate") or []
                    self.drain(response)
                    self.registry.authenticate(challenges, extra_scopes)
                    authenticated = True
                    continue
                if (response.status == 429 or response.status >= 500) and attempt + 1 < attempts:
                    self.drain(response)
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
            self.drain(response)
            parts = urllib.parse.urlsplit(target)
            insecure_ok = self.registry.settings.is_insecure(parts.netloc)
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

    def drain(self, response: http.client.HTTPResponse) -> bytes:
        """Read a small answer to its end, or close the connection."""
        body = response.read(_ERROR_LIMIT)
        if not response.isclosed():
            self.close()
        return body

    def _failure(self, response: http.client.HTTPResponse, url: str) -> RegistryError:
        body = self.drain(response)
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
