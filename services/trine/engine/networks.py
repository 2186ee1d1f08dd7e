"""Connect containers to networks and disconnect them; removal of networks."""

from __future__ import annotations

import asyncio
import os

from trine.engine.core import Core
from trine.engine.hosts import own_names
from trine.engine.prepare import tell_network
from trine.engine.registry import Entry
from trine.engine.states import Status, has_process
from trine.engine.validate import container_of
from trine.kit.errors import AlreadyExistsError, ConflictError, NotFoundError, PermissionDeniedError
from trine.v1 import container_pb2, network_pb2


async def connect_container(
    core: Core, request: container_pb2.ConnectContainerRequest
) -> container_pb2.ConnectContainerResponse:
    """Put a container on one more network; a stopped one gets it at its next start.

    Raises NotFoundError (container, network), ConflictError, AlreadyExistsError (connected already).
    """
    entry = core.registry.find(request.container)
    network = await _network(core, request.endpoint.network)
    async with entry.lock:
        _check_mode(entry, network)
        if entry.removing or entry.status in (Status.REMOVING, Status.DEAD):
            raise ConflictError(
                f"Container {entry.id} is marked for removal and cannot be connected to a network"
            )
        if any(_is(endpoint.network, network) for endpoint in entry.container.networks):
            raise AlreadyExistsError(
                f"endpoint with name {entry.name} already exists in network {network.name}",
                reason="ALREADY_CONNECTED",
            )
        wish = network_pb2.EndpointRequest()
        wish.CopyFrom(request.endpoint)
        wish.network = network.name
        if has_process(entry.status):
            leaf = core.leaves.network
            answer = await leaf(
                leaf.stub.CreateEndpoint,
                network_pb2.CreateEndpointRequest(sandbox_id=entry.id, endpoint=wish),
            )
            entry.container.sandbox.endpoints.append(answer.endpoint)
            await asyncio.to_thread(_add_host_line, entry, answer.endpoint)
            tell_network(core, "connect", answer.endpoint, entry.id)
        entry.container.networks.append(wish)
        core.save(entry)
        await core.store.flush()
    return container_pb2.ConnectContainerResponse()


async def disconnect_container(
    core: Core, request: container_pb2.DisconnectContainerRequest
) -> container_pb2.DisconnectContainerResponse:
    """Take a container off a network; raises NotFoundError, ConflictError when it is not on it."""
    entry = core.registry.find(request.container)
    try:
        network = await _network(core, request.network)
    except NotFoundError:
        if not request.force:
            raise
        network = network_pb2.Network(id=request.network, name=request.network)
    async with entry.lock:
        if entry.config.network_mode == "host" or network.name == "host":
            raise PermissionDeniedError(
                "container cannot be disconnected from host network or connected to host network"
            )
        keep = [e for e in entry.container.networks if not _is(e.network, network)]
        if len(keep) == len(entry.container.networks):
            raise ConflictError(
                f"container {entry.id} is not connected to network {network.name}", reason="NOT_CONNECTED"
            )
        if has_process(entry.status):
            leaf = core.leaves.network
            await leaf(
                leaf.stub.DeleteEndpoint,
                network_pb2.DeleteEndpointRequest(
                    sandbox_id=entry.id, network=network.id or network.name, force=request.force
                ),
            )
            sandbox = entry.container.sandbox
            gone = [e for e in sandbox.endpoints if e.network_id == network.id]
            rest = [e for e in sandbox.endpoints if e.network_id != network.id]
            del sandbox.endpoints[:]
            sandbox.endpoints.extend(rest)
            for endpoint in gone:
                await asyncio.to_thread(_remove_host_line, entry, endpoint)
                tell_network(core, "disconnect", endpoint, entry.id)
        del entry.container.networks[:]
        entry.container.networks.extend(keep)
        core.save(entry)
        await core.store.flush()
    return container_pb2.DisconnectContainerResponse()


async def _network(core: Core, name: str) -> network_pb2.Network:
    leaf = core.leaves.network
    answer = await leaf(leaf.stub.GetNetwork, network_pb2.GetNetworkRequest(name=name))
    return answer.network


def _is(name: str, network: network_pb2.Network) -> bool:
    return name in (network.name, network.id) or (len(name) >= 12 and network.id.startswith(name))


def _check_mode(entry: Entry, network: network_pb2.Network) -> None:
    mode = entry.config.network_mode
    if mode == "host" or network.name == "host":
        raise PermissionDeniedError(
            "container cannot be disconnected from host network or connected to host network"
        )
    if container_of(mode):
        raise PermissionDeniedError(
            "container sharing network namespace with another container or host cannot be connected to any "
            "other network"
        )
    if "none" in (mode, network.name):
        raise PermissionDeniedError(
            "container cannot be connected to multiple networks with one of the networks in private (none) "
            "mode"
        )


def _add_host_line(entry: Entry, endpoint: network_pb2.Endpoint) -> None:
    """Add an address to the container's hosts file, in place: it is bind-mounted."""
    path = entry.container.hosts_path
    names = own_names(entry.config)
    lines = [f"{a}\t{names}\n" for a in (endpoint.ipv4_address, endpoint.ipv6_address) if a]
    if path and os.path.exists(path):
        with open(path, "a") as file:
            file.writelines(lines)


def _remove_host_line(entry: Entry, endpoint: network_pb2.Endpoint) -> None:
    path = entry.container.hosts_path
    if not path or not os.path.exists(path):
        return
    gone = {a for a in (endpoint.ipv4_address, endpoint.ipv6_address) if a}
    with open(path, "r+") as file:
        lines = [line for line in file if line.split("\t", 1)[0] not in gone]
        file.seek(0)
        file.writelines(lines)
        file.truncate()


def used_networks(core: Core) -> list[str]:
    """Return names and ids of networks any container refers to."""
    found: set[str] = set()
    for entry in core.registry:
        found.update(endpoint.network for endpoint in entry.container.networks)
        found.update(endpoint.network_id for endpoint in entry.container.sandbox.endpoints)
    return sorted(found)
