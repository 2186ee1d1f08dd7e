"""Create a container: check, snapshot, volumes, record. Nothing of network or runtime yet."""

from __future__ import annotations

import contextlib
import platform
import secrets
import time
from collections.abc import Iterator
from functools import partial

from trine.engine.core import Core
from trine.engine.facts import check_resources
from trine.engine.merge import SHORT_ID_LENGTH, argv, merge
from trine.engine.mounts import MountPlan, plan_mounts
from trine.engine.names import check_name, generate_name
from trine.engine.registry import Entry, Private
from trine.engine.undo import Undo
from trine.engine.usage_of_volumes import discard_volume
from trine.engine.validate import check_effective, check_request, container_of, full_capability
from trine.kit.errors import EngineError, InvalidArgumentError, NotFoundError
from trine.v1 import container_pb2, image_pb2, network_pb2


async def create_container(
    core: Core, request: container_pb2.CreateContainerRequest
) -> container_pb2.CreateContainerResponse:
    """Create a container and return its id.

    A failure at any step, or a client that goes away, leaves nothing: the record is written last,
    and what the leaves hold for an id without a record is removed by reconcile.
    Raises InvalidArgumentError, AlreadyExistsError (name), NotFoundError (image, container).
    """
    check_request(request.config)
    container_id = secrets.token_hex(32)
    async with Undo("create") as undo:
        with _in_flight(core, container_id):
            name = _reserve_name(core, request.name, container_id, undo)
            private = Private()
            config = _resolve_references(core, request.config, private)
            warnings = await _check_host(core, config)
            snapshot, image = await _snapshot(core, container_id, config.image, undo)
            _check_platform(config.platform, request.config.image, image)
            effective = merge(config, image.config)
            finish_config(effective, container_id, core.settings.log_driver)
            check_effective(effective)
            plan = plan_mounts(effective, core.registry)
            held = [wish.name for wish in plan.volumes if wish.name]
            held += [point.name for point in plan.points.values() if point.name]
            with core.volumes.hold(held):
                await _make_volumes(core, plan, undo)
                container = new_record(
                    container_id,
                    name,
                    effective,
                    request.config,
                    image.id or snapshot.image_id,
                    snapshot.mount,
                    plan,
                )
                entry = Entry(container, private)
                core.save(entry)
                undo.push("record", lambda: _forget(core, container_id))
                await core.store.flush()
                core.registry.add(entry)
            undo.keep()
    core.events.container(entry.container, "create")
    return container_pb2.CreateContainerResponse(id=container_id, warnings=warnings)


@contextlib.contextmanager
def _in_flight(core: Core, container_id: str) -> Iterator[None]:
    core.registry.in_flight.add(container_id)
    try:
        yield
    finally:
        core.registry.in_flight.discard(container_id)


def _reserve_name(core: Core, wanted: str, container_id: str, undo: Undo) -> str:
    name = check_name(wanted) if wanted else generate_name(core.registry.is_taken)
    core.registry.reserve(name, container_id)

    async def release() -> None:
        core.registry.release(name, container_id)

    undo.push("name", release)
    return name


async def _forget(core: Core, container_id: str) -> None:
    core.store.delete("container", container_id)
    await core.store.flush()


def _resolve_references(
    core: Core, requested: container_pb2.ContainerConfig, private: Private
) -> container_pb2.ContainerConfig:
    """Return the configuration with names of other containers made ids; a rename must not break it."""
    config = container_pb2.ContainerConfig()
    config.CopyFrom(requested)
    for field, what in (("network_mode", "network"), ("pid_mode", "pid"), ("ipc_mode", "ipc")):
        reference = container_of(getattr(config, field))
        if reference:
            other = core.registry.find(reference)
            private.shares[what] = other.id
            setattr(config, field, f"container:{other.id}")
    if not config.network_mode:
        config.network_mode = "default"
    security = config.security
    for names in (security.capabilities_add, security.capabilities_drop):
        names[:] = [full_capability(name) for name in names]
    shares_host = config.pid_mode == "host" or config.ipc_mode == "host" or security.privileged
    if shares_host and not any(text.partition("=")[0] == "label" for text in config.security_options):
        config.security_options.append("label=disable")  # as Docker shows it, with or without SELinux
    if config.network_mode in ("default", "bridge"):
        named = []
        for text in config.links:
            reference, _, alias = text.partition(":")
            if not reference:
                raise InvalidArgumentError(f"bad format for links: {text}")
            try:
                other = core.registry.find(reference)
            except EngineError as error:
                raise InvalidArgumentError(
                    f"could not get container for {reference}: {error.message}", reason=error.reason
                ) from error
            alias = alias.rsplit("/", 1)[-1] or other.name
            private.links[alias] = other.id
            named.append(f"{other.name}:{alias}")
        config.links[:] = named
    return config


async def _check_host(core: Core, config: container_pb2.ContainerConfig) -> list[str]:
    """Check limits against what the host has; return warnings for what it cannot do."""
    warnings: list[str] = []
    if config.network_mode == "host" and (config.ports or config.publish_all):
        warnings.append("Published ports are discarded when using host network mode")
    return warnings + await check_resources(core, config.resources)


async def _snapshot(
    core: Core, container_id: str, image: str, undo: Undo
) -> tuple[image_pb2.Snapshot, image_pb2.Image]:
    leaf = core.leaves.image
    undo.push(
        "snapshot",
        lambda: leaf(leaf.stub.DeleteSnapshot, image_pb2.DeleteSnapshotRequest(key=container_id)),
    )
    answer = await leaf(
        leaf.stub.PrepareSnapshot, image_pb2.PrepareSnapshotRequest(key=container_id, image=image)
    )
    return answer.snapshot, answer.image


def _check_platform(wanted: str, reference: str, image: image_pb2.Image) -> None:
    """Refuse an image that is not for the platform asked for; its absence has the client pull another."""
    if not wanted:
        return
    parts = wanted.split("/")[: 3 if image.variant else 2]  # an image without a variant suits all
    actual = [image.os or "linux", image.architecture, image.variant]
    if parts != actual[: len(parts)]:
        have = "/".join(filter(None, actual))
        raise NotFoundError(
            f"image with reference {reference} was found but does not match the specified platform: "
            f"wanted {wanted}, actual: {have}",
            reason="NO_SUCH_IMAGE",
        )


def finish_config(config: container_pb2.ContainerConfig, container_id: str, log_driver: str) -> None:
    """Fill what neither image nor user said."""
    if config.network_mode == "host" and not config.hostname:
        config.hostname = platform.node()
    elif not container_of(config.network_mode) and not config.hostname:
        config.hostname = container_id[:SHORT_ID_LENGTH]
    for mapping in config.ports:
        mapping.protocol = mapping.protocol or "tcp"
        port = f"{mapping.container_port}/{mapping.protocol}"
        if port not in config.exposed_ports:
            config.exposed_ports.append(port)
    if config.resources.memory_bytes > 0 and config.resources.memory_swap_bytes == 0:
        config.resources.memory_swap_bytes = 2 * config.resources.memory_bytes
    config.restart_policy.name = config.restart_policy.name or "no"
    config.log.driver = config.log.driver or log_driver


async def _make_volumes(core: Core, plan: MountPlan, undo: Undo) -> None:
    """Create the volumes of a plan and fill in their names and directories."""
    for wish in plan.volumes:
        volume, made = await core.volumes.create(wish.name, wish.driver, wish.options, wish.labels)
        if made:
            undo.push(f"volume {volume.name}", partial(discard_volume, core, volume.name))
            core.events.publish("volume", "create", volume.name, {"driver": "local"})
        plan.points[wish.target].name = volume.name
        plan.points[wish.target].source = volume.mountpoint


def _networks(config: container_pb2.ContainerConfig) -> list[network_pb2.EndpointRequest]:
    """Return the networks a container is on from the beginning."""
    mode = "bridge" if config.network_mode == "default" else config.network_mode
    if container_of(mode):
        return []
    result: list[network_pb2.EndpointRequest] = []
    for endpoint in config.endpoints:
        copy = network_pb2.EndpointRequest()
        copy.CopyFrom(endpoint)
        copy.network = mode if copy.network in ("", "default") else copy.network
        result.append(copy)
    if not result:
        result.append(network_pb2.EndpointRequest(network=mode))
    if config.mac_address and not result[0].mac_address:
        result[0].mac_address = config.mac_address.replace("-", ":").lower()
    if mode not in ("bridge", "host", "none") and config.links and not result[0].links:
        result[0].links[:] = config.links
    return result


def new_record(
    container_id: str,
    name: str,
    config: container_pb2.ContainerConfig,
    requested: container_pb2.ContainerConfig,
    image_id: str,
    root: image_pb2.OverlayMount,
    plan: MountPlan,
) -> container_pb2.Container:
    """Return the record of a container that was just created, with its effective configuration."""
    line = argv(config)
    container = container_pb2.Container(
        id=container_id,
        name=name,
        created_at_unix_nanos=time.time_ns(),
        image_id=image_id,
        config=config,
        path=line[0],
        args=line[1:],
        mounts=list(plan.points.values()),
        root=root,
        requested=requested,
        platform="linux",
        networks=_networks(config),
    )
    container.state.status = container_pb2.CONTAINER_STATUS_CREATED
    return container
