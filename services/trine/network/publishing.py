"""Published ports: held in the port holder first, then redirected by the firewall."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from trine.network import forwarding
from trine.network.firewall.manager import Firewall
from trine.network.model import Endpoint, Network, Port, Sandbox
from trine.network.ports import PortHolder, hold_request, hosts_of
from trine.network.rules import Rule, port_rules
from trine.network.state import State


def port_endpoint(sandbox: Sandbox, state: State) -> tuple[Endpoint, Network] | None:
    """Return the endpoint that ports are published on: the first on a bridge with a way out."""
    for endpoint in sandbox.endpoints:
        network = state.networks.get(endpoint.network_id)
        if network is not None and network.is_bridge and not network.internal:
            return endpoint, network
    return None


def sandbox_rules(sandbox: Sandbox, state: State, version: int) -> list[Rule]:
    """Return the firewall rules of a sandbox's ports in force."""
    if not sandbox.ports:
        return []
    found = port_endpoint(sandbox, state)
    if found is None:
        return []
    endpoint, network = found
    return [rule for port in sandbox.ports for rule in port_rules(network, endpoint, port, version)]


class Publisher:
    """Publishes and withdraws the ports of a sandbox."""

    def __init__(
        self,
        state: State,
        holder: PortHolder,
        firewall: Firewall | None,
        forget_udp: Callable[[set[int]], Awaitable[None]],
    ) -> None:
        """``firewall`` is None with --iptables=false: then the holder relays everything.

        ``forget_udp`` makes the kernel forget tracked flows to host ports (netconntrack).
        """
        self._state, self._holder, self._firewall = state, holder, firewall
        self._forget_udp = forget_udp

    async def publish(self, sandbox: Sandbox) -> Sandbox:
        """Hold and redirect what the sandbox asks for; return it with the ports in force.

        Nothing is held or redirected when it raises (ConflictError PORT_ALLOCATED, InternalError).
        """
        found = port_endpoint(sandbox, self._state)
        if found is None or not sandbox.requested_ports:
            return sandbox
        endpoint, network = found
        ipv6_host = forwarding.has_ipv6()
        requests, hosts = [], []
        for port in sandbox.requested_ports:
            addresses = hosts_of(port, network, ipv6_host)
            requests.append(hold_request(port, endpoint, addresses))
            hosts.append(addresses)
        name = sandbox.container_name or sandbox.id
        prefix = f"driver failed programming external connectivity on endpoint {name} ({endpoint.id}): "
        numbers = await self._holder.hold(sandbox.id, requests, prefix)
        published = dataclasses.replace(sandbox, ports=_in_force(sandbox.requested_ports, hosts, numbers))
        try:
            await self.redirect(published)
        except BaseException:
            await self._holder.drop(sandbox.id)
            raise
        return published

    async def redirect(self, sandbox: Sandbox) -> None:
        """Add the firewall rules of a sandbox's ports. Raises InternalError."""
        if self._firewall is None:
            return
        for version in (4, 6):
            await self._firewall.change(version, add=sandbox_rules(sandbox, self._state, version))
        await self._forget(sandbox)

    async def _forget(self, sandbox: Sandbox) -> None:
        """Make old flows meet the new rules: a client that sends all the time keeps its flow tracked."""
        ports = {port.host_port for port in sandbox.ports if port.protocol == "udp"}
        if ports:
            await self._forget_udp(ports)

    async def withdraw(self, sandbox: Sandbox) -> None:
        """Delete the firewall rules and give the host ports (and DNS) back."""
        if self._firewall is not None:
            for version in (4, 6):
                await self._firewall.change(version, remove=sandbox_rules(sandbox, self._state, version))
            await self._forget(sandbox)
        if sandbox.requested_ports or sandbox.dns:
            await self._holder.drop(sandbox.id)


def _in_force(
    requested: Sequence[Port], hosts: Sequence[Sequence[str]], numbers: Sequence[int]
) -> tuple[Port, ...]:
    return tuple(
        dataclasses.replace(port, host_ip=host, host_port=number, host_port_end=0)
        for port, addresses, number in zip(requested, hosts, numbers, strict=True)
        for host in addresses
    )
