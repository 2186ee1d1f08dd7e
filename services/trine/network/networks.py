"""Use cases about networks: create, delete, prune, list."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import re
import secrets
import time
from collections.abc import Callable, Sequence

from trine.kit.errors import (
    ConflictError,
    EngineError,
    InternalError,
    InvalidArgumentError,
    PermissionDeniedError,
)
from trine.network import forwarding, plan
from trine.network.firewall.manager import Firewall
from trine.network.links import Links
from trine.network.model import Network
from trine.network.plan import NetworkRequest, Surroundings
from trine.network.router import Router
from trine.network.state import Call, Config, State
from trine.network.store import NetworkStore


def needs_ipv6_firewall(network: Network) -> bool:
    """Tell whether a network has rules in ip6tables."""
    return network.is_bridge and (network.pool6 is not None or not network.icc)


class Networks:
    """Creates and deletes networks: row, bridge, rules, in that order; undone in the other."""

    def __init__(
        self,
        config: Config,
        state: State,
        store: NetworkStore,
        links: Links,
        firewall: Firewall | None,
        router: Router,
        call: Call,
    ) -> None:
        """``call`` runs a blocking function in a thread."""
        self._router = router
        self._config, self._state, self._store = config, state, store
        self._links, self._firewall, self._call = links, firewall, call
        self._lock = asyncio.Lock()

    async def surroundings(self) -> Surroundings:
        """Return what a new network must get along with."""
        networks = tuple(self._state.networks.values())
        ours = [network.bridge for network in networks if network.bridge]
        host = await self._call(lambda: self._links.host_networks(ours))
        return Surroundings(
            networks,
            (*host, *forwarding.name_server_networks()),
            self._config.default_pools,
            self._config.mtu,
        )

    async def create(self, request: NetworkRequest) -> tuple[Network, str]:
        """Create a network; return it and a warning. Nothing is left when it raises."""
        async with self._lock:
            identifier = secrets.token_hex(32)
            around = await self.surroundings()
            network = plan.plan_network(request, around, identifier, time.time_ns())
            found = await self._call(lambda: self._links.find_bridge(network.bridge))
            if found is not None:
                request = plan.on_existing_bridge(request, [str(address) for address in found[1]])
                network = plan.plan_network(request, around, identifier, network.created_at_unix_nanos)
                network = dataclasses.replace(network, foreign_bridge=True)
            self._links.claim_bridge(network.bridge)
            self._store.put(network, "creating")
            try:
                await self.realise(network)
            except BaseException as error:
                await asyncio.shield(self._undo(network))
                if isinstance(error, OSError):
                    raise InternalError(
                        f"failed to create bridge {network.bridge}: {error.strerror or error}",
                        reason="BRIDGE",
                    ) from error
                raise
            self._store.put(network, "ready")
            self._state.add_network(network)
        return network, self._warning(network)

    def _warning(self, network: Network) -> str:
        if network.pool6 is not None and not forwarding.ipv6_forwarding():
            return "WARNING: IPv6 forwarding is disabled"
        return ""

    async def realise(self, network: Network) -> None:
        """Make bridge and rules of a network. Raises OSError, EngineError."""
        await self._call(lambda: self._links.ensure_bridge(network))
        self.prepare_host(network)
        if self._firewall is not None:
            await self._firewall.add_network(network, 4)
            if needs_ipv6_firewall(network):
                await self._firewall.add_network(network, 6)
        await self._router.close_forward(6)

    def prepare_host(self, network: Network) -> None:
        """Turn on IPv6 forwarding for a network that needs it; see that icc=false can be had.

        The caller closes FORWARD afterwards (Router.close_forward).
        """
        if network.pool6 is not None and self._config.ip_forward:
            self._router.turn_on(6)
        if not network.icc and self._firewall is not None and not forwarding.has_bridge_netfilter():
            raise InternalError(
                "cannot restrict inter-container communication: bridge netfilter is not available "
                "(modprobe br_netfilter)",
                reason="BRIDGE_NETFILTER",
            )

    async def _undo(self, network: Network) -> None:
        try:
            await self.unmake(network)
        except (OSError, EngineError):
            pass  # the row says "creating": the next start clears it away
        else:
            self._store.delete(network.id)

    async def unmake(self, network: Network) -> None:
        """Delete rules and bridge of a network. Raises OSError, EngineError."""
        if self._firewall is not None:
            await self._firewall.remove_network(network, 4)
            if needs_ipv6_firewall(network):
                await self._firewall.remove_network(network, 6)
        if not network.foreign_bridge:
            await self._call(lambda: self._links.delete_bridge(network.bridge))
        self._links.release_bridge(network.bridge)

    async def delete(self, name: str) -> Network:
        """Delete a network without endpoints. Raises PermissionDeniedError, ConflictError, NotFoundError."""
        async with self._lock:
            network = self._state.find_network(name)
            if network.builtin:
                raise PermissionDeniedError(f"{network.name} is a pre-defined network and cannot be removed")
            if any(True for _ in self._state.endpoints_of(network.id)):
                raise ConflictError(
                    f"error while removing network: network {network.name} id {network.id} "
                    "has active endpoints",
                    reason="NETWORK_IN_USE",
                )
            self._store.put(network, "deleting")
            self._state.remove_network(network.id)
            try:
                await asyncio.shield(self.unmake(network))
            except OSError as error:
                raise InternalError(
                    f"failed to delete bridge {network.bridge}: {error.strerror or error}", reason="BRIDGE"
                ) from error
            self._store.delete(network.id)
        return network

    async def prune(self, filters: Sequence[str], keep: Sequence[str]) -> list[str]:
        """Delete user-made networks nobody uses; return their names."""
        matches = parse_filters(filters, {"until", "label", "label!"})
        deleted = []
        for network in sorted(self._state.networks.values(), key=lambda n: n.name):
            if (
                network.builtin
                or network.id in keep
                or any(True for _ in self._state.endpoints_of(network.id))
            ):
                continue
            if not matches(network, False):
                continue
            try:
                await self.delete(network.id)
            except (ConflictError, EngineError):
                continue  # got an endpoint meanwhile
            deleted.append(network.name)
        return deleted

    def list(self, filters: Sequence[str]) -> list[Network]:
        """Return the networks the filters match, by name. Raises InvalidArgumentError."""
        known = {"name", "id", "driver", "type", "label", "dangling", "scope"}
        matches = parse_filters(filters, known)
        found = []
        for network in self._state.networks.values():
            used = any(True for _ in self._state.endpoints_of(network.id))
            if matches(network, used):
                found.append(network)
        return sorted(found, key=lambda n: (n.name, n.id))


def parse_filters(filters: Sequence[str], known: set[str]) -> Callable[[Network, bool], bool]:
    """Return a test for (network, has endpoints). Filters of one key are alternatives, keys add up.

    Raises InvalidArgumentError for an unknown key or an impossible value.
    """
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, separator, value = text.partition("=")
        if separator and key.endswith("!"):
            key = key.rstrip("!") + "!"
        if not separator or key not in known:
            raise InvalidArgumentError(f"Invalid filter '{key}'", reason="INVALID_FILTER")
        if key == "type" and value not in ("custom", "builtin"):
            raise InvalidArgumentError(f"invalid filter: 'type'='{value}'", reason="INVALID_FILTER")
        if key == "dangling" and value.lower() not in ("true", "false", "1", "0"):
            raise InvalidArgumentError(
                'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")',
                reason="INVALID_FILTER",
            )
        wanted.setdefault(key, []).append(_until(value) if key == "until" else value)

    def matches(network: Network, used: bool) -> bool:
        checks: dict[str, Callable[[str], bool]] = {
            "name": lambda v: _matches(v, network.name),
            "id": lambda v: network.id.startswith(v) or _matches(v, network.id),
            "driver": lambda v: v == network.driver,
            "scope": lambda v: v == "local",
            "type": lambda v: (v == "builtin") == network.builtin,
            "dangling": lambda v: (v.lower() in ("true", "1")) == (not network.builtin and not used),
            "until": lambda v: network.created_at_unix_nanos < int(v),
        }
        for key, values in wanted.items():
            if key == "label":
                if not all(_has_label(network, value) for value in values):
                    return False
            elif key == "label!":
                if any(_has_label(network, value) for value in values):
                    return False
            elif not any(checks[key](value) for value in values):
                return False
        return True

    return matches


def _matches(pattern: str, text: str) -> bool:
    """Docker's name filter is a regular expression found anywhere; a broken one is plain text."""
    try:
        return bool(re.search(pattern, text))
    except re.error:
        return pattern in text


def _has_label(network: Network, text: str) -> bool:
    key, separator, value = text.partition("=")
    return key in network.labels and (not separator or network.labels[key] == value)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001, "ns": 0.000000001}


def _until(value: str) -> str:
    """Return a filter's time as nanoseconds: a Unix time, a Go duration back from now, or RFC 3339."""
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return str(int(float(value) * 1e9))
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", value)
    if parts and "".join(n + u for n, u in parts) == value:
        return str(time.time_ns() - int(sum(float(n) * _UNITS[u] for n, u in parts) * 1e9))
    try:
        parsed = datetime.datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidArgumentError(
            f'failed to parse value as time or duration: "{value}"', reason="INVALID_FILTER"
        ) from error
    return str(int(parsed.timestamp() * 1e9))
