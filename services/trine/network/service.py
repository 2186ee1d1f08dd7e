"""The service as one object: its parts put together, started, stopped, removed from the host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trine.kit.errors import ConflictError
from trine.kit.files import lock_file
from trine.kit.logs import get_logger
from trine.network import forwarding, resolv
from trine.network.firewall.manager import Firewall, detect
from trine.network.links import Links
from trine.network.model import Network
from trine.network.networks import Networks, needs_ipv6_firewall
from trine.network.ports import PortHolder
from trine.network.publishing import Publisher, sandbox_rules
from trine.network.reconcile import Reconciler
from trine.network.router import Router
from trine.network.rules import Rule
from trine.network.sandboxes import Sandboxes
from trine.network.state import Config, State
from trine.network.store import NetworkStore, SandboxStore


def _lock(path: Path) -> int:
    descriptor = lock_file(path)
    if descriptor is None:
        raise ConflictError(
            f"another trine-network uses {path.parent}: stop it first, or choose other roots",
            reason="ROOT_IN_USE",
        )
    return descriptor


class NetworkProgram:
    """Everything of one trine-network."""

    def __init__(self, config: Config) -> None:
        """Open the databases and look at the host. Raises EngineError, OSError."""
        self.config = config
        self.state = State()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="links")
        # Deleting a veth blocks for 22 ms: those wait for each other, never a create.
        self._sweepers = ThreadPoolExecutor(2, thread_name_prefix="sweep")
        config.exec_root.mkdir(parents=True, exist_ok=True)
        (config.data_root / "network").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._locks = [_lock(config.data_root / "network" / "lock"), _lock(config.exec_root / "network.lock")]
        self._network_store = NetworkStore(config.data_root)
        self._sandbox_store = SandboxStore(config.exec_root)
        self._firewall: Firewall | None = None
        if config.iptables:
            self._firewall = Firewall(detect(config.firewall_backend))
        variant = self._firewall.backend.variant if self._firewall is not None else ""
        self._links = Links(config.exec_root, variant)
        self._holder = PortHolder(config.exec_root, self._holder_is_fresh)
        self._router = Router(config.exec_root, self._firewall)
        self.networks = Networks(
            config, self.state, self._network_store, self._links, self._firewall, self._router, self.call
        )
        publisher = Publisher(self.state, self._holder, self._firewall, self._forget_udp)
        self.sandboxes = Sandboxes(
            config,
            self.state,
            self._sandbox_store,
            self._links,
            self._holder,
            publisher,
            self.call,
            self.sweep,
        )
        if self._firewall is not None:
            self._firewall.wanted = self._wanted_rules
        self._warnings: list[str] = []

    def call(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run a blocking function in one of the threads that may enter namespaces."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def sweep(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run a slow deletion in one of the threads kept for that."""
        return asyncio.get_running_loop().run_in_executor(self._sweepers, work)

    def _wanted_rules(self, version: int) -> tuple[list[Network], list[Rule]]:
        """Return the networks and port rules that are in force, for IPv4 or IPv6."""
        networks = [
            network
            for network in self.state.networks.values()
            if network.is_bridge and (version == 4 or needs_ipv6_firewall(network))
        ]
        sandboxes = self.state.sandboxes.values()
        return networks, [rule for s in sandboxes for rule in sandbox_rules(s, self.state, version)]

    async def _forget_udp(self, ports: set[int], versions: list[int]) -> None:
        await self.call(lambda: self._links.forget_udp(ports, versions))

    async def _holder_is_fresh(self) -> None:
        await self.sandboxes.tell_everything()

    def _reconciler(self) -> Reconciler:
        return Reconciler(
            self.config,
            self.state,
            self._network_store,
            self._sandbox_store,
            self._links,
            self._firewall,
            self._router,
            self._holder,
            self.networks,
            self.sandboxes,
        )

    async def start(self) -> None:
        """Make rows and host agree. Raises EngineError."""
        reconciler = self._reconciler()
        await reconciler.run()
        self._warnings = reconciler.warnings
        for warning in self._warnings:
            get_logger("network").warning(warning)

    def info(self) -> dict[str, Any]:
        """Return the fields of GetNetworkInfoResponse."""
        warnings = list(self._warnings)
        if not forwarding.ipv4_forwarding() and not any("IPv4 forwarding" in w for w in warnings):
            warnings.append("WARNING: IPv4 forwarding is disabled")
        for version, name in ((4, "iptables"), (6, "ip6tables")):
            if not forwarding.bridge_netfilter(version):
                warnings.append(f"WARNING: bridge-nf-call-{name} is disabled")
        return {
            "ipv4_forwarding": forwarding.ipv4_forwarding(),
            "ipv6_forwarding": forwarding.ipv6_forwarding(),
            "bridge_nf_iptables": forwarding.bridge_netfilter(4),
            "bridge_nf_ip6tables": forwarding.bridge_netfilter(6),
            "firewall_backend": self._firewall.backend.name if self._firewall is not None else "none",
            "warnings": warnings,
            "default_bridge": "" if self.config.bridge == "none" else self.config.default_bridge,
            "resolv_conf": self._default_resolv_conf(),
        }

    def _default_resolv_conf(self) -> str:
        return resolv.for_container(
            forwarding.resolv_conf(), embedded=False, ipv6=self.config.ipv6, servers=self.config.dns
        )

    async def stop(self) -> None:
        """Finish what is under way; containers keep everything they have."""
        await self.sandboxes.finish()
        await self._holder.close()
        if self._firewall is not None:
            self._firewall.close()
        self._threads.shutdown()
        self._sweepers.shutdown()
        self._sandbox_store.close()
        self._network_store.close()
        for lock in self._locks:
            os.close(lock)

    async def remove(self) -> None:
        """Take everything of this instance off the host: sandboxes, bridges, rules, holder, pins.

        Rows of user-made networks stay: the next start makes their bridges again.
        """
        sandboxes = self._sandbox_store.load()
        networks = [network for _state, network in self._network_store.load() if network.is_bridge]
        for network in networks:
            self.state.add_network(network)
            self._links.claim_bridge(network.bridge)
        await self._holder.stop()
        for sandbox in [*sandboxes, *(s for _n, s in self._sandbox_store.load_trash())]:
            self._links.clear(sandbox)
        if self._firewall is not None:
            for version in (4, 6):
                rules = [r for s in sandboxes for r in sandbox_rules(s, self.state, version)]
                if version == 6 and not any(needs_ipv6_firewall(n) for n in networks):
                    continue
                await self._firewall.remove_all(version, networks, rules)
        await self._router.take_back()
        for pin in self._links.pins():
            self._links.unpin_name(pin)
        for network in networks:
            if not network.foreign_bridge:
                self._links.delete_bridge(network.bridge)
        for sandbox in sandboxes:
            self._sandbox_store.cleared(self._sandbox_store.throw_away(sandbox, sandbox))
        for number, _sandbox in self._sandbox_store.load_trash():
            self._sandbox_store.cleared(number)
        await self.stop()
