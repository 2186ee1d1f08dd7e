"""From a request to a decision: how a network is to be, how an endpoint is to be. Decides only."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trine.kit.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from trine.network import ipam, model, options
from trine.network.ipam import AddressPool, DefaultPool
from trine.network.model import Endpoint, Net, Network, Pool, Port

_NAME = re.compile(r"[^\x00-\x1f\x7f]+")
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
BUILTIN = ("bridge", "host", "none")


@dataclass(frozen=True)
class NetworkRequest:
    """What the user asked for; pools as (subnet, ip range, gateway, auxiliary addresses)."""

    name: str
    driver: str = ""
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    pools: tuple[Pool, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = ""
    ipam_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What a new network must get along with."""

    networks: tuple[Network, ...]
    host: tuple[Net, ...]  # routes and name servers of the host
    default_pools: tuple[DefaultPool, ...] = ipam.DEFAULT_POOLS
    mtu: int = 1500

    @property
    def used(self) -> list[Net]:
        """The subnets of all networks."""
        return [pool.network for network in self.networks for pool in network.pools]


def check_new_network(request: NetworkRequest, networks: Iterable[Network]) -> None:
    """Refuse names, drivers and duplicates. Raises the errors of kit.errors in Docker's words."""
    if request.name in BUILTIN:
        raise PermissionDeniedError(f"operation is not permitted on predefined {request.name} network")
    if not _NAME.fullmatch(request.name) or not request.name.strip() or len(request.name) > 255:
        raise InvalidArgumentError(f"invalid network name: {request.name!r}", reason="INVALID_NAME")
    if any(network.name == request.name for network in networks):
        raise AlreadyExistsError(
            f"network with name {request.name} already exists", reason="NETWORK_NAME_IN_USE"
        )
    driver = request.driver or "bridge"
    if driver in ("host", "null"):
        raise PermissionDeniedError(f'only one instance of "{driver}" network is allowed')
    if driver != "bridge":
        raise NotFoundError(f'plugin "{driver}" not found', reason="NO_SUCH_PLUGIN")
    if request.ipam_driver not in ("", "default"):
        raise NotFoundError(f'plugin "{request.ipam_driver}" not found', reason="NO_SUCH_PLUGIN")


def on_existing_bridge(request: NetworkRequest, addresses: Sequence[str]) -> NetworkRequest:
    """Return the request with the subnet of a bridge that exists already, unless another was asked for."""
    present = next((a for a in map(ipaddress.ip_interface, addresses) if a.version == 4), None)
    if present is None or any(":" not in pool.subnet for pool in request.pools):
        return request
    pool = Pool(str(present.network), str(present.ip))
    return dataclasses.replace(request, pools=(pool, *request.pools))


def plan_pools(request: NetworkRequest, around: Surroundings) -> tuple[Pool, ...]:
    """Return the pools as they will be, gateways chosen, subnets found where none was asked for."""
    pools: list[Pool] = []
    asked = list(request.pools)
    if any(":" in pool.subnet for pool in asked) and not request.enable_ipv6:
        asked = [pool for pool in asked if ":" not in pool.subnet]
    if not any(":" not in pool.subnet for pool in asked):
        asked.insert(0, Pool("", ""))
    if request.enable_ipv6 and not any(":" in pool.subnet for pool in asked):
        asked.append(Pool("::", ""))
    if sum(1 for pool in asked if ":" not in pool.subnet) > 1:
        raise PermissionDeniedError("bridge driver doesn't support multiple subnets")
    if sum(1 for pool in asked if ":" in pool.subnet) > 1:
        raise PermissionDeniedError("bridge driver doesn't support multiple subnets")
    for pool in asked:
        pools.append(plan_pool(pool, around, [p.network for p in pools]))
    return tuple(pools)


def plan_pool(pool: Pool, around: Surroundings, others: Sequence[Net] = ()) -> Pool:
    """Check one pool and fill in what is missing. Raises InvalidArgumentError, ConflictError."""
    used = [*around.used, *others]
    if pool.subnet in ("", "::"):
        if pool.ip_range or pool.gateway:
            raise InvalidArgumentError("every ip-range or gateway must have a corresponding subnet")
        if pool.auxiliary:
            raise InvalidArgumentError(
                f"no matching subnet for aux-address {next(iter(pool.auxiliary.values()))}"
            )
        choose = ipam.choose_subnet if not pool.subnet else ipam.choose_subnet6
        subnet = choose(around.default_pools, used, around.host)
    else:
        subnet = ipam.parse_subnet(pool.subnet)
        ipam.check_subnet(subnet, used)
    return complete_pool(
        dataclasses.replace(pool, subnet=str(subnet), chosen_by_user=pool.subnet not in ("", "::"))
    )


def complete_pool(pool: Pool) -> Pool:
    """Check range, auxiliary addresses and gateway against the subnet, choose a gateway if there is none."""
    subnet = pool.network
    chosen: Net | None = None
    if pool.ip_range:
        chosen = ipam.parse_subnet(pool.ip_range)
        if chosen.version != subnet.version or not chosen.subnet_of(subnet):  # type: ignore[arg-type]
            raise InvalidArgumentError(f"no matching subnet for range {pool.ip_range}")
    addresses = AddressPool(subnet, chosen)
    if pool.gateway:
        gateway = _address(pool.gateway)
        if gateway not in subnet:
            raise InvalidArgumentError(f"no matching subnet for gateway {pool.gateway}")
        try:
            addresses.take(gateway)
        except ConflictError as error:
            raise PermissionDeniedError(
                f"failed to allocate gateway ({pool.gateway}): {error.message}"
            ) from error
    for name, text in pool.auxiliary.items():
        address = _address(text)
        if address not in subnet:
            raise InvalidArgumentError(f"no matching subnet for aux-address {text}")
        try:
            addresses.take(address)
        except ConflictError as error:
            raise ConflictError(
                f"failed to allocate secondary ip address ({name}:{text}): {error.message}"
            ) from error
    if not pool.gateway:
        found = addresses.allocate()
        if found is None:
            raise ResourceExhaustedError("failed to allocate gateway (): No available addresses on this pool")
        gateway = found
    return dataclasses.replace(pool, gateway=str(gateway), ip_range=str(chosen) if chosen is not None else "")


def _address(text: str) -> model.Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidArgumentError(f"invalid IP address: {text}", reason="INVALID_ADDRESS") from error


def plan_network(request: NetworkRequest, around: Surroundings, identifier: str, now: int) -> Network:
    """Return the network to make. Raises the errors of kit.errors; nothing is changed."""
    check_new_network(request, around.networks)
    wanted = options.parse(request.options)
    bridge = wanted.bridge or f"br-{identifier[:12]}"
    for other in around.networks:
        if other.bridge == bridge:
            raise ConflictError(
                f"cannot create network {identifier} ({bridge}): conflicts with network {other.id} "
                f"({other.bridge}): networks have same bridge name",
                reason="BRIDGE_IN_USE",
            )
    return Network(
        id=identifier,
        name=request.name,
        driver="bridge",
        created_at_unix_nanos=now,
        internal=request.internal,
        attachable=request.attachable,
        enable_ipv6=request.enable_ipv6,
        pools=plan_pools(request, around),
        options=dict(request.options),
        labels=dict(request.labels),
        ipam_driver="default",
        ipam_options=dict(request.ipam_options),
        bridge=bridge,
        mtu=wanted.mtu or around.mtu,
        icc=wanted.icc,
        masquerade=wanted.masquerade,
        host_binding=wanted.host_binding,
        interface_prefix=wanted.interface_prefix,
    )


@dataclass(frozen=True)
class EndpointWish:
    """What a container asks of one network (EndpointRequest)."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    links: tuple[str, ...] = ()
    driver_options: Mapping[str, str] = field(default_factory=dict)
    link_local: tuple[str, ...] = ()
    gateway_priority: int = 0


def check_endpoint(wish: EndpointWish, network: Network) -> None:
    """Refuse what a network cannot give, in Docker's words. Raises InvalidArgumentError."""
    if not network.is_bridge:
        if wish.ipv4 or wish.ipv6:
            raise InvalidArgumentError("user specified IP address is supported on user defined networks only")
        if wish.aliases:
            raise InvalidArgumentError(
                "network-scoped alias is supported only for containers in user defined networks"
            )
        return
    for text in wish.link_local:
        try:
            if not ipaddress.ip_address(text).is_link_local:
                raise InvalidArgumentError(f"invalid link local IP address: {text}")
        except ValueError as error:
            raise InvalidArgumentError(
                f"Invalid link-local IP address: [{' '.join(wish.link_local)}]"
            ) from error
    for text, version in ((wish.ipv4, 4), (wish.ipv6, 6)):
        if not text:
            continue
        try:
            right = ipaddress.ip_address(text).version == version
        except ValueError:
            right = False
        if not right:
            raise InvalidArgumentError(f"invalid IPv{version} address: {text}", reason="INVALID_ADDRESS")
        if network.builtin:
            raise InvalidArgumentError("user specified IP address is supported on user defined networks only")
        pool = network.pool4 if version == 4 else network.pool6
        if pool is None or not pool.chosen_by_user:
            raise InvalidArgumentError(
                "user specified IP address is supported only when connecting to networks "
                "with user configured subnets"
            )
    if wish.aliases and network.builtin:
        raise InvalidArgumentError(
            "network-scoped alias is supported only for containers in user defined networks"
        )
    for alias in wish.aliases:
        if not _ALIAS.fullmatch(alias):
            raise InvalidArgumentError(f"invalid alias: {alias!r}")
    if wish.mac and (not _MAC.fullmatch(wish.mac) or int(wish.mac[:2], 16) & 1):
        raise InvalidArgumentError(f"invalid MAC address: {wish.mac}", reason="INVALID_ADDRESS")


@dataclass
class Addresses:
    """What was taken for an endpoint, so that it can be given back."""

    ipv4: model.Address | None = None
    ipv6: model.Address | None = None


def take_addresses(
    wish: EndpointWish, network: Network, pool4: AddressPool | None, pool6: AddressPool | None
) -> Addresses:
    """Take an endpoint's addresses; nothing is kept taken when it raises."""
    taken = Addresses()
    try:
        if pool4 is not None:
            taken.ipv4 = _take(wish.ipv4, network, pool4, 4)
        if pool6 is not None:
            taken.ipv6 = _take(wish.ipv6, network, pool6, 6)
    except BaseException:
        if pool4 is not None and taken.ipv4 is not None:
            pool4.release(taken.ipv4)
        raise
    return taken


def _take(text: str, network: Network, pool: AddressPool, version: int) -> model.Address:
    if text:
        address = ipaddress.ip_address(text)
        try:
            pool.take(address)
        except InvalidArgumentError as error:
            error.message = f"Invalid address {text}: It does not belong to any of this network's subnets"
            raise
        return address
    found = pool.allocate()
    if found is None:
        raise ResourceExhaustedError(
            f"no available IPv{version} addresses on this network's address pools: "
            f"{network.name} ({network.id})",
            reason="NO_ADDRESS",
        )
    return found


def plan_endpoint(
    wish: EndpointWish,
    network: Network,
    taken: Addresses,
    *,
    identifier: str,
    interface: str,
    host_interface: str,
    names: Sequence[str],
) -> Endpoint:
    """Return the endpoint to make; pure bookkeeping, addresses are taken already.

    ``names`` the container has by itself: its short id and its host name are aliases, as in Docker.
    """
    aliases = wish.aliases
    if network.is_bridge and not network.builtin:
        aliases = tuple(dict.fromkeys([*wish.aliases, *names]))
    endpoint = Endpoint(
        id=identifier,
        network_id=network.id,
        network_name=network.name,
        aliases=aliases,
        requested_ipv4=wish.ipv4,
        requested_ipv6=wish.ipv6,
        links=wish.links,
        driver_options=dict(wish.driver_options),
        link_local=wish.link_local,
        gateway_priority=wish.gateway_priority,
    )
    if not network.is_bridge:
        return endpoint
    pool4, pool6 = network.pool4, network.pool6
    mac = wish.mac.lower().replace("-", ":")
    if not mac:
        mac = ipam.mac_address(taken.ipv4) if taken.ipv4 is not None else ipam.random_mac()
    endpoint = dataclasses.replace(endpoint, interface=interface, host_interface=host_interface, mac=mac)
    if pool4 is not None and taken.ipv4 is not None:
        endpoint = dataclasses.replace(
            endpoint,
            ipv4=str(taken.ipv4),
            ipv4_prefix=pool4.network.prefixlen,
            ipv4_gateway="" if network.internal else pool4.gateway,
        )
    if pool6 is not None and taken.ipv6 is not None:
        endpoint = dataclasses.replace(
            endpoint,
            ipv6=str(taken.ipv6),
            ipv6_prefix=pool6.network.prefixlen,
            ipv6_gateway="" if network.internal else pool6.gateway,
        )
    return endpoint


def check_ports(ports: Sequence[Port]) -> None:
    """Refuse impossible published ports. Raises InvalidArgumentError."""
    for port in ports:
        if port.protocol not in ("tcp", "udp", "sctp"):
            raise InvalidArgumentError(f"invalid proto: {port.protocol}")
        if not 1 <= port.container_port <= 65535:
            raise InvalidArgumentError(f"invalid containerPort: {port.container_port}")
        if port.host_port > 65535 or port.host_port_end > 65535:
            raise InvalidArgumentError(f"invalid hostPort: {max(port.host_port, port.host_port_end)}")
        if port.host_port_end and port.host_port_end < port.host_port:
            raise InvalidArgumentError(f"invalid range: {port.host_port}-{port.host_port_end}")
        if port.host_ip:
            try:
                ipaddress.ip_address(port.host_ip)
            except ValueError as error:
                raise InvalidArgumentError(f"invalid IP address: {port.host_ip}") from error


def gateway_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """Return the endpoint whose gateway is the default route, as Docker chooses it.

    The highest priority comes first, then networks with gateways of both families, then names in order.
    """
    return min((e for e in endpoints if e.ipv4_gateway), key=_gateway_order, default=None)


def gateway6_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The same for IPv6."""
    return min((e for e in endpoints if e.ipv6_gateway), key=_gateway_order, default=None)


def _gateway_order(endpoint: Endpoint) -> tuple[int, bool, str]:
    both = bool(endpoint.ipv4_gateway and endpoint.ipv6_gateway)
    return -endpoint.gateway_priority, not both, endpoint.network_name
