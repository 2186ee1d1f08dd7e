"""Published ports: held in the port holder first, then redirected by the firewall."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from trine.network import forwarding
from trine.network.firewall.manager import Firewall
from trine.network.model import Endpoint, Network, Port, Sandbox
from trine.network.plan import gateway_endpoint
from trine.network.ports import PortHolder, hold_again, hold_request, hosts_of
from trine.network.rules import Rule, port_rules
from trine.network.state import State


def port_endpoint(sandbox: Sandbox, state: State) -> tuple[Endpoint, Network] | None:
    """Return the endpoint that ports are published on: where answers leave, by the default gateway."""
    endpoint = gateway_endpoint(sandbox.endpoints)
    network = state.networks.get(endpoint.network_id) if endpoint is not None else None
    return (endpoint, network) if endpoint is not None and network is not None else None


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
        forget_udp: Callable[[set[int], list[int]], Awaitable[None]],
    ) -> None:
        """``firewall`` is None with --iptables=false: then the holder relays everything.

        ``forget_udp`` makes the kernel forget tracked flows to host ports (conntrack).
        """
        self._state, self._holder, self._firewall = state, holder, firewall
        self._forget_udp = forget_udp

    async def publish(self, sandbox: Sandbox) -> Sandbox:
        """Hold and redirect what the sandbox asks for; return it with the ports in force.

        Nothing is held or redirected when it raises (ConflictError PORT_ALLOCATED, InternalError).
        """
        found = port_endpoint(sandbox, self._state)
        if found is None or not sandbox.requested_ports:
            if sandbox.requested_ports:
                await self._holder.hold(sandbox.id, [])
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
            await self._holder.hold(sandbox.id, [])
            raise
        return published

    async def move(self, before: Sandbox, after: Sandbox) -> Sandbox:
        """Publish on the gateway of ``after`` what was on that of ``before``. Raises as ``publish``."""
        await self.unredirect(before)
        old, new = port_endpoint(before, self._state), port_endpoint(after, self._state)
        if old is not None and new is not None and old[1].host_binding != new[1].host_binding:
            # 0.0.0.0 and one host address do not go together, not even for one owner.
            await self._holder.hold(before.id, [])
        return await self.publish(after)

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
        versions = [version for version in (4, 6) if sandbox_rules(sandbox, self._state, version)]
        if ports and versions:
            await self._forget_udp(ports, versions)

    async def unredirect(self, sandbox: Sandbox) -> None:
        """Delete the firewall rules of a sandbox's ports, which stay held."""
        if self._firewall is None:
            return
        for version in (4, 6):
            await self._firewall.change(version, remove=sandbox_rules(sandbox, self._state, version))
        await self._forget(sandbox)

    async def hold_again(self, sandbox: Sandbox) -> None:
        """Hold the ports exactly as they are in force. Raises ConflictError when one is taken."""
        found = port_endpoint(sandbox, self._state)
        if sandbox.ports and found is not None:
            await self._holder.hold(sandbox.id, hold_again(sandbox, found[0]))

    async def publish_again(self, sandbox: Sandbox) -> None:
        """Hold and redirect the ports exactly as they were in force before."""
        await self.hold_again(sandbox)
        await self.redirect(sandbox)

    async def withdraw(self, sandbox: Sandbox) -> None:
        """Delete the firewall rules and give the host ports (and DNS) back."""
        await self.unredirect(sandbox)
        if sandbox.requested_ports or sandbox.dns:
            await self._holder.drop(sandbox.id)


def _in_force(
    requested: Sequence[Port], hosts: Sequence[Sequence[str]], numbers: Sequence[int]
) -> tuple[Port, ...]:
    # All of IPv4, then all of IPv6: Docker's order in inspect and port.
    return tuple(
        dataclasses.replace(port, host_ip=host, host_port=number, host_port_end=0)
        for six in (False, True)
        for port, addresses, number in zip(requested, hosts, numbers, strict=True)
        for host in addresses
        if (":" in host) == six
    )
