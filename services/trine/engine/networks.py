"""Connect containers to networks and disconnect them; removal of networks."""

from __future__ import annotations

import asyncio
import os

from trine.engine.core import Core
from trine.engine.hosts import own_names
from trine.engine.prepare import tell_network
from trine.engine.registry import Entry
from trine.engine.states import Status, has_process
from trine.engine.validate import check_link_local, container_of
from trine.kit.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
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
        wish = network_pb2.EndpointRequest()
        wish.CopyFrom(request.endpoint)
        wish.network = network.name
        _check_wish(wish, network)
        rest = [e for e in entry.container.networks if not _is(e.network, network)]
        if has_process(entry.status):
            if len(rest) < len(entry.container.networks):
                raise AlreadyExistsError(
                    f"endpoint with name {entry.name} already exists in network {network.name}",
                    reason="ALREADY_CONNECTED",
                )
            leaf = core.leaves.network
            answer = await leaf(
                leaf.stub.CreateEndpoint,
                network_pb2.CreateEndpointRequest(sandbox_id=entry.id, endpoint=wish),
            )
            entry.container.sandbox.CopyFrom(answer.sandbox)
            await asyncio.to_thread(_add_host_line, entry, answer.endpoint)
            if answer.resolv_conf:
                await asyncio.to_thread(
                    _replace_resolv_conf, entry, answer.old_resolv_conf, answer.resolv_conf
                )
            tell_network(core, "connect", answer.endpoint, entry.id)
        # One that is not running may be told again: what was said last counts, as in Docker.
        del entry.container.networks[:]
        entry.container.networks.extend([*rest, wish])
        core.save(entry)
        await core.store.flush()
    return container_pb2.ConnectContainerResponse()


async def disconnect_container(
    core: Core, request: container_pb2.DisconnectContainerRequest
) -> container_pb2.DisconnectContainerResponse:
    """Take a container off a network; raises NotFoundError, ConflictError when it is not on it."""
    try:
        entry = core.registry.find(request.container)
    except NotFoundError as error:
        if not request.force:
            raise
        raise NotFoundError(f"endpoint {request.container} not found", reason=error.reason) from error
    try:
        network = await _network(core, request.network)
    except NotFoundError:
        # A container that does not run must be freed of a network that is gone, or it never starts again.
        if not request.force and has_process(entry.status):
            raise
        network = network_pb2.Network(id=request.network, name=request.network)
    async with entry.lock:
        if entry.config.network_mode == "host" or network.name == "host":
            raise PermissionDeniedError(
                "container cannot be disconnected from host network or connected to host network"
            )
        keep = [e for e in entry.container.networks if not _is(e.network, network)]
        if len(keep) == len(entry.container.networks):
            the = "" if has_process(entry.status) and network.driver else "the "
            raise ConflictError(
                f"container {entry.id} is not connected to {the}network {network.name}",
                reason="NOT_CONNECTED",
            )
        if has_process(entry.status):
            leaf = core.leaves.network
            answer = await leaf(
                leaf.stub.DeleteEndpoint,
                network_pb2.DeleteEndpointRequest(
                    sandbox_id=entry.id, network=network.id, force=request.force
                ),
            )
            gone = [
                e for e in entry.container.sandbox.endpoints if network.id in (e.network_id, e.network_name)
            ]
            entry.container.sandbox.CopyFrom(answer.sandbox)
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
    if network.name == "host":
        raise PermissionDeniedError(
            "container cannot be disconnected from host network or connected to host network"
        )
    if mode == "host" or container_of(mode):
        raise PermissionDeniedError(
            "container sharing network namespace with another container or host cannot be connected to any "
            "other network"
        )
    if network.name == "none" or any(endpoint.network == "none" for endpoint in entry.container.networks):
        raise PermissionDeniedError(
            "container cannot be connected to multiple networks with one of the networks in private (none) "
            "mode"
        )


def _check_wish(wish: network_pb2.EndpointRequest, network: network_pb2.Network) -> None:
    """Refuse what only user-made networks give, before the container's next start would."""
    check_link_local(wish.link_local_addresses)
    if network.builtin and (wish.ipv4_address or wish.ipv6_address):
        raise InvalidArgumentError("user specified IP address is supported on user defined networks only")
    if network.builtin and wish.aliases:
        raise InvalidArgumentError(
            "network-scoped alias is supported only for containers in user defined networks"
        )


def _replace_resolv_conf(entry: Entry, old: str, new: str) -> None:
    """Write the container's resolv.conf anew, in place (it is bind-mounted), unless somebody changed it."""
    path = entry.container.resolv_conf_path
    if not path or not os.path.exists(path):
        return
    with open(path, "r+") as file:
        if file.read() != old:
            return
        file.seek(0)
        file.write(new)
        file.truncate()


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
