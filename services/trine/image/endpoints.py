"""Where registries are: Docker Hub and its mirrors, everybody else, and who need not use TLS. Pure."""

from __future__ import annotations

import ipaddress
import urllib.parse
from dataclasses import dataclass, field

from trine.kit.errors import InvalidArgumentError

HUB_DOMAIN = "docker.io"
_HUB_ENDPOINT = "https://registry-1.docker.io"


@dataclass(frozen=True)
class Endpoint:
    """Where a registry may be: URLs to try in order, and whether its certificate need not be valid."""

    urls: tuple[str, ...]
    insecure: bool = False
    mirror: bool = False

    @property
    def host(self) -> str:
        """host[:port]."""
        return urllib.parse.urlsplit(self.urls[0]).netloc


@dataclass
class RegistrySettings:
    """The daemon's --registry-mirror and --insecure-registry."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    schemes: dict[str, str] = field(default_factory=dict)  # of insecure hosts, as found out

    def endpoints(self, domain: str, *, push: bool = False) -> list[Endpoint]:
        """Return where images of a domain are looked for, in order; mirrors serve Docker Hub's only."""
        if domain == HUB_DOMAIN:
            mirrors = [] if push else [self._mirror(url) for url in self.mirrors]
            return [*mirrors, Endpoint((_HUB_ENDPOINT,))]
        if not self.is_insecure(domain):
            return [Endpoint((f"https://{domain}",))]
        return [Endpoint(tuple(f"{scheme}://{domain}" for scheme in ("https", "http")), insecure=True)]

    def _mirror(self, url: str) -> Endpoint:
        url = url.rstrip("/")
        return Endpoint((url,), insecure=self.is_insecure(urllib.parse.urlsplit(url).netloc), mirror=True)

    def is_insecure(self, host: str) -> bool:
        """Whether plain http and unknown certificates are all right: loopback, or told so."""
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or host in self.insecure or name in self.insecure:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        if address.is_loopback:
            return True
        for item in self.insecure:
            try:
                if address in ipaddress.ip_network(item, strict=False):
                    return True
            except ValueError:
                continue
        return False


def parse_mirror(url: str) -> str:
    """Check a --registry-mirror value; return it. Raises InvalidArgumentError in dockerd's words."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise InvalidArgumentError(f'invalid mirror: unsupported scheme "{parts.scheme}" in "{url}"')
    if not parts.netloc or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise InvalidArgumentError(f'invalid mirror: path, query, or fragment at end of the URI "{url}"')
    if parts.username or parts.password:
        raise InvalidArgumentError("invalid mirror: username/password not allowed in URI")
    return url
