"""Address pools of ``network create``: which range and gateway belong to which subnet."""

from __future__ import annotations

import ipaddress

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _within(subnet: Network | None, text: str) -> bool:
    """Tell whether an address or range lies in a subnet."""
    inner = _network(text)
    return (
        subnet is not None
        and inner is not None
        and inner.version == subnet.version
        and inner.network_address in subnet
    )


def pools_of(
    subnets: list[str], ranges: list[str], gateways: list[str], auxiliary: dict[str, str]
) -> list[dict[str, Any]]:
    """Return IpamPools; raises Failure with docker/cli's texts.

    A subnet that is none is passed on: the engine says what is wrong with it.
    """
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise Failure("every ip-range or gateway must have a corresponding subnet")
    parsed = [_network(text) for text in subnets]
    for at, one in enumerate(parsed):
        for other in parsed[:at]:
            if one and other and one.version == other.version and one.overlaps(other):
                raise Failure("multiple overlapping subnet configuration is not supported")
    pools: list[dict[str, Any]] = [{"subnet": text} for text in subnets]

    def place(text: str, key: str, what: str, twice: str) -> None:
        for subnet, pool in zip(parsed, pools, strict=True):
            if _within(subnet, text):
                if key in pool:
                    raise Failure(
                        f"cannot configure multiple {twice} ({text}, {pool[key]}) "
                        f"on the same subnet ({pool['subnet']})"
                    )
                pool[key] = text
                return
        raise Failure(f"no matching subnet for {what} {text}")

    for text in ranges:
        if "/" not in text or _network(text) is None:
            raise Failure(f"invalid CIDR address: {text}")
        place(text, "ip_range", "range", "ranges")
    for text in gateways:
        place(text, "gateway", "gateway", "gateways")
    for name, text in auxiliary.items():
        for subnet, pool in zip(parsed, pools, strict=True):
            if _within(subnet, text):
                pool.setdefault("auxiliary_addresses", {})[name] = text
                break
        else:
            raise Failure(f"no matching subnet for aux-address {text}")
    return pools
