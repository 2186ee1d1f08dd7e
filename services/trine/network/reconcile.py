"""At start: make rows and kernel agree, whatever moment the last process was killed at.

Rows win: what a row says exists is adopted or made again; what no row knows (a link on our bridges, a
pin, a rule that names our bridges, a held port) is removed. Nothing of others is touched.
"""

from __future__ import annotations

import dataclasses
import secrets
import time

from trine.kit.errors import EngineError
from trine.kit.logs import get_logger
from trine.network import builtin, forwarding
from trine.network.firewall.manager import Firewall
from trine.network.links import Links
from trine.network.model import Network, Sandbox
from trine.network.networks import Networks, needs_ipv6_firewall
from trine.network.ports import PortHolder
from trine.network.publishing import sandbox_rules
from trine.network.router import Router
from trine.network.sandboxes import Sandboxes
from trine.network.state import Config, State
from trine.network.store import NetworkStore, SandboxStore


class Reconciler:
    """One start. Blocking calls are made directly: nothing is served yet."""

    def __init__(
        self,
        config: Config,
        state: State,
        network_store: NetworkStore,
        sandbox_store: SandboxStore,
        links: Links,
        firewall: Firewall | None,
        router: Router,
        holder: PortHolder,
        networks: Networks,
        sandboxes: Sandboxes,
    ) -> None:
        """Everything a start touches."""
        self._config, self._state = config, state
        self._network_store, self._sandbox_store = network_store, sandbox_store
        self._links, self._firewall, self._router, self._holder = links, firewall, router, holder
        self._networks, self._sandboxes = networks, sandboxes
        self._log = get_logger("reconcile")
        self.warnings: list[str] = []

    async def run(self) -> None:
        """Do it. Raises EngineError when a flag is impossible or the host refuses the default bridge."""
        if not (self._router.turn_on(4) if self._config.ip_forward else forwarding.ipv4_forwarding()):
            self.warnings.append(forwarding.warning(self._config.ip_forward))
        gone = self._load_networks()
        trash = self._load_sandboxes()
        await self._plan_default()
        ready = [network for network in self._state.networks.values() if network.is_bridge]
        for network in ready:
            self._links.claim_bridge(network.bridge)
            try:
                self._links.ensure_bridge(network)
                self._networks.prepare_host(network)
            except (OSError, EngineError) as error:
                if network.builtin:
                    raise
                self._log.error("cannot restore network", network=network.name, error=str(error))
        self._take_addresses()
        await self._synchronise_firewall(ready, gone)
        for network in gone:
            if not network.foreign_bridge:
                self._links.delete_bridge(network.bridge)
            self._network_store.delete(network.id)
        changed = self._remove_orphans(ready)
        await self._tell_holder()
        for number, sandbox in trash:
            # Its addresses stay taken until its links are gone, unless they are another's by now.
            endpoints = tuple(self._state.take(endpoint) for endpoint in sandbox.endpoints)
            remains = dataclasses.replace(sandbox, endpoints=endpoints)
            if sandbox.id in self._state.sandboxes:  # killed while it was disconnected from a network
                await self._sandboxes.clear(number, remains)
                changed = True
            else:
                self._sandboxes.clear_later(number, remains)
        await self._settle(changed)

    async def _settle(self, changed: bool) -> None:
        """Give back default routes and ports that were on their way to another endpoint at the kill."""
        for sandbox in list(self._state.sandboxes.values()):
            if changed or len(sandbox.endpoints) > 1 or (sandbox.requested_ports and not sandbox.ports):
                try:
                    await self._sandboxes.settle(sandbox)
                except (EngineError, OSError) as error:
                    self._log.error("cannot settle", sandbox=sandbox.id, error=str(error))

    def _load_networks(self) -> list[Network]:
        gone = []
        for state, network in self._network_store.load():
            if state == "ready":
                self._state.add_network(network)
            else:
                gone.append(network)
        now = time.time_ns()
        for network in builtin.plan_host_and_none(
            list(self._state.networks.values()), lambda: secrets.token_hex(32), now
        ):
            self._network_store.put(network, "ready")
            self._state.add_network(network)
        return gone

    def _load_sandboxes(self) -> list[tuple[int, Sandbox]]:
        trash = self._sandbox_store.load_trash()
        for sandbox in self._sandbox_store.load():
            known = all(e.network_id in self._state.networks for e in sandbox.endpoints)
            if sandbox.host and sandbox.state == "ready":
                self._links.pin_host()
            if sandbox.state == "ready" and known and self._links.is_alive(sandbox):
                self._state.sandboxes[sandbox.id] = sandbox
                continue
            trash.append((self._sandbox_store.throw_away(sandbox, sandbox), sandbox))
        return trash

    async def _plan_default(self) -> None:
        stored = next((n for n in self._state.networks.values() if n.builtin and n.is_bridge), None)
        bridge = self._config.default_bridge
        if bridge == "none":
            if stored is not None and not any(True for _ in self._state.endpoints_of(stored.id)):
                self._state.remove_network(stored.id)
                await self._remove_default(stored)
            return
        in_use = stored is not None and any(True for _ in self._state.endpoints_of(stored.id))
        if stored is not None and stored.bridge != bridge:
            if in_use:
                self.warnings.append(
                    f"WARNING: containers are running on bridge {stored.bridge}: "
                    f"--bridge {bridge} takes effect when they have stopped and trine-network starts again"
                )
                return
            self._state.remove_network(stored.id)
            await self._remove_default(stored)
        self._links.claim_bridge(bridge)
        present = self._links.find_bridge(bridge)
        if stored is not None:
            self._state.remove_network(stored.id)
        around = await self._networks.surroundings()
        host = (*self._links.host_networks([bridge, *(n.bridge for n in around.networks)]),)
        around = dataclasses.replace(around, host=(*host, *forwarding.name_server_networks()))
        network = builtin.plan_default(
            self._config,
            builtin.Found(
                stored,
                present is not None,
                tuple(str(address) for address in present[1]) if present is not None else (),
                in_use,
            ),
            around,
            secrets.token_hex(32),
            time.time_ns(),
        )
        self._network_store.put(network, "ready")
        self._state.add_network(network)

    async def _remove_default(self, network: Network) -> None:
        self._network_store.put(network, "deleting")
        await self._networks.unmake(network)
        self._network_store.delete(network.id)

    def _take_addresses(self) -> None:
        for sandbox in self._state.sandboxes.values():
            for endpoint in sandbox.endpoints:
                self._state.take(endpoint)

    async def _synchronise_firewall(self, ready: list[Network], gone: list[Network]) -> None:
        if self._firewall is None:
            return
        sandboxes = list(self._state.sandboxes.values())
        rules = [rule for s in sandboxes for rule in sandbox_rules(s, self._state, 4)]
        await self._firewall.synchronise(4, ready, rules, gone)
        await self._router.close_forward(4)
        six = [network for network in ready if needs_ipv6_firewall(network)]
        if six or any(needs_ipv6_firewall(network) for network in gone):
            rules = [rule for s in sandboxes for rule in sandbox_rules(s, self._state, 6)]
            await self._firewall.synchronise(6, six, rules, gone)
        await self._router.close_forward(6)

    def _remove_orphans(self, ready: list[Network]) -> bool:
        """Remove links on our bridges and pins that no row knows; return whether there were such links."""
        found = False
        names = {e.host_interface for s in self._state.sandboxes.values() for e in s.endpoints}
        links = self._links.links()
        bridges = {n.bridge for n in ready if not n.foreign_bridge}
        masters = {link.index for link in links if link.name in bridges}
        for link in links:
            if link.kind == "veth" and link.master in masters and link.name not in names:
                self._log.warning("removing an orphan link", link=link.name)
                self._links.delete_link(link.name)
                found = True
        for pin in self._links.pins():
            if pin != "default" and pin not in self._state.sandboxes:
                self._links.unpin_name(pin)
        return found

    async def _tell_holder(self) -> None:
        await self._holder.start()
        for sandbox_id in await self._holder.known():
            if sandbox_id not in self._state.sandboxes:
                await self._holder.drop(sandbox_id)
        await self._sandboxes.tell_everything()
