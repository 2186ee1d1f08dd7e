"""What the service knows: networks, sandboxes, endpoints, published ports. Plain data, JSON for the store."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Net = ipaddress.IPv4Network | ipaddress.IPv6Network

BRIDGE_NAME = "com.docker.network.bridge.name"
ENABLE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
ENABLE_ICC = "com.docker.network.bridge.enable_icc"
HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge"
MTU = "com.docker.network.driver.mtu"
INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"


@dataclass(frozen=True)
class Pool:
    """One address pool of a network, as allocated: ``gateway`` is always filled in."""

    subnet: str
    gateway: str
    ip_range: str = ""
    auxiliary: dict[str, str] = field(default_factory=dict)
    chosen_by_user: bool = False  # then addresses may be asked for

    @property
    def network(self) -> Net:
        """The subnet, parsed."""
        return ipaddress.ip_network(self.subnet)


@dataclass(frozen=True)
class Network:
    """A network; for driver "bridge" also how its bridge is to be."""

    id: str
    name: str
    driver: str
    created_at_unix_nanos: int
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    builtin: bool = False
    pools: tuple[Pool, ...] = ()
    options: dict[str, str] = field(default_factory=dict)  # as told, shown in inspect
    labels: dict[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = field(default_factory=dict)
    bridge: str = ""
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    host_binding: str = "0.0.0.0"
    interface_prefix: str = "eth"
    foreign_bridge: bool = False  # somebody else's bridge: never deleted

    @property
    def is_bridge(self) -> bool:
        """Whether containers get a veth on it."""
        return self.driver == "bridge"

    @property
    def pool4(self) -> Pool | None:
        """The IPv4 pool."""
        return next((p for p in self.pools if p.network.version == 4), None)

    @property
    def pool6(self) -> Pool | None:
        """The IPv6 pool."""
        return next((p for p in self.pools if p.network.version == 6), None)


@dataclass(frozen=True)
class Endpoint:
    """A sandbox's place on one network."""

    id: str
    network_id: str
    network_name: str
    interface: str = ""  # inside
    host_interface: str = ""  # outside
    mac: str = ""
    ipv4: str = ""
    ipv4_prefix: int = 0
    ipv4_gateway: str = ""
    ipv6: str = ""
    ipv6_prefix: int = 0
    ipv6_gateway: str = ""
    aliases: tuple[str, ...] = ()
    requested_ipv4: str = ""
    requested_ipv6: str = ""
    links: tuple[str, ...] = ()
    driver_options: dict[str, str] = field(default_factory=dict)
    link_local: tuple[str, ...] = ()  # more addresses, of 169.254.0.0/16 or fe80::/10
    gateway_priority: int = 0


@dataclass(frozen=True)
class Port:
    """A published port; before it is held ``host_port`` may be 0 and ``host_port_end`` the end of a range."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0


@dataclass(frozen=True)
class Sandbox:
    """A container's network namespace."""

    id: str
    container_name: str
    hostname: str
    netns_path: str
    state: str = "creating"  # creating, ready, deleting
    endpoints: tuple[Endpoint, ...] = ()
    requested_ports: tuple[Port, ...] = ()
    ports: tuple[Port, ...] = ()  # in force, one a host address
    dns: bool = False  # embedded DNS answers in it
    dns_port: int = 53  # where it listens; port 53 is redirected there
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    host: bool = False  # the host's own namespace
    interfaces: tuple[str, ...] = ()  # every name an interface ever had in it


def to_json(value: Network | Sandbox) -> str:
    """Return the stored form."""
    # vars, not dataclasses.asdict: the same text in a third of the time.
    return json.dumps(vars(value), default=vars, separators=(",", ":"))


def network_from_json(text: str) -> Network:
    """Return the network that ``to_json`` wrote; unknown keys of a newer version are an error."""
    values: dict[str, Any] = json.loads(text)
    values["pools"] = tuple(Pool(**pool) for pool in values["pools"])
    return Network(**values)


def sandbox_from_json(text: str) -> Sandbox:
    """Return the sandbox that ``to_json`` wrote."""
    values: dict[str, Any] = json.loads(text)
    for key in ("dns_servers", "dns_search", "dns_options", "interfaces"):
        values[key] = tuple(values.get(key, ()))
    for key in ("requested_ports", "ports"):
        values[key] = tuple(Port(**port) for port in values[key])
    endpoints = []
    for endpoint in values["endpoints"]:
        endpoint["aliases"] = tuple(endpoint["aliases"])
        endpoint["links"] = tuple(endpoint["links"])
        endpoint["link_local"] = tuple(endpoint.get("link_local", ()))
        endpoints.append(Endpoint(**endpoint))
    values["endpoints"] = tuple(endpoints)
    return Sandbox(**values)
