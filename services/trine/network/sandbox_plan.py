"""From a request to a sandbox's record: checks and takes everything before anything is made."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trine.kit.errors import ConflictError, InvalidArgumentError
from trine.network import plan
from trine.network.links import check_sysctls, pin_path
from trine.network.model import Network, Port, Sandbox
from trine.network.plan import EndpointWish
from trine.network.state import State


@dataclass(frozen=True)
class SandboxRequest:
    """What a container needs (CreateSandboxRequest)."""

    id: str
    container_name: str = ""
    hostname: str = ""
    endpoints: tuple[EndpointWish, ...] = ()
    ports: tuple[Port, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)


def plan_sandbox(request: SandboxRequest, state: State, exec_root: Path) -> Sandbox:
    """Check everything and take the addresses; nothing is taken when it raises EngineError."""
    if not request.id or "/" in request.id or request.id in (".", "..", "default"):
        raise InvalidArgumentError(f"invalid sandbox id {request.id!r}")
    check_sysctls(request.sysctls)
    plan.check_ports(request.ports)
    networks = [state.find_network(wish.network) for wish in request.endpoints]
    _check_together(networks)
    host = any(network.driver == "host" for network in networks)
    if host and request.sysctls:
        key = next(iter(request.sysctls))
        raise InvalidArgumentError(f"sysctl '{key}' not allowed in host network namespace")
    sandbox = Sandbox(
        id=request.id,
        container_name=request.container_name,
        hostname=request.hostname,
        netns_path=pin_path(exec_root, "default" if host else request.id),
        requested_ports=request.ports,
        dns=any(network.is_bridge and not network.builtin for network in networks),
        dns_servers=request.dns_servers,
        dns_search=request.dns_search,
        dns_options=request.dns_options,
        sysctls=dict(request.sysctls),
        host=host,
    )
    try:
        for wish, network in zip(request.endpoints, networks, strict=True):
            sandbox = with_endpoint(sandbox, wish, network, state)
    except BaseException:
        for endpoint in sandbox.endpoints:
            state.release(endpoint)
        raise
    return sandbox


def with_endpoint(sandbox: Sandbox, wish: EndpointWish, network: Network, state: State) -> Sandbox:
    """Return a sandbox with one more endpoint, the last; its addresses are taken."""
    plan.check_endpoint(wish, network)
    taken = plan.take_addresses(wish, network, state.pool4(network), state.pool6(network))
    identifier = secrets.token_hex(32)
    interface = _interface(network.interface_prefix, sandbox)
    endpoint = plan.plan_endpoint(
        wish,
        network,
        taken,
        identifier=identifier,
        interface=interface,
        host_interface=f"veth{identifier[:8]}",
        names=[name for name in (sandbox.id[:12], sandbox.hostname) if name],
    )
    return dataclasses.replace(
        sandbox,
        endpoints=(*sandbox.endpoints, endpoint),
        interfaces=(*sandbox.interfaces, endpoint.interface) if endpoint.interface else sandbox.interfaces,
    )


def _interface(prefix: str, sandbox: Sandbox) -> str:
    """Return a name no interface of the sandbox ever had: an address is not mistaken for one that was."""
    used = {*sandbox.interfaces, *(endpoint.interface for endpoint in sandbox.endpoints)}
    return next(f"{prefix}{n}" for n in range(len(used) + 1) if f"{prefix}{n}" not in used)


def _check_together(networks: Sequence[Network]) -> None:
    """Refuse networks that do not go together. Raises InvalidArgumentError."""
    if len(networks) > 1:
        if any(network.driver == "host" for network in networks):
            raise InvalidArgumentError(
                "container cannot be disconnected from host network or connected to host network"
            )
        if any(network.driver == "null" for network in networks):
            raise InvalidArgumentError(
                "container cannot be connected to multiple networks with one of the networks "
                "in private (none) mode"
            )
        if len({network.id for network in networks}) < len(networks):
            raise InvalidArgumentError("container cannot be connected to a network twice")


def check_connect(sandbox: Sandbox, network: Network, state: State) -> None:
    """Refuse a network a sandbox cannot be on as well. Raises InvalidArgumentError, ConflictError."""
    if sandbox.host or network.driver == "host":
        raise InvalidArgumentError(
            "container cannot be disconnected from host network or connected to host network"
        )
    present = [state.networks.get(endpoint.network_id) for endpoint in sandbox.endpoints]
    if network.driver == "null" or any(n is not None and n.driver == "null" for n in present):
        raise InvalidArgumentError(
            "container cannot be connected to multiple networks with one of the networks "
            "in private (none) mode"
        )
    if any(endpoint.network_id == network.id for endpoint in sandbox.endpoints):
        raise ConflictError(
            f"endpoint with name {sandbox.container_name} already exists in network {network.name}",
            reason="ALREADY_CONNECTED",
        )
