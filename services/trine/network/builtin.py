"""The networks every instance has: bridge, host and none. Decides only."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trine.kit.errors import InvalidArgumentError
from trine.network import ipam, model, options, plan
from trine.network.model import Net, Network, Pool
from trine.network.plan import Surroundings
from trine.network.state import Config


@dataclass(frozen=True)
class Found:
    """What is there before the default bridge is planned."""

    stored: Network | None  # the row of an earlier start
    bridge_exists: bool
    bridge_networks: tuple[str, ...]  # addresses on it, as CIDR
    in_use: bool  # containers of an earlier start are on it


def plan_host_and_none(networks: Sequence[Network], new_id: Callable[[], str], now: int) -> list[Network]:
    """Return those of "host" and "none" that have no row yet."""
    names = {network.name for network in networks}
    return [
        Network(id=new_id(), name=name, driver=driver, created_at_unix_nanos=now, builtin=True)
        for name, driver in (("host", "host"), ("none", "null"))
        if name not in names
    ]


def plan_default(config: Config, found: Found, around: Surroundings, identifier: str, now: int) -> Network:
    """Return the network "bridge" as the flags and what is there want it.

    While containers are on it, its addresses stay what they are. Raises InvalidArgumentError for flags
    that contradict each other.
    """
    bridge = config.default_bridge
    if not options.is_interface_name(bridge):
        raise InvalidArgumentError(f"invalid bridge name: {bridge}")
    stored = found.stored
    keep = stored is not None and stored.bridge == bridge
    foreign = found.bridge_exists and bool(config.bridge) and not keep
    if keep and stored is not None and stored.foreign_bridge:
        foreign = True
    if foreign and config.bip:
        raise InvalidArgumentError(
            f"You specified -b & --bip, and bridge {bridge} exists already. Please specify only one"
        )
    network = Network(
        id=stored.id if stored is not None else identifier,
        name="bridge",
        driver="bridge",
        created_at_unix_nanos=now,
        builtin=True,
        enable_ipv6=config.ipv6,
        bridge=bridge,
        mtu=config.mtu,
        icc=config.icc,
        masquerade=config.ip_masq,
        foreign_bridge=foreign,
        options={
            model.DEFAULT_BRIDGE: "true",
            model.ENABLE_ICC: str(config.icc).lower(),
            model.ENABLE_MASQUERADE: str(config.ip_masq).lower(),
            model.HOST_BINDING: "0.0.0.0",
            model.BRIDGE_NAME: bridge,
            model.MTU: str(config.mtu),
        },
    )
    if stored is not None and keep and found.in_use:
        return dataclasses.replace(network, pools=stored.pools, enable_ipv6=stored.enable_ipv6)
    pools = [_pool4(config, found, around, stored if keep else None)]
    if config.ipv6:
        pools.append(_pool6(config, around, stored if keep else None))
    return dataclasses.replace(network, pools=tuple(pools))


def _pool4(config: Config, found: Found, around: Surroundings, stored: Network | None) -> Pool:
    addresses = [ipaddress.ip_interface(text) for text in found.bridge_networks]
    present = next((a for a in addresses if a.version == 4), None)
    gateway: ipaddress.IPv4Interface | ipaddress.IPv6Interface | None
    if config.bip:
        gateway = _interface(config.bip, "--bip")
    elif present is not None:
        gateway = present
    elif stored is not None and stored.pool4 is not None and _free(stored.pool4.network, around):
        pool = stored.pool4
        gateway = ipaddress.ip_interface(f"{pool.gateway}/{pool.network.prefixlen}")
    elif config.fixed_cidr and not config.bip:
        gateway = None
    else:
        subnet = ipam.choose_subnet(around.default_pools, around.used, around.host)
        gateway = ipaddress.ip_interface(f"{subnet.network_address + 1}/{subnet.prefixlen}")
    if gateway is None:
        return plan.complete_pool(Pool(str(ipam.parse_subnet(config.fixed_cidr)), ""))
    subnet = gateway.network
    fixed = ""
    if config.fixed_cidr:
        fixed = str(ipam.parse_subnet(config.fixed_cidr))
        if not ipaddress.ip_network(fixed).subnet_of(subnet):  # type: ignore[arg-type]
            raise InvalidArgumentError(
                f"bridge IPv4 subnet {subnet} does not contain --fixed-cidr {config.fixed_cidr}"
            )
    return plan.complete_pool(Pool(str(subnet), str(gateway.ip), fixed))


def _pool6(config: Config, around: Surroundings, stored: Network | None) -> Pool:
    if config.fixed_cidr_v6:
        return plan.complete_pool(Pool(str(ipam.parse_subnet(config.fixed_cidr_v6)), ""))
    if stored is not None and stored.pool6 is not None:
        return stored.pool6
    subnet = ipam.choose_subnet6(around.default_pools, around.used, around.host)
    return plan.complete_pool(Pool(str(subnet), ""))


def _free(subnet: Net, around: Surroundings) -> bool:
    return not ipam.overlaps(subnet, [*around.used, *around.host])


def _interface(text: str, flag: str) -> ipaddress.IPv4Interface:
    try:
        found = ipaddress.IPv4Interface(text)
    except ValueError as error:
        raise InvalidArgumentError(f'invalid argument "{text}" for "{flag}": invalid CIDR address') from error
    if "/" not in text or found.ip == found.network.network_address:
        raise InvalidArgumentError(f'invalid argument "{text}" for "{flag}": use ADDRESS/PREFIX')
    return found
