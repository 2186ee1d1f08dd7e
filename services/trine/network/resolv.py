"""resolv.conf of containers, made from the host's as Docker makes it (resolv.conf(5)). Decides only."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

EMBEDDED = "127.0.0.11"
FALLBACK = ("8.8.8.8", "8.8.4.4")


@dataclass(frozen=True)
class ResolvConf:
    """What a resolv.conf says."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse(text: str) -> ResolvConf:
    """Read the three keywords that matter; the last search line wins."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(words[1:])
        elif words[0] == "options":
            options += words[1:]
    return ResolvConf(tuple(servers), search, tuple(options))


def _address(server: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(server.split("%", 1)[0])
    except ValueError:
        return None


def usable_servers(conf: ResolvConf, ipv6: bool) -> tuple[str, ...]:
    """Return the servers a container can reach: no loopback, IPv6 only when it has IPv6."""
    found = []
    for server in conf.servers:
        address = _address(server)
        if address is None or address.is_loopback or (address.version == 6 and not ipv6):
            continue
        found.append(server)
    return tuple(found) or FALLBACK


def build(servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> str:
    """Write a resolv.conf in Docker's order; a search list of "." alone means none."""
    lines = []
    if search and list(search) != ["."]:
        lines.append("search " + " ".join(search))
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def for_container(
    host_text: str,
    *,
    embedded: bool,
    host_network: bool = False,
    ipv6: bool = False,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
) -> str:
    """Return a container's resolv.conf.

    ``embedded``: the server is 127.0.0.11, with ndots:0 unless the user set ndots. Else the given
    servers, or the host's that a container can reach, or Google's as Docker falls back to. On the
    host's network nothing is filtered.
    """
    host = parse(host_text)
    if embedded:
        chosen = list(options or host.options)
        if not any(option.startswith("ndots:") for option in options):
            chosen = [o for o in chosen if not o.startswith("ndots:")] + ["ndots:0"]
        return build([EMBEDDED], search or host.search, chosen)
    if host_network:
        if not (servers or search or options):
            return host_text
        return build(servers or host.servers, search or host.search, options or host.options)
    return build(servers or usable_servers(host, ipv6), search or host.search, options or host.options)
