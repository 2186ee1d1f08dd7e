"""Address management: which subnet a network gets, which address an endpoint gets. Decides only.

Allocation is Docker's: the lowest free address of the pool. An address goes back only when its link is
gone (the caller releases it then), so one that was just freed is not handed out while the old
interface with the same MAC address still hangs on the bridge.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trine.kit.errors import ConflictError, InvalidArgumentError, ResourceExhaustedError
from trine.network.model import Address, Net

OVERLAP = "Pool overlaps with other one on this address space"


@dataclass(frozen=True)
class DefaultPool:
    """A range that subnets of one size are cut from (dockerd's --default-address-pool)."""

    base: Net
    size: int

    def subnets(self) -> Iterator[Net]:
        """Yield its subnets in order."""
        if self.size == self.base.prefixlen:
            yield self.base
            return
        yield from self.base.subnets(new_prefix=self.size)


DEFAULT_POOLS: tuple[DefaultPool, ...] = (
    *(DefaultPool(ipaddress.ip_network(f"172.{n}.0.0/16"), 16) for n in range(17, 32)),
    DefaultPool(ipaddress.ip_network("192.168.0.0/16"), 20),
)


def parse_default_pool(text: str) -> DefaultPool:
    """Parse "base=CIDR,size=N". Raises InvalidArgumentError."""
    values = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    try:
        base = ipaddress.ip_network(values["base"].strip())
        size = int(values["size"])
    except (KeyError, ValueError) as error:
        raise InvalidArgumentError(
            f'invalid argument "{text}" for "--default-address-pool" flag: use base=CIDR,size=N'
        ) from error
    if not base.prefixlen <= size <= base.max_prefixlen:
        raise InvalidArgumentError(
            f'invalid argument "{text}" for "--default-address-pool" flag: invalid subnet size'
        )
    return DefaultPool(base, size)


def overlaps(one: Net, others: Iterable[Net]) -> bool:
    """Tell whether ``one`` shares an address with any of the others."""
    return any(one.version == other.version and one.overlaps(other) for other in others)


def choose_subnet(pools: Sequence[DefaultPool], used: Sequence[Net], host: Sequence[Net]) -> Net:
    """Return the first free IPv4 subnet of the default pools.

    ``used`` are the subnets of our networks, ``host`` the host's routes and its name servers' addresses.
    Raises ResourceExhaustedError, in Docker's words.
    """
    taken = [*used, *host]
    for pool in pools:
        if pool.base.version == 4:
            for subnet in pool.subnets():
                if not overlaps(subnet, taken):
                    return subnet
    raise ResourceExhaustedError(
        "could not find an available, non-overlapping IPv4 address pool among the defaults "
        "to assign to the network",
        reason="NO_ADDRESS_POOL",
    )


def choose_subnet6(pools: Sequence[DefaultPool], used: Sequence[Net], host: Sequence[Net]) -> Net:
    """Return a free IPv6 subnet: from a configured IPv6 pool, else a new unique local /64 (RFC 4193, 3.1)."""
    taken = [*used, *host]
    for pool in pools:
        if pool.base.version == 6:
            for subnet in pool.subnets():
                if not overlaps(subnet, taken):
                    return subnet
    while True:
        # fd, 40 random bits of global id, subnet id 0.
        packed = b"\xfd" + secrets.token_bytes(5) + bytes(10)
        subnet = ipaddress.IPv6Network((packed, 64))
        if not overlaps(subnet, taken):
            return subnet


def parse_subnet(text: str) -> Net:
    """Parse a CIDR, host bits allowed as Docker allows them. Raises InvalidArgumentError."""
    message = f"Invalid subnet {text} : invalid CIDR address: {text}"
    if "/" not in text:
        raise InvalidArgumentError(message)
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidArgumentError(message) from error


def check_subnet(subnet: Net, used: Sequence[Net]) -> None:
    """Refuse a subnet that another network has. Raises ConflictError, InvalidArgumentError."""
    if overlaps(subnet, used):
        raise ConflictError(OVERLAP, reason="POOL_OVERLAPS")
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        raise InvalidArgumentError("failed to allocate gateway (): No available addresses on this pool")


class AddressPool:
    """The addresses of one subnet: who is taken, who is next."""

    def __init__(self, subnet: Net, ip_range: Net | None = None) -> None:
        """``ip_range`` is the part of ``subnet`` that ``allocate`` chooses from."""
        self._subnet = subnet
        chosen = ip_range or subnet
        self._first = int(chosen.network_address)
        self._last = int(chosen.broadcast_address)
        lowest, highest = int(subnet.network_address), int(subnet.broadcast_address)
        self._taken = {lowest, highest} if subnet.version == 4 else {lowest}
        self._next = self._first

    def _address(self, number: int) -> Address:
        return ipaddress.IPv4Address(number) if self._subnet.version == 4 else ipaddress.IPv6Address(number)

    def allocate(self) -> Address | None:
        """Take and return the lowest free address, None when there is none."""
        number = self._next
        while number in self._taken:
            number += 1
        if number > self._last:
            return None
        self._taken.add(number)
        self._next = number + 1
        return self._address(number)

    def take(self, address: Address) -> None:
        """Take one address. Raises InvalidArgumentError out of range, ConflictError when it is taken."""
        if address not in self._subnet:
            raise InvalidArgumentError("Requested address is out of range", reason="ADDRESS_OUT_OF_RANGE")
        if int(address) in self._taken:
            raise ConflictError("Address already in use", reason="ADDRESS_IN_USE")
        self._taken.add(int(address))

    def release(self, address: Address) -> None:
        """Give an address back; one that is not taken is fine."""
        number = int(address)
        self._taken.discard(number)
        if self._first <= number < self._next:
            self._next = number

    def is_taken(self, address: Address) -> bool:
        """Tell whether an address is in use (or can never be used)."""
        return int(address) in self._taken


def mac_address(ipv4: Address) -> str:
    """Return Docker's MAC address for a container: 02:42 and the four bytes of its IPv4 address."""
    return (b"\x02\x42" + ipv4.packed).hex(":")


def random_mac() -> str:
    """Return a random MAC address of the same kind, for bridges and for endpoints without IPv4."""
    return (b"\x02\x42" + secrets.token_bytes(4)).hex(":")
