"""Use cases about sandboxes: a container's namespace with its links, addresses, ports and names."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import TypeVar

from trine.kit.errors import EngineError, InvalidArgumentError, NotFoundError
from trine.kit.logs import get_logger
from trine.network import forwarding, plan, resolv
from trine.network.links import Links
from trine.network.model import Endpoint, Sandbox
from trine.network.plan import EndpointWish
from trine.network.ports import PortHolder, dns_request
from trine.network.publishing import Publisher, port_endpoint
from trine.network.sandbox_plan import SandboxRequest, check_connect, plan_sandbox, with_endpoint
from trine.network.state import Call, Config, State
from trine.network.store import SandboxStore

T = TypeVar("T")
NO_SUCH_SANDBOX = "NO_SUCH_SANDBOX"


class Locks:
    """One lock a sandbox id, gone when nobody holds it."""

    def __init__(self) -> None:
        """Start with none."""
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` alone for this key; it is finished even when the caller is cancelled."""
        return await asyncio.shield(asyncio.ensure_future(self._run(key, work)))

    async def _run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
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
        return await self.locks.run(request.id, lambda: self._create(request))

    async def _create(self, request: SandboxRequest) -> Sandbox:
        existing = self._state.sandboxes.get(request.id)
        if existing is not None:
            return existing
        # A container that restarts gets its old address: wait until its old link is gone.
        for clearing in list(self._clearing.get(request.id, ())):
            await asyncio.wait([clearing])
        planned = plan_sandbox(request, self._state, self._links.exec_root)
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
        task = asyncio.get_running_loop().create_task(self.clear(number, remains))
        tasks = self._clearing.setdefault(remains.id, set())
        tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not tasks:
                self._clearing.pop(remains.id, None)

        task.add_done_callback(done)

    async def clear(self, number: int, remains: Sandbox) -> None:
        """Delete links; only then their addresses are free again."""
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

    async def connect(self, identifier: str, wish: EndpointWish) -> tuple[Sandbox, Endpoint, str]:
        """Connect a sandbox to one more network; return it, the endpoint, and its resolv.conf before."""
        return await self.locks.run(identifier, lambda: self._connect(identifier, wish))

    async def _connect(self, identifier: str, wish: EndpointWish) -> tuple[Sandbox, Endpoint, str]:
        sandbox = self.get(identifier)
        network = self._state.find_network(wish.network)
        check_connect(sandbox, network, self._state)
        changed = with_endpoint(sandbox, wish, network, self._state)
        endpoint = changed.endpoints[-1]
        changed = dataclasses.replace(changed, dns=sandbox.dns or not network.builtin)
        moves = _ports_on(sandbox, self._state) != _ports_on(changed, self._state)
        networks = dict(self._state.networks)
        try:
            starts_dns = changed.dns and not sandbox.dns
            plugged = changed
            port = await self._call(lambda: self._links.add_endpoint(plugged, endpoint, networks, starts_dns))
            changed = dataclasses.replace(changed, dns_port=port)
            if moves:
                changed = dataclasses.replace(changed, ports=())
                changed = await self._publisher.move(sandbox, changed)
            await self._announce(changed)
            self._store.put(changed)
        except BaseException:
            await self._unplug(sandbox, changed, endpoint, moves)
            raise
        self._state.sandboxes[identifier] = changed
        return changed, endpoint, self.resolv_conf(sandbox)

    async def _unplug(self, sandbox: Sandbox, changed: Sandbox, endpoint: Endpoint, moves: bool) -> None:
        """Make a sandbox again what it was before an endpoint was plugged in, or half plugged in."""
        await self._call(lambda: self._links.delete_link(endpoint.host_interface))
        self._state.release(endpoint)
        try:
            await self._call(lambda: self._links.set_gateways(sandbox))
            if moves:
                await self._publisher.unredirect(changed)
                await self._publisher.publish_again(sandbox)
            await self._announce(sandbox)
        except (EngineError, OSError) as error:
            get_logger("sandbox").error("cannot take back", sandbox=sandbox.id, error=str(error))

    async def disconnect(self, identifier: str, name: str, force: bool) -> Sandbox:
        """Disconnect a sandbox from a network; return it."""
        return await self.locks.run(identifier, lambda: self._disconnect(identifier, name, force))

    async def _disconnect(self, identifier: str, name: str, force: bool) -> Sandbox:
        sandbox = self.get(identifier)
        try:
            network = self._state.find_network(name)
        except NotFoundError:
            if force:
                return sandbox
            raise
        if network.driver == "host":
            raise InvalidArgumentError(
                "container cannot be disconnected from host network or connected to host network"
            )
        endpoint = next((e for e in sandbox.endpoints if e.network_id == network.id), None)
        if endpoint is None:
            if force:
                return sandbox
            raise NotFoundError(
                f"container {identifier} is not connected to network {network.name}", reason="NOT_CONNECTED"
            )
        rest = tuple(e for e in sandbox.endpoints if e is not endpoint)
        changed = dataclasses.replace(sandbox, endpoints=rest)
        moves = _ports_on(sandbox, self._state) == endpoint.id
        if moves:
            await self._publisher.unredirect(sandbox)
            changed = dataclasses.replace(changed, ports=())
        remains = dataclasses.replace(sandbox, endpoints=(endpoint,), requested_ports=(), ports=())
        number = self._store.shrink(changed, remains)
        self._state.sandboxes[identifier] = changed
        await self.clear(number, remains)
        await self.settle(changed)
        await self._announce(self._state.sandboxes[identifier])
        return self._state.sandboxes[identifier]

    async def settle(self, sandbox: Sandbox) -> None:
        """Give a sandbox the default routes and ports its endpoints call for, after one was taken away."""
        if self._links.is_alive(sandbox):
            await self._call(lambda: self._links.set_gateways(sandbox))
        if sandbox.requested_ports and not sandbox.ports:
            changed = await self._publisher.publish(sandbox)
            self._store.put(changed)
            self._state.sandboxes[sandbox.id] = changed

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
            await self._publisher.hold_again(sandbox)
            await self._announce(sandbox)
        except EngineError as error:
            get_logger("sandbox").error("cannot adopt", sandbox=sandbox.id, error=error.message)


def _ports_on(sandbox: Sandbox, state: State) -> str:
    found = port_endpoint(sandbox, state)
    return found[0].id if found is not None else ""
