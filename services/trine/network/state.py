"""What is in force now, in memory: networks, sandboxes, addresses. One owner, the event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trine.kit.errors import InvalidArgumentError, NotFoundError
from trine.network import ipam
from trine.network.ipam import AddressPool, DefaultPool
from trine.network.model import Endpoint, Network, Pool, Sandbox

# Runs a blocking function in a thread that may enter network namespaces.
Call = Callable[[Callable[[], Any]], asyncio.Future[Any]]


@dataclass(frozen=True)
class Config:
    """The flags of trine-network, as dockerd's where they mean the same."""

    data_root: Path
    exec_root: Path
    bridge: str = ""
    bip: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    default_pools: tuple[DefaultPool, ...] = ipam.DEFAULT_POOLS
    ipv6: bool = False
    icc: bool = True
    ip_forward: bool = True
    ip_masq: bool = True
    iptables: bool = True
    mtu: int = 1500
    dns: tuple[str, ...] = ()
    firewall_backend: str = "auto"

    @property
    def default_bridge(self) -> str:
        """The name of the default bridge; "none" when there is to be none."""
        return self.bridge or "trine0"


@dataclass
class _Addresses:
    four: AddressPool | None = None
    six: AddressPool | None = None


def _address_pool(pool: Pool | None) -> AddressPool | None:
    if pool is None:
        return None
    found = AddressPool(pool.network, ipaddress.ip_network(pool.ip_range) if pool.ip_range else None)
    found.take(ipaddress.ip_address(pool.gateway))
    for text in pool.auxiliary.values():
        if not found.is_taken(ipaddress.ip_address(text)):
            found.take(ipaddress.ip_address(text))
    return found


def _take(pool: AddressPool | None, text: str) -> bool:
    if pool is None or not text or pool.is_taken(ipaddress.ip_address(text)):
        return False
    try:
        pool.take(ipaddress.ip_address(text))
    except InvalidArgumentError:
        return False
    return True


@dataclass
class State:
    """Networks and sandboxes by id, and which addresses are taken."""

    networks: dict[str, Network] = field(default_factory=dict)
    sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    _addresses: dict[str, _Addresses] = field(default_factory=dict)

    def add_network(self, network: Network) -> None:
        """Add or replace a network; its addresses are free but for gateway and auxiliary ones."""
        self.networks[network.id] = network
        self._addresses[network.id] = _Addresses(_address_pool(network.pool4), _address_pool(network.pool6))

    def remove_network(self, identifier: str) -> None:
        """Forget a network."""
        self.networks.pop(identifier, None)
        self._addresses.pop(identifier, None)

    def pool4(self, network: Network) -> AddressPool | None:
        """The IPv4 addresses of a network."""
        return self._addresses[network.id].four

    def pool6(self, network: Network) -> AddressPool | None:
        """The IPv6 addresses of a network."""
        return self._addresses[network.id].six

    def take(self, endpoint: Endpoint) -> Endpoint:
        """Take the addresses of an endpoint that exists already (adoption).

        Returns the endpoint with only the addresses that were taken now: an address that is somebody
        else's, or of a subnet that was changed by a flag, is not its to release.
        """
        pools = self._addresses.get(endpoint.network_id, _Addresses())
        four = endpoint.ipv4 if _take(pools.four, endpoint.ipv4) else ""
        six = endpoint.ipv6 if _take(pools.six, endpoint.ipv6) else ""
        return dataclasses.replace(endpoint, ipv4=four, ipv6=six)

    def release(self, endpoint: Endpoint) -> None:
        """Give the addresses of an endpoint back."""
        pools = self._addresses.get(endpoint.network_id)
        if pools is None:
            return
        for pool, text in ((pools.four, endpoint.ipv4), (pools.six, endpoint.ipv6)):
            if pool is not None and text:
                pool.release(ipaddress.ip_address(text))

    def find_network(self, name: str) -> Network:
        """Return a network by id, name or unique id prefix. Raises NotFoundError, InvalidArgumentError."""
        found = self.networks.get(name)
        if found is not None:
            return found
        for network in self.networks.values():
            if network.name == name:
                return network
        matches = [n for n in self.networks.values() if name and n.id.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InvalidArgumentError(
                f"network {name} is ambiguous ({len(matches)} matches found based on ID prefix)",
                reason="AMBIGUOUS_ID",
            )
        raise NotFoundError(f"network {name} not found", reason="NO_SUCH_NETWORK")

    def endpoints_of(self, network_id: str) -> Iterator[tuple[Sandbox, Endpoint]]:
        """Yield the endpoints of a network with their sandboxes."""
        for sandbox in self.sandboxes.values():
            for endpoint in sandbox.endpoints:
                if endpoint.network_id == network_id:
                    yield sandbox, endpoint

    @property
    def builtin_ids(self) -> frozenset[str]:
        """The ids of bridge, host and none, which have no embedded DNS."""
        return frozenset(n.id for n in self.networks.values() if n.builtin)
