"""Between the messages of trine.v1 and the service's own data."""

from __future__ import annotations

from trine.network.model import Endpoint, Network, Pool, Port, Sandbox
from trine.network.plan import EndpointWish, NetworkRequest
from trine.network.sandbox_plan import SandboxRequest
from trine.v1 import network_pb2 as pb


def network_request(message: pb.CreateNetworkRequest) -> NetworkRequest:
    """Read CreateNetworkRequest."""
    return NetworkRequest(
        name=message.name,
        driver=message.driver,
        internal=message.internal,
        attachable=message.attachable,
        enable_ipv6=message.enable_ipv6,
        pools=tuple(
            Pool(p.subnet, p.gateway, p.ip_range, dict(p.auxiliary_addresses)) for p in message.pools
        ),
        options=dict(message.options),
        labels=dict(message.labels),
        ipam_driver=message.ipam_driver,
        ipam_options=dict(message.ipam_options),
    )


def endpoint_wish(message: pb.EndpointRequest) -> EndpointWish:
    """Read EndpointRequest."""
    return EndpointWish(
        network=message.network,
        aliases=tuple(message.aliases),
        ipv4=message.ipv4_address,
        ipv6=message.ipv6_address,
        mac=message.mac_address,
        links=tuple(message.links),
        driver_options=dict(message.driver_options),
        link_local=tuple(message.link_local_addresses),
        gateway_priority=message.gateway_priority,
    )


def sandbox_request(message: pb.CreateSandboxRequest) -> SandboxRequest:
    """Read CreateSandboxRequest."""
    return SandboxRequest(
        id=message.id,
        container_name=message.container_name,
        hostname=message.hostname,
        endpoints=tuple(endpoint_wish(e) for e in message.endpoints),
        ports=tuple(
            Port(p.container_port, p.protocol or "tcp", p.host_ip, p.host_port, p.host_port_end)
            for p in message.ports
        ),
        dns_servers=tuple(message.dns_servers),
        dns_search=tuple(message.dns_search),
        dns_options=tuple(message.dns_options),
        sysctls=dict(message.sysctls),
    )


def network_message(network: Network) -> pb.Network:
    """Write Network, without endpoints."""
    return pb.Network(
        id=network.id,
        name=network.name,
        driver=network.driver,
        scope="local",
        internal=network.internal,
        attachable=network.attachable,
        enable_ipv6=network.enable_ipv6,
        pools=[
            pb.IpamPool(
                subnet=p.subnet, ip_range=p.ip_range, gateway=p.gateway, auxiliary_addresses=p.auxiliary
            )
            for p in network.pools
        ],
        options=network.options,
        labels=network.labels,
        created_at_unix_nanos=network.created_at_unix_nanos,
        bridge_name=network.bridge,
        ipam_driver=network.ipam_driver,
        ipam_options=network.ipam_options,
        builtin=network.builtin,
    )


def endpoint_message(sandbox: Sandbox, endpoint: Endpoint, network_name: str = "") -> pb.Endpoint:
    """Write Endpoint."""
    return pb.Endpoint(
        id=endpoint.id,
        network_id=endpoint.network_id,
        network_name=network_name or endpoint.network_name,
        sandbox_id=sandbox.id,
        container_name=sandbox.container_name,
        interface_name=endpoint.interface,
        host_interface_name=endpoint.host_interface,
        mac_address=endpoint.mac,
        ipv4_address=endpoint.ipv4,
        ipv4_prefix_length=endpoint.ipv4_prefix,
        ipv4_gateway=endpoint.ipv4_gateway,
        ipv6_address=endpoint.ipv6,
        ipv6_prefix_length=endpoint.ipv6_prefix,
        ipv6_gateway=endpoint.ipv6_gateway,
        aliases=endpoint.aliases,
        requested_ipv4_address=endpoint.requested_ipv4,
        requested_ipv6_address=endpoint.requested_ipv6,
        links=endpoint.links,
        driver_options=endpoint.driver_options,
        link_local_addresses=endpoint.link_local,
        gateway_priority=endpoint.gateway_priority,
    )


def sandbox_message(sandbox: Sandbox) -> pb.Sandbox:
    """Write Sandbox."""
    return pb.Sandbox(
        id=sandbox.id,
        container_name=sandbox.container_name,
        netns_path=sandbox.netns_path,
        endpoints=[endpoint_message(sandbox, e) for e in sandbox.endpoints],
        ports=[
            pb.PortMapping(
                host_ip=p.host_ip,
                host_port=p.host_port,
                container_port=p.container_port,
                protocol=p.protocol,
            )
            for p in sandbox.ports
        ],
        dns_server="127.0.0.11" if sandbox.dns else "",
    )
