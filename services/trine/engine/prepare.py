"""Prepare a container: network sandbox and runtime container up, its init waiting. And unprepare.

Idempotent; the caller holds the entry's lock. What is prepared and not started in time is taken
down again (docs/seams.md).
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from trine.engine.core import Core
from trine.engine.facts import network_facts
from trine.engine.hosts import compose_hosts, hostname_file
from trine.engine.links import linked, tell_linked
from trine.engine.mounts import is_bind_volume, runtime_mounts
from trine.engine.propagation import parse_mounts, propagation_problem
from trine.engine.registry import Entry, Prepared
from trine.engine.runtime_spec import runtime_request, volume_map
from trine.engine.states import Status, has_process
from trine.engine.undo import Undo
from trine.engine.validate import container_of
from trine.kit.errors import ConflictError, EngineError, InternalError, InvalidArgumentError
from trine.v1 import container_pb2, network_pb2, runtime_pb2


@dataclass
class _Network:
    """Where a container's network is, and what its files say."""

    path: str  # for setns, "host", or "": the runtime makes a fresh one
    sandbox: network_pb2.Sandbox
    managed: dict[str, bytes]
    mounts: list[runtime_pb2.MountSpec] = field(default_factory=list)
    link_variables: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def prepare(core: Core, entry: Entry) -> Prepared:
    """Make sandbox and runtime container unless they stand already; return what stands.

    Raises EngineError with everything taken back.
    """
    if entry.prepared is not None:
        return entry.prepared
    async with Undo("prepare") as undo:
        _check_shares(core, entry)
        _check_device_requests(entry)
        if entry.container.mounts:
            await asyncio.to_thread(_check_sources, entry)
            await asyncio.to_thread(_check_propagation, entry)
            await asyncio.to_thread(_check_volumes, core, entry)
        undo.push("sandbox", lambda: delete_sandbox(core, entry.id))
        network = await _network(core, entry)
        mounts = runtime_mounts(entry, volume_map(core.volumes.all())) + network.mounts
        request = runtime_request(
            entry,
            network.path,
            mounts,
            network.managed,
            network.link_variables,
            core.settings.default_shm_size_bytes,
        )
        undo.push("runtime container", lambda: delete_runtime(core, entry.id, keep_data=True))
        leaf = core.leaves.runtime
        answer = await leaf(leaf.stub.CreateRuntimeContainer, request)
        undo.keep()
    entry.container.sandbox.CopyFrom(network.sandbox)
    # Who said a network's id is shown its name from now on, and once.
    for wish, endpoint in zip(entry.container.networks, network.sandbox.endpoints, strict=False):
        wish.network = endpoint.network_name
    entry.prepared = Prepared(network.sandbox, answer.process_id, [*network.warnings, *answer.warnings])
    for endpoint in network.sandbox.endpoints:
        tell_network(core, "connect", endpoint, entry.id)
    tell_volumes(core, entry, "mount")
    await tell_linked(core, entry)
    entry.prepared.timer = asyncio.get_running_loop().call_later(
        core.settings.prepare_timeout_seconds,
        lambda: core.spawn(_expire(core, entry), f"unprepare {entry.id[:12]}"),
    )
    return entry.prepared


async def _expire(core: Core, entry: Entry) -> None:
    async with entry.lock:
        if entry.prepared is not None and not has_process(entry.status):
            core.log.info("prepared but not started in time", container=entry.id[:12])
            await unprepare(core, entry)


async def unprepare(core: Core, entry: Entry) -> None:
    """Take down what was prepared; the caller holds the lock. What a leaf misses, reconcile removes."""
    if entry.prepared is None:
        return
    settled(entry)
    await teardown(core, entry, keep_data=True)


def settled(entry: Entry) -> None:
    """Forget that it is prepared: it was started, or taken down."""
    if entry.prepared is not None and entry.prepared.timer is not None:
        entry.prepared.timer.cancel()
    entry.prepared = None


async def teardown(core: Core, entry: Entry, keep_data: bool) -> None:
    """Delete runtime container and sandbox, both at once; a leaf that is away is left to reconcile."""
    endpoints = list(entry.container.sandbox.endpoints)
    entry.container.ClearField("sandbox")
    results = await asyncio.gather(
        delete_runtime(core, entry.id, keep_data),
        delete_sandbox(core, entry.id),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            core.log.warning("left for reconcile", container=entry.id[:12], error=str(result))
    for endpoint in endpoints:
        tell_network(core, "disconnect", endpoint, entry.id)
    if endpoints or container_of(entry.config.network_mode):
        tell_volumes(core, entry, "unmount")


async def delete_runtime(core: Core, container_id: str, keep_data: bool) -> None:
    """Delete a runtime container, killing what is left of it."""
    leaf = core.leaves.runtime
    await leaf(
        leaf.stub.DeleteRuntimeContainer,
        runtime_pb2.DeleteRuntimeContainerRequest(id=container_id, force=True, keep_data=keep_data),
    )


async def delete_sandbox(core: Core, container_id: str) -> None:
    """Delete a sandbox with its endpoints."""
    leaf = core.leaves.network
    await leaf(leaf.stub.DeleteSandbox, network_pb2.DeleteSandboxRequest(id=container_id))


def tell_network(core: Core, action: str, endpoint: network_pb2.Endpoint, container_id: str) -> None:
    """Tell that a container was connected to or disconnected from a network."""
    kind = {"host": "host", "none": "null"}.get(endpoint.network_name, "bridge")
    core.events.publish(
        "network",
        action,
        endpoint.network_id,
        {"container": container_id, "name": endpoint.network_name, "type": kind},
    )


def tell_volumes(core: Core, entry: Entry, action: str) -> None:
    """Tell that a container began or ceased to use its volumes."""
    for point in entry.container.mounts:
        if point.type != "volume":
            continue
        attributes = {"container": entry.id, "driver": "local"}
        if action == "mount":
            attributes.update(
                {
                    "destination": point.destination,
                    "propagation": point.propagation,
                    "read/write": "true" if point.writable else "false",
                }
            )
        core.events.publish("volume", action, point.name, attributes)


def _check_shares(core: Core, entry: Entry) -> None:
    """Refuse when a container whose namespace is to be joined does not run."""
    for what, container_id in entry.private.shares.items():
        other = core.registry.get(container_id)
        if other is None:
            raise InternalError(f"No such container: {container_id}", reason="NO_SUCH_CONTAINER")
        if other.status is Status.RESTARTING:
            raise ConflictError(
                f"Container {container_id} is restarting, wait until the container is running"
            )
        if not has_process(other.status):
            down = f"container {container_id} is not running"
            texts = {
                "network": f"cannot join network of a non running container: {container_id}",
                "pid": down,
                "ipc": f"can't join IPC of container {container_id}: {down}",
            }
            raise ConflictError(texts[what], reason="NOT_RUNNING")
        if what == "ipc" and other.config.ipc_mode in ("", "none", "private"):
            raise InvalidArgumentError(
                f"can't join IPC of container {container_id}: non-shareable IPC "
                "(hint: use IpcMode:shareable for the donor container)"
            )


def _check_device_requests(entry: Entry) -> None:
    """Refuse --gpus: no device driver is registered here."""
    for request in entry.config.device_requests:
        wanted = " ".join(request.capabilities)
        raise InvalidArgumentError(
            f'could not select device driver "{request.driver}" with capabilities: [[{wanted}]]',
            reason="NO_SUCH_DRIVER",
        )


def _check_sources(entry: Entry) -> None:
    """Make missing bind sources of --volume (as Docker, at start) and refuse missing ones of --mount."""
    by_target = {os.path.normpath(mount.target): mount for mount in entry.config.mounts}
    for point in entry.container.mounts:
        if point.type != "bind" or os.path.lexists(point.source):
            continue
        wish = by_target.get(point.destination)
        if wish is not None and not wish.from_volume_flag:
            raise InvalidArgumentError(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}',
                reason="INVALID_MOUNT",
            )
        try:
            os.makedirs(point.source, 0o755, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InvalidArgumentError(
                f"error while creating mount source path '{point.source}': mkdir {error.filename}: {reason}",
                reason="INVALID_MOUNT",
            ) from error


def _check_propagation(entry: Entry) -> None:
    """Refuse a shared or slave bind of what the host mounts privately: nothing would be propagated."""
    wanted = [p for p in entry.container.mounts if p.propagation.removeprefix("r") in ("shared", "slave")]
    if not wanted:
        return
    table = parse_mounts(Path("/proc/self/mountinfo").read_text())
    for point in wanted:
        problem = propagation_problem(table, os.path.realpath(point.source), point.source, point.propagation)
        if problem:
            raise InvalidArgumentError(problem, reason="INVALID_MOUNT")


def _check_volumes(core: Core, entry: Entry) -> None:
    """Refuse when the directory or device a volume stands for is not there."""
    for point in entry.container.mounts:
        volume = core.volumes.get(point.name) if point.type == "volume" else None
        if volume is None or volume.options.get("type", "") in ("", "tmpfs"):
            continue
        device = volume.options["device"]
        if device.startswith("/") and not os.path.lexists(device):
            flags = ", flags: 0x1000" if is_bind_volume(volume.options) else ""
            raise InvalidArgumentError(
                f"error while mounting volume '{volume.mountpoint}': failed to mount local volume: mount "
                f"{device}:{volume.mountpoint}{flags}: no such file or directory",
                reason="INVALID_MOUNT",
            )


async def _network(core: Core, entry: Entry) -> _Network:
    """Return the network of a container by its mode."""
    mode = entry.config.network_mode
    if container_of(mode):
        return await _shared_network(core, entry, entry.private.shares["network"])
    return await _own_network(core, entry)


async def _shared_network(core: Core, entry: Entry, other_id: str) -> _Network:
    """Join another container's namespace; its hosts, hostname and resolv.conf are mounted, not copied."""
    other = core.registry.get(other_id)
    assert other is not None  # _check_shares
    entry.config.hostname = other.config.hostname
    entry.config.domainname = other.config.domainname
    if other.config.network_mode == "host":
        path = "host"
    elif container_of(other.config.network_mode):
        return await _shared_network(core, entry, other.private.shares["network"])
    else:
        path = other.container.sandbox.netns_path
    taken = {os.path.normpath(mount.target) for mount in entry.config.mounts}
    sources = {
        "/etc/hosts": other.container.hosts_path,
        "/etc/hostname": other.container.hostname_path,
        "/etc/resolv.conf": other.container.resolv_conf_path,
    }
    mounts = [
        runtime_pb2.MountSpec(kind=runtime_pb2.MOUNT_KIND_BIND, source=source, target=target)
        for target, source in sources.items()
        if source and target not in taken
    ]
    return _Network(path, network_pb2.Sandbox(), {}, mounts)


def _read_host_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


async def _own_network(core: Core, entry: Entry) -> _Network:
    """Make a sandbox with the endpoints of the record (host and none are networks too)."""
    config = entry.config
    leaf = core.leaves.network
    settings = core.settings
    request = network_pb2.CreateSandboxRequest(
        id=entry.id,
        container_name=entry.name,
        hostname=config.hostname,
        endpoints=entry.container.networks,
        ports=[] if config.network_mode in ("host", "none") else _ports(config),
        dns_servers=list(config.dns_servers) or settings.dns_servers,
        dns_search=list(config.dns_search) or settings.dns_search,
        dns_options=list(config.dns_options) or settings.dns_options,
        # On the host's network the runtime refuses them, as Docker's does.
        sysctls={
            key: value
            for key, value in config.sysctls.items()
            if key.startswith("net.") and config.network_mode != "host"
        },
    )
    try:
        answer = await leaf(leaf.stub.CreateSandbox, request)
    except EngineError as error:
        raise _explain(error, entry) from error
    links = linked(core, entry)
    host = config.network_mode == "host"
    hosts = await asyncio.to_thread(_read_host_file, "/etc/hosts") if host else b""
    if not hosts or config.extra_hosts:
        # On the host's network the host's own file serves, unless the user adds to it (as Docker).
        gateway = await _gateway(core, config)
        hosts = compose_hosts(config, answer.sandbox.endpoints, links.hosts, gateway, own_name=not host)
    managed = {
        "/etc/hosts": hosts,
        "/etc/hostname": hostname_file(config),
        "/etc/resolv.conf": answer.resolv_conf.encode(),
    }
    return _Network(
        "host" if host else answer.sandbox.netns_path,
        answer.sandbox,
        managed,
        link_variables=links.variables,
        warnings=list(answer.warnings),
    )


def _explain(error: EngineError, entry: Entry) -> EngineError:
    """Put Docker's words before a port that is taken."""
    if error.reason == "PORT_ALLOCATED" and not error.message.startswith("driver failed"):
        error.message = (
            f"driver failed programming external connectivity on endpoint {entry.name} "
            f"({entry.id}): {error.message}"
        )
    return error


def _ports(config: container_pb2.ContainerConfig) -> list[network_pb2.PortMapping]:
    """Return published ports; --publish-all adds every exposed one that is not."""
    ports = list(config.ports)
    if config.publish_all:
        have = {f"{port.container_port}/{port.protocol or 'tcp'}" for port in ports}
        for text in config.exposed_ports:
            number, _, protocol = text.partition("/")
            first, _, last = number.partition("-")
            for value in range(int(first), int(last or first) + 1):
                if f"{value}/{protocol or 'tcp'}" not in have:
                    ports.append(network_pb2.PortMapping(container_port=value, protocol=protocol or "tcp"))
    return ports


async def _gateway(core: Core, config: container_pb2.ContainerConfig) -> str:
    """Return what host-gateway means: the setting, or the default bridge's address."""
    if not any(text.endswith(":host-gateway") for text in config.extra_hosts):
        return ""
    if core.settings.host_gateway:
        return core.settings.host_gateway
    leaf = core.leaves.network
    answer = await leaf(leaf.stub.GetNetwork, network_pb2.GetNetworkRequest(name="bridge"))
    for pool in answer.network.pools:
        if pool.gateway and ":" not in pool.gateway:
            return pool.gateway
    facts = await network_facts(core)
    raise InvalidArgumentError(
        f"unable to derive the IP value for host-gateway from {facts.default_bridge or 'the default bridge'}"
    )
