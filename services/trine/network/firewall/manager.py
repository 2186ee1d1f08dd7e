"""One thread owns the firewall; what is asked at the same time goes in one transaction."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from trine.kit.errors import EngineError, InternalError, InvalidArgumentError
from trine.kit.logs import get_logger
from trine.network.firewall import changes as ch
from trine.network.firewall.changes import Actual, Change
from trine.network.firewall.restore import RestoreBackend
from trine.network.model import Network
from trine.network.rules import MAIN, Rule, network_rules

T = TypeVar("T")


class Backend(Protocol):
    """What the manager needs of iptables."""

    @property
    def name(self) -> str:
        """Return the name for the user."""

    @property
    def variant(self) -> str:
        """Return "nft" or "legacy"."""

    def read(self, version: int) -> Actual:
        """Return everybody's rules."""

    def apply(self, version: int, changes: Sequence[Change]) -> None:
        """Make changes, table by table all or none."""


def _alternative() -> str:
    """Return which variant plain ``iptables`` is: "nft", "legacy" or empty when there is none."""
    try:
        done = subprocess.run(
            ["iptables", "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return "nft" if "nf_tables" in done.stdout else "legacy"


def detect(wish: str) -> Backend:
    """Choose the backend. ``wish`` is "auto", "nft" or "legacy".

    Auto: where our chain is already; else what ``iptables`` is on this host, unless only the other
    variant holds rules (somebody uses that one, and rules in both would meet in surprising ways).
    Raises InternalError when there is no iptables, InvalidArgumentError for another wish.
    """
    if wish not in ("auto", "nft", "legacy"):
        raise InvalidArgumentError(f'invalid firewall backend "{wish}": use auto, nft or legacy')
    if wish == "auto":
        wish = _choose()
    if wish == "nft":
        return RestoreBackend("nft")
    from trine.network.firewall.legacy import LegacyBackend

    try:
        return LegacyBackend()
    except InternalError as error:
        get_logger("firewall").warning("python-iptables is not usable here", error=error.message)
        return RestoreBackend("legacy")


def _choose() -> str:
    plain = _alternative()
    if not plain:
        raise InternalError("iptables is not installed", reason="FIREWALL")
    rules: dict[str, int] = {}
    for variant in (plain, "legacy" if plain == "nft" else "nft"):
        try:
            actual = RestoreBackend(variant).read(4)
        except EngineError:
            continue
        if ("filter", MAIN) in actual.chains or ("nat", MAIN) in actual.chains:
            return variant
        rules[variant] = actual.count_rules()
    if plain not in rules or (not rules[plain] and any(rules.values())):
        return next(v for v in rules if v != plain) if len(rules) > 1 or plain not in rules else plain
    return plain


@dataclass
class _Request:
    version: int
    add: list[Rule]
    remove: list[Rule]
    lift: bool
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Firewall:
    """The rules of this instance. All methods are for the event loop."""

    def __init__(self, backend: Backend) -> None:
        """Start the thread."""
        self.backend = backend
        # What should be there of networks and ports, for IPv4 or IPv6; set by the service.
        self.wanted: Callable[[int], tuple[list[Network], list[Rule]]] = lambda _version: ([], [])
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="firewall")
        self._pending: list[_Request] = []
        self._runner: asyncio.Task[None] | None = None

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def synchronise(
        self, version: int, networks: Sequence[Network], ports: Sequence[Rule], gone: Sequence[Network] = ()
    ) -> None:
        """Make the firewall what the rows say (at start). Raises InternalError."""
        await self._call(lambda: self._synchronise(version, networks, ports, gone))

    def _synchronise(
        self, version: int, networks: Sequence[Network], ports: Sequence[Rule], gone: Sequence[Network]
    ) -> None:
        # Another instance may change the shared chains between our reading and our writing: try again.
        for attempt in range(5):
            changes = ch.synchronise(self.backend.read(version), version, networks, ports, gone)
            try:
                self.backend.apply(version, changes)
                return
            except InternalError:
                if attempt == 4:
                    raise

    async def forward_policy(self, version: int) -> str:
        """Return the policy of FORWARD. Raises InternalError."""
        actual = await self._call(lambda: self.backend.read(version))
        return actual.policies.get(("filter", "FORWARD"), "ACCEPT")

    async def set_forward_policy(self, version: int, policy: str) -> None:
        """Set the policy of FORWARD. Raises InternalError."""
        change = Change(ch.POLICY, "filter", "FORWARD", policy=policy)
        await self._call(lambda: self.backend.apply(version, [change]))

    async def forward_is_used(self, version: int) -> bool:
        """Tell whether FORWARD has rules, or another instance has chains. Raises InternalError."""
        actual = await self._call(lambda: self.backend.read(version))
        return bool(actual.chains.get(("filter", "FORWARD"))) or ("filter", MAIN) in actual.chains

    async def add_network(self, network: Network, version: int) -> None:
        """Add a network's rules. Raises InternalError."""
        await self.change(version, add=network_rules(network, version), lift=True)

    async def remove_network(self, network: Network, version: int) -> None:
        """Delete a network's rules; those that are not there are fine. Raises InternalError."""
        await self.change(version, remove=network_rules(network, version))

    async def change(
        self, version: int, *, add: Iterable[Rule] = (), remove: Iterable[Rule] = (), lift: bool = False
    ) -> None:
        """Add and remove rules, together with what others ask at this moment. Raises InternalError.

        ``lift`` brings the jumps at the top of FORWARD back to the top.
        """
        request = _Request(version, list(dict.fromkeys(add)), list(dict.fromkeys(remove)), lift)
        if not request.add and not request.remove:
            return
        self._pending.append(request)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        await request.done

    async def _run(self) -> None:
        while self._pending:
            version = self._pending[0].version
            batch = [r for r in self._pending if r.version == version]
            self._pending = [r for r in self._pending if r.version != version]
            errors = await self._transact(version, batch)
            for request, error in zip(batch, errors, strict=True):
                if request.done.cancelled():
                    continue
                if error is None:
                    request.done.set_result(None)
                else:
                    request.done.set_exception(error)

    async def _transact(self, version: int, batch: list[_Request]) -> list[Exception | None]:
        changes = [change for request in batch for change in _changes(request)]
        try:
            await self._call(lambda: self.backend.apply(version, changes))
            return [None] * len(batch)
        except InternalError as error:
            # A rule, a chain or a jump was taken away behind our back, or one request is wrong:
            # look at what is there, bring back what is missing, do each request for itself.
            get_logger("firewall").warning("the rules are not as we left them", error=error.message)
            networks, ports = self.wanted(version)
            return await self._call(lambda: [self._repair(version, r, networks, ports) for r in batch])
        except Exception as error:
            return [error] * len(batch)

    def _repair(
        self, version: int, request: _Request, networks: Sequence[Network], ports: Sequence[Rule]
    ) -> Exception | None:
        error: Exception | None = None
        for _ in range(3):
            try:
                actual = self.backend.read(version)
                # What this very request takes away is not to be brought back first.
                kept = [rule for rule in ports if rule not in request.remove]
                changes = ch.restore_missing(actual, version, networks, kept)
                changes += [ch.delete(rule) for rule in request.remove if actual.has(rule)]
                added = {change.rule for change in changes if change.verb in (ch.INSERT, ch.APPEND)}
                changes += [
                    ch.add(rule) for rule in request.add if not actual.has(rule) and rule not in added
                ]
                if request.lift:
                    changes += ch.lift_jumps()
                self.backend.apply(version, changes)
                return None
            except Exception as found:
                error = found
        return error

    async def remove_all(self, version: int, networks: Sequence[Network], ports: Sequence[Rule]) -> None:
        """Delete all rules of this instance, and the shared chains when nobody else needs them."""

        def work() -> None:
            changes = ch.remove_all(self.backend.read(version), version, networks, ports)
            self.backend.apply(version, changes)

        await self._call(work)

    def close(self) -> None:
        """End the thread; rules stay."""
        self._thread.shutdown()


def _changes(request: _Request) -> list[Change]:
    changes = [ch.delete(rule) for rule in request.remove]
    changes += [ch.add(rule) for rule in request.add]
    return changes + ch.lift_jumps() if request.lift else changes
