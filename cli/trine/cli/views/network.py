"""A network as ``docker network inspect`` shows it (engine 20.10)."""

from __future__ import annotations

from trine.cli.text.times import rfc3339_nano
from trine.cli.text.values import GoMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.wire import Message


def _pool(pool: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"Subnet": pool.subnet}
    if pool.ip_range:
        found["IPRange"] = pool.ip_range
    if pool.gateway:
        found["Gateway"] = pool.gateway
    if pool.auxiliary_addresses:
        found["AuxiliaryAddresses"] = GoMap(sorted(pool.auxiliary_addresses.items()))
    return found


def _endpoint(endpoint: Message) -> dict[str, str]:
    def address(text: str, length: int) -> str:
        return f"{text}/{length}" if text else ""

    return {
        "Name": endpoint.container_name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac_address,
        "IPv4Address": address(endpoint.ipv4_address, endpoint.ipv4_prefix_length),
        "IPv6Address": address(endpoint.ipv6_address, endpoint.ipv6_prefix_length),
    }


def as_docker(network: Message) -> dict[str, Any]:
    """Return a network with Docker's keys, for inspection."""
    ipam_options = dict(network.ipam_options)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339_nano(network.created_at_unix_nanos),
        "Scope": network.scope or "local",
        "Driver": network.driver,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": network.ipam_driver or "default",
            # A network made by a client has {}, one the engine made null.
            "Options": GoMap(ipam_options) if ipam_options or not network.builtin else None,
            "Config": [_pool(pool) for pool in network.pools],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": network.ingress,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": GoMap({str(e.sandbox_id): _endpoint(e) for e in network.endpoints}),
        "Options": GoMap(sorted(network.options.items())),
        "Labels": GoMap(sorted(network.labels.items())),
    }
