"""docker search and the check behind docker login.

Docker Hub and old registries have an index API (/v1/search); others are listed by /v2/_catalog. A
bare term asks the mirror first when there is one: where Docker Hub cannot be reached it is all there is.
"""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass

from trine.image.endpoints import HUB_DOMAIN, Endpoint
from trine.image.listing import boolean, split_filters
from trine.image.models import Credentials
from trine.image.operation import Operation
from trine.image.registry import Registry, RegistryError, UnreachableError
from trine.image.store import ImageStore
from trine.kit.errors import (
    EngineError,
    InvalidArgumentError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)

_INDEX = "https://index.docker.io"
_LIMIT = 100
_DEFAULT = 25
_PAGES = 20


@dataclass(frozen=True)
class Found:
    """One repository."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False


def search(
    store: ImageStore,
    term: str,
    limit: int,
    filters: list[str],
    operation: Operation,
    credentials: Credentials | None,
) -> list[Found]:
    """Return repositories whose name has the term, most stars first. Raises EngineError."""
    wanted = split_filters(filters, ("is-official", "is-automated", "stars"))
    if limit < 0 or limit > _LIMIT:
        raise InvalidArgumentError(f"Limit {limit} is outside the range of [1, {_LIMIT}]")
    stars = wanted.get("stars", ["0"])[-1]
    if not stars.isdigit():
        raise InvalidArgumentError(f"Invalid filter 'stars={stars}'")
    official = boolean(wanted.get("is-official", []), "is-official")
    automated = boolean(wanted.get("is-automated", []), "is-automated")
    limit = limit or _DEFAULT
    if not term or term.startswith("/") or "://" in term:
        raise InvalidArgumentError(
            "invalid repository name: repository name (" + term + ") should not contain a scheme"
            if "://" in term
            else "invalid reference format"
        )
    found = _ask(store, term, limit, operation, credentials)
    kept = [
        item
        for item in found
        if item.stars >= int(stars)
        and (official is None or item.official == official)
        and (automated is None or item.automated == automated)
    ]
    return sorted(kept, key=lambda item: -item.stars)[:limit]


def _ask(
    store: ImageStore, term: str, limit: int, operation: Operation, credentials: Credentials | None
) -> list[Found]:
    host, slash, rest = term.partition("/")
    failure: EngineError | None = None
    if (
        slash
        and ("." in host or ":" in host or host == "localhost")
        and host not in (HUB_DOMAIN, "index.docker.io")
    ):
        endpoints = [(endpoint, f"{host}/", credentials) for endpoint in store.registry.endpoints(host)]
        term = rest
    else:
        if slash and host in (HUB_DOMAIN, "index.docker.io"):
            term = rest
        mirrors = [item for item in store.registry.endpoints(HUB_DOMAIN) if item.mirror]
        endpoints = [(endpoint, "", None) for endpoint in mirrors]
        endpoints.append((Endpoint((_INDEX,)), "", credentials))
    term = term.removeprefix("library/")
    for endpoint, prefix, sent in endpoints:
        registry = Registry(endpoint, "", sent, operation, store.registry)
        try:
            return _one(registry, term, limit, prefix)
        except UnreachableError as error:
            failure = failure or error
        except RegistryError as error:
            failure = failure or UnavailableError(f"Unexpected status code {error.status}")
    raise failure or NotFoundError("no registry to search")


def _one(registry: Registry, term: str, limit: int, prefix: str) -> list[Found]:
    """Ask one endpoint: its index, else its catalog."""
    with registry.connect() as connection:
        query = urllib.parse.urlencode({"q": term, "n": limit})
        try:
            with connection.request("GET", f"/v1/search?{query}", attempts=2) as response:
                return _parse_index(response.read(4 * 1024 * 1024), prefix)
        except RegistryError as error:
            if error.status not in (400, 404, 405, 501) or registry.endpoint.host == "index.docker.io":
                raise
        found: list[Found] = []
        for page in connection.pages("/v2/_catalog?n=1000", "repositories", _PAGES):
            for name in page:
                if term.lower() in name.lower():
                    shown = prefix + (name.removeprefix("library/") if not prefix else name)
                    found.append(Found(_line(shown), official=not prefix and name.startswith("library/")))
        return found


def _parse_index(raw: bytes, prefix: str) -> list[Found]:
    try:
        results = json.loads(raw).get("results") or []
    except (ValueError, AttributeError):
        raise UnavailableError("error decoding search results: not the answer of an index") from None
    found: list[Found] = []
    for item in results:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            stars = item.get("star_count")
            found.append(
                Found(
                    prefix + _line(item["name"]),
                    _line(str(item.get("description") or "")),
                    stars if isinstance(stars, int) and 0 <= stars < 1 << 62 else 0,
                    bool(item.get("is_official")),
                    bool(item.get("is_automated")),
                )
            )
    return found


def _line(text: str) -> str:
    """Return a text that cannot break a table or a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:4096]


def check_credentials(store: ImageStore, credentials: Credentials, operation: Operation) -> str:
    """Try credentials at their registry; return "Login Succeeded". Raises UnauthenticatedError."""
    server = credentials.server
    host = urllib.parse.urlsplit(server if "://" in server else f"//{server}").netloc or HUB_DOMAIN
    if host in ("index.docker.io", "docker.io", "registry-1.docker.io"):
        host = HUB_DOMAIN
    endpoint = store.registry.endpoints(host, push=True)[0]
    registry = Registry(endpoint, "", credentials, operation, store.registry)
    with registry.connect() as connection:
        try:
            with connection.request("GET", "/v2/", attempts=2) as response:
                response.read()
        except RegistryError as error:
            if error.status in (401, 403):
                raise UnauthenticatedError(
                    f'Get "{registry.url}/v2/": unauthorized: incorrect username or password'
                ) from None
            raise UnavailableError(
                f"login attempt to {registry.url}/v2/ failed with status: {error.status}"
            ) from None
    return "Login Succeeded"
