"""Content of /etc/hosts, /etc/hostname and /etc/resolv.conf in a container, and --link's variables. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from trine.v1 import container_pb2, network_pb2

_DEFAULT = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def compose_hosts(
    config: container_pb2.ContainerConfig,
    endpoints: Iterable[network_pb2.Endpoint],
    links: Iterable[tuple[str, str]] = (),
    host_gateway: str = "",
    own_name: bool = True,
) -> bytes:
    """Return /etc/hosts in Docker's order: loopback names, --add-host, links, then its own addresses.

    ``links`` are (address, names); ``host_gateway`` stands for the address of that name in --add-host.
    """
    lines = [_DEFAULT]
    for text in config.extra_hosts:
        name, address = split_extra_host(text)
        lines.append(f"{host_gateway if address == 'host-gateway' else address}\t{name}\n")
    lines.extend(f"{address}\t{names}\n" for address, names in links)
    if own_name:
        names = own_names(config)
        for endpoint in endpoints:
            lines.extend(
                f"{address}\t{names}\n"
                for address in (endpoint.ipv4_address, endpoint.ipv6_address)
                if address
            )
    return "".join(lines).encode()


def own_names(config: container_pb2.ContainerConfig) -> str:
    """Return a container's own names as /etc/hosts has them: the full one, then its first label."""
    full = f"{config.hostname}.{config.domainname}" if config.domainname else config.hostname
    first = full.partition(".")[0]
    return f"{full} {first}" if first != full else full


def split_extra_host(text: str) -> tuple[str, str]:
    """Split "name:address" (the address may hold colons) into its parts; ("", "") when it is neither."""
    name, separator, address = text.partition(":")
    return (name, address.strip("[]")) if separator else ("", "")


def hostname_file(config: container_pb2.ContainerConfig) -> bytes:
    """Return /etc/hostname."""
    return f"{config.hostname}\n".encode()


def compose_resolv_conf(
    servers: Iterable[str], search: Iterable[str], options: Iterable[str], base: str
) -> bytes:
    """Return /etc/resolv.conf: ``base`` with what was given in place of its lines of that kind."""
    given = {"nameserver": list(servers), "search": list(search), "options": list(options)}
    lines = []
    for line in base.splitlines():
        word = line.split(None, 1)[0] if line.split() else ""
        word = "search" if word == "domain" else word
        if not given.get(word):
            lines.append(line)
    if given["search"] and given["search"] != ["."]:
        lines.append("search " + " ".join(given["search"]))
    lines.extend(f"nameserver {server}" for server in given["nameserver"])
    if given["options"]:
        lines.append("options " + " ".join(given["options"]))
    return ("\n".join(lines) + "\n").encode()


def link_environment(
    parent_name: str, alias: str, address: str, child: container_pb2.ContainerConfig
) -> list[str]:
    """Return the variables --link gives on the default bridge (Docker's legacy links)."""
    prefix = alias.replace("-", "_").upper()
    ports = sorted(child.exposed_ports, key=lambda p: (int(p.split("/")[0] or 0), p))
    result: list[str] = []
    for index, text in enumerate(ports):
        number, _, protocol = text.partition("/")
        protocol = protocol or "tcp"
        if index == 0:
            result.append(f"{prefix}_PORT={protocol}://{address}:{number}")
        stem = f"{prefix}_PORT_{number}_{protocol.upper()}"
        result += [
            f"{stem}={protocol}://{address}:{number}",
            f"{stem}_ADDR={address}",
            f"{stem}_PORT={number}",
            f"{stem}_PROTO={protocol}",
        ]
    result.append(f"{prefix}_NAME=/{parent_name}/{alias}")
    for text in child.env:
        name, separator, value = text.partition("=")
        if separator and name not in ("HOME", "PATH", "TERM"):
            result.append(f"{prefix}_ENV_{name}={value}")
    return result
