"""Use cases about sandboxes: a container's namespace with its links, addresses, ports and names."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trine.kit.errors import ConflictError, EngineError, InvalidArgumentError, NotFoundError
from trine.kit.logs import get_logger
from trine.network import forwarding, plan, resolv
from trine.network.links import Links, check_sysctls, pin_path
from trine.network.model import Endpoint, Network, Port, Sandbox
from trine.network.plan import EndpointWish
from trine.network.ports import PortHolder, dns_request, hold_again
from trine.network.publishing import Publisher, port_endpoint
from trine.network.state import Call, Config, State
from trine.network.store import SandboxStore

NO_SUCH_SANDBOX = "NO_SUCH_SANDBOX"


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


class Locks:
    """One lock a sandbox id, gone when nobody holds it."""

    def __init__(self) -> None:
        """Start with none."""
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[object]]) -> object:
        """Run ``work`` alone for this key; it is finished even when the caller is cancelled."""
        return await asyncio.shield(asyncio.ensure_future(self._run(key, work)))

    async def _run(self, key: str, work: Callable[[], Awaitable[object]]) -> object:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                return await work()
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)


class Sandboxes:
    """Makes, changes and deletes sandboxes."""

    def __init__(
        self,
        config: Config,
        state: State,
        store: SandboxStore,
        links: Links,
        holder: PortHolder,
        publisher: Publisher,
        call: Call,
        sweep: Call,
    ) -> None:
        """``call`` runs a blocking function in a thread, ``sweep`` a slow deletion in another."""
        self._config, self._state, self._store, self._links = config, state, store, links
        self._holder, self._publisher, self._call = holder, publisher, call
        self._sweep = sweep
        self.locks = Locks()
        self._clearing: dict[str, set[asyncio.Task[None]]] = {}

    # Reading

    def get(self, identifier: str) -> Sandbox:
        """Return a sandbox. Raises NotFoundError."""
        sandbox = self._state.sandboxes.get(identifier)
        if sandbox is None or sandbox.state != "ready":
            raise NotFoundError(f"sandbox {identifier} not found", reason=NO_SUCH_SANDBOX)
        return sandbox

    def list(self) -> list[Sandbox]:
        """Return all sandboxes that are ready."""
        return [sandbox for sandbox in self._state.sandboxes.values() if sandbox.state == "ready"]

    def resolv_conf(self, sandbox: Sandbox) -> str:
        """Return the content of the container's resolv.conf."""
        return resolv.for_container(
            forwarding.resolv_conf(),
            embedded=sandbox.dns,
            host_network=sandbox.host,
            ipv6=any(endpoint.ipv6 for endpoint in sandbox.endpoints),
            servers=sandbox.dns_servers or self._config.dns,
            search=sandbox.dns_search,
            options=sandbox.dns_options,
        )

    def upstream(self, sandbox: Sandbox) -> tuple[str, ...]:
        """Return the servers embedded DNS asks; none for a sandbox without a way out.

        The holder asks from the host's network, so the host's own loopback servers serve too.
        """
        if (
            plan.gateway_endpoint(sandbox.endpoints) is None
            and plan.gateway6_endpoint(sandbox.endpoints) is None
        ):
            return ()
        host = resolv.parse(forwarding.resolv_conf())
        return sandbox.dns_servers or self._config.dns or host.servers or resolv.FALLBACK

    # Creating

    async def create(self, request: SandboxRequest) -> Sandbox:
        """Make a sandbox, or return the one of that id. All or nothing."""
        result = await self.locks.run(request.id, lambda: self._create(request))
        assert isinstance(result, Sandbox)
        return result

    async def _create(self, request: SandboxRequest) -> Sandbox:
        existing = self._state.sandboxes.get(request.id)
        if existing is not None:
            return existing
        # A container that restarts gets its old address: wait until its old link is gone.
        for clearing in list(self._clearing.get(request.id, ())):
            await asyncio.wait([clearing])
        planned = self._plan(request)
        self._state.sandboxes[planned.id] = planned
        try:
            self._store.put(planned)
            ready = dataclasses.replace(await self._realise(planned), state="ready")
            self._store.put(ready)
        except BaseException:
            await self._forget(planned)
            raise
        self._state.sandboxes[planned.id] = ready
        return ready

    def _plan(self, request: SandboxRequest) -> Sandbox:
        """Check everything and take the addresses; nothing is taken when it raises."""
        if not request.id or "/" in request.id or request.id in (".", "..", "default"):
            raise InvalidArgumentError(f"invalid sandbox id {request.id!r}")
        check_sysctls(request.sysctls)
        plan.check_ports(request.ports)
        networks = [self._state.find_network(wish.network) for wish in request.endpoints]
        _check_together(networks)
        host = any(network.driver == "host" for network in networks)
        if host and request.sysctls:
            key = next(iter(request.sysctls))
            raise InvalidArgumentError(f"sysctl '{key}' not allowed in host network namespace")
        endpoints: list[Endpoint] = []
        try:
            for wish, network in zip(request.endpoints, networks, strict=True):
                endpoints.append(self._plan_endpoint(request.id, wish, network, endpoints))
        except BaseException:
            for endpoint in endpoints:
                self._state.release(endpoint)
            raise
        return Sandbox(
            id=request.id,
            container_name=request.container_name,
            hostname=request.hostname,
            netns_path=pin_path(self._links.exec_root, "default" if host else request.id),
            endpoints=tuple(endpoints),
            requested_ports=request.ports,
            dns=any(network.is_bridge and not network.builtin for network in networks),
            dns_servers=request.dns_servers,
            dns_search=request.dns_search,
            dns_options=request.dns_options,
            sysctls=dict(request.sysctls),
            host=host,
        )

    def _plan_endpoint(
        self, sandbox_id: str, wish: EndpointWish, network: Network, others: Sequence[Endpoint]
    ) -> Endpoint:
        plan.check_endpoint(wish, network)
        taken = plan.take_addresses(wish, network, self._state.pool4(network), self._state.pool6(network))
        identifier = secrets.token_hex(32)
        used = {endpoint.interface for endpoint in others}
        prefix = network.interface_prefix
        interface = next(f"{prefix}{n}" for n in range(len(used) + 1) if f"{prefix}{n}" not in used)
        return plan.plan_endpoint(
            wish,
            network,
            taken,
            identifier=identifier,
            interface=interface,
            host_interface=f"veth{identifier[:8]}",
            short_id=sandbox_id[:12],
        )

    async def _realise(self, planned: Sandbox) -> Sandbox:
        """Make the kernel's part and the ports side by side, then names; undo all when one fails."""
        if planned.host:
            await self._call(self._links.pin_host)
            return planned
        networks = dict(self._state.networks)
        kernel = asyncio.ensure_future(self._call(lambda: self._links.make_sandbox(planned, networks)))
        ports = asyncio.ensure_future(self._publisher.publish(planned))
        await asyncio.wait([kernel, ports])
        failure = kernel.exception() or ports.exception()
        published = planned if ports.exception() is not None else ports.result()
        if kernel.exception() is None:
            published = dataclasses.replace(published, dns_port=kernel.result())
        if failure is None:
            try:
                await self._announce(published)
            except EngineError as error:
                failure = error
        if failure is not None:
            await self._take_down(published)
            if kernel.exception() is None:
                await self._call(lambda: self._links.clear(planned))
            raise failure
        return published

    async def _announce(self, sandbox: Sandbox) -> None:
        """Tell embedded DNS about a sandbox (those without DNS of their own have no names either)."""
        if sandbox.dns:
            await self._holder.dns(dns_request(sandbox, self.upstream(sandbox), self._state.builtin_ids))

    async def _take_down(self, sandbox: Sandbox) -> None:
        """Undo ports, names and pin; what fails is logged and left to the next start."""
        steps = (self._publisher.withdraw(sandbox), self._unpin(sandbox))
        for error in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(error, (EngineError, OSError)):
                get_logger("sandbox").error("cannot clear away", sandbox=sandbox.id, error=str(error))
            elif error is not None:
                raise error

    async def _unpin(self, sandbox: Sandbox) -> None:
        if not sandbox.host:
            await self._call(lambda: self._links.unpin(sandbox))

    async def _forget(self, sandbox: Sandbox) -> None:
        self._state.sandboxes.pop(sandbox.id, None)
        for endpoint in sandbox.endpoints:
            self._state.release(endpoint)
        number = self._store.throw_away(sandbox, sandbox)
        self._store.cleared(number)

    # Deleting

    async def delete(self, identifier: str) -> None:
        """Delete a sandbox; one that is not there is fine."""
        await self.locks.run(identifier, lambda: self._delete(identifier))

    async def _delete(self, identifier: str) -> None:
        sandbox = self._state.sandboxes.get(identifier)
        if sandbox is None:
            return
        number = self._store.throw_away(sandbox, sandbox)
        del self._state.sandboxes[identifier]
        await self._take_down(sandbox)
        self.clear_later(number, sandbox)

    def clear_later(self, number: int, remains: Sandbox) -> None:
        """Delete links off the caller's path (22 ms each); only then their addresses are free again."""
        task = asyncio.get_running_loop().create_task(self._clear(number, remains))
        tasks = self._clearing.setdefault(remains.id, set())
        tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not tasks:
                self._clearing.pop(remains.id, None)

        task.add_done_callback(done)

    async def _clear(self, number: int, remains: Sandbox) -> None:
        try:
            await self._sweep(lambda: self._links.clear(remains))
        except OSError as error:
            get_logger("sandbox").error("cannot delete links", sandbox=remains.id, error=str(error))
        for endpoint in remains.endpoints:
            self._state.release(endpoint)
        self._store.cleared(number)

    async def finish(self) -> None:
        """Wait for what is being cleared away."""
        tasks = [task for tasks in self._clearing.values() for task in tasks]
        if tasks:
            await asyncio.wait(tasks)

    # Changing

    async def connect(self, identifier: str, wish: EndpointWish) -> Endpoint:
        """Connect a sandbox to one more network; return the endpoint."""
        result = await self.locks.run(identifier, lambda: self._connect(identifier, wish))
        assert isinstance(result, Endpoint)
        return result

    async def _connect(self, identifier: str, wish: EndpointWish) -> Endpoint:
        sandbox = self.get(identifier)
        network = self._state.find_network(wish.network)
        _check_connect(sandbox, network, self._state)
        endpoint = self._plan_endpoint(sandbox.id, wish, network, sandbox.endpoints)
        changed = dataclasses.replace(
            sandbox,
            endpoints=(*sandbox.endpoints, endpoint),
            dns=sandbox.dns or not network.builtin,
        )
        networks = dict(self._state.networks)
        try:
            starts_dns = changed.dns and not sandbox.dns
            plugged = changed
            port = await self._call(lambda: self._links.add_endpoint(plugged, endpoint, networks, starts_dns))
            changed = dataclasses.replace(changed, dns_port=port)
            if not sandbox.ports:
                changed = await self._publisher.publish(changed)
            await self._announce(changed)
            self._store.put(changed)
        except BaseException:
            await self._call(lambda: self._links.delete_link(endpoint.host_interface))
            self._state.release(endpoint)
            if changed.ports and not sandbox.ports:
                await self._publisher.withdraw(changed)
            await self._announce(sandbox)
            raise
        self._state.sandboxes[identifier] = changed
        return endpoint

    async def disconnect(self, identifier: str, name: str, force: bool) -> None:
        """Disconnect a sandbox from a network."""
        await self.locks.run(identifier, lambda: self._disconnect(identifier, name, force))

    async def _disconnect(self, identifier: str, name: str, force: bool) -> None:
        sandbox = self.get(identifier)
        try:
            network = self._state.find_network(name)
        except NotFoundError:
            if force:
                return
            raise
        if network.driver == "host":
            raise InvalidArgumentError(
                "container cannot be disconnected from host network or connected to host network"
            )
        endpoint = next((e for e in sandbox.endpoints if e.network_id == network.id), None)
        if endpoint is None:
            if force:
                return
            raise NotFoundError(
                f"container {identifier} is not connected to network {network.name}", reason="NOT_CONNECTED"
            )
        rest = tuple(e for e in sandbox.endpoints if e is not endpoint)
        changed = dataclasses.replace(sandbox, endpoints=rest)
        moves = bool(sandbox.ports) and _ports_on(sandbox, self._state) == endpoint.id
        if moves:
            await self._publisher.withdraw(dataclasses.replace(sandbox, dns=False))
            changed = dataclasses.replace(changed, ports=())
        remains = dataclasses.replace(sandbox, endpoints=(endpoint,), requested_ports=(), ports=())
        number = self._store.shrink(changed, remains)
        self._state.sandboxes[identifier] = changed
        await self._clear(number, remains)
        if self._links.is_alive(changed):
            await self._call(lambda: self._links.set_gateways(changed))
        if moves:
            changed = await self._publisher.publish(changed)
            self._store.put(changed)
            self._state.sandboxes[identifier] = changed
        await self._announce(changed)

    async def rename(self, identifier: str, container_name: str) -> None:
        """Tell a sandbox's new name to rows and DNS."""
        await self.locks.run(identifier, lambda: self._rename(identifier, container_name))

    async def _rename(self, identifier: str, container_name: str) -> None:
        changed = dataclasses.replace(self.get(identifier), container_name=container_name)
        self._store.put(changed)
        self._state.sandboxes[identifier] = changed
        await self._announce(changed)

    # The holder was started anew

    async def tell_everything(self) -> None:
        """Hold all ports again and start DNS again, after the port holder was replaced."""
        for sandbox in list(self._state.sandboxes.values()):
            if sandbox.state == "ready":
                await self.tell(sandbox)

    async def tell(self, sandbox: Sandbox) -> None:
        """Tell the holder one sandbox; a port somebody took meanwhile is logged."""
        try:
            found = port_endpoint(sandbox, self._state)
            if sandbox.ports and found is not None:
                await self._holder.hold(sandbox.id, hold_again(sandbox, found[0]))
            await self._announce(sandbox)
        except EngineError as error:
            get_logger("sandbox").error("cannot adopt", sandbox=sandbox.id, error=error.message)


def _ports_on(sandbox: Sandbox, state: State) -> str:
    found = port_endpoint(sandbox, state)
    return found[0].id if found is not None else ""


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


def _check_connect(sandbox: Sandbox, network: Network, state: State) -> None:
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
