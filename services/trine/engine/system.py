"""Version, information about host and engine, disk usage."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import urllib.parse

from trine.engine.core import Core
from trine.engine.facts import network_facts, runtime_facts
from trine.engine.listing import summary
from trine.engine.states import Status
from trine.engine.usage_of_volumes import users
from trine.kit import build_stamp
from trine.kit.errors import EngineError
from trine.kit.version import VERSION
from trine.v1 import image_pb2, system_pb2, volume_pb2

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_FILE_SYSTEMS = {"ext4": "extfs", "ext3": "extfs", "ext2": "extfs"}


async def get_version(core: Core) -> system_pb2.GetVersionResponse:
    """Return versions of the engine and its services."""
    facts = await runtime_facts(core)
    machine = platform.machine()
    response = system_pb2.GetVersionResponse(
        version=VERSION,
        api_version="v1",
        minimum_api_version="v1",
        python_version=platform.python_version(),
        git_commit=build_stamp.COMMIT,
        build_time=build_stamp.TIME,
        os="linux",
        architecture=_ARCHITECTURES.get(machine, machine),
        kernel_version=facts.kernel_version or platform.release(),
    )
    for service in core.services_info():
        component = system_pb2.ComponentVersion(name=f"trine-{service.name}", version=VERSION)
        component.details["Address"] = service.address
        response.components.append(component)
    return response


async def get_info(core: Core) -> system_pb2.GetInfoResponse:
    """Return what host and engine are; a service that does not answer leaves its part empty."""
    settings = core.settings
    runtime, network, images = await asyncio.gather(
        runtime_facts(core), network_facts(core), _count_images(core)
    )
    entries = list(core.registry)
    running = sum(e.status in (Status.RUNNING, Status.RESTARTING) for e in entries)
    paused = sum(e.status is Status.PAUSED for e in entries)
    response = system_pb2.GetInfoResponse(
        id=core.engine_id,
        name=platform.node(),
        containers=len(entries),
        containers_running=running,
        containers_paused=paused,
        containers_stopped=len(entries) - running - paused,
        images=images,
        server_version=VERSION,
        storage_driver="overlay2",
        backing_file_system=await asyncio.to_thread(file_system, str(settings.data_root)),
        data_root=str(settings.data_root),
        exec_root=str(settings.exec_root),
        logging_driver=settings.log_driver,
        runtime=runtime,
        network=network,
        registry_mirrors=settings.registry_mirrors,
        insecure_registries=settings.insecure_registries,
        services=core.services_info(),
        labels=settings.labels,
        debug=settings.debug,
        http_proxy=without_password(os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy") or ""),
        https_proxy=without_password(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""),
        no_proxy=os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "",
        default_address_pools=settings.default_address_pools,
        index_server_address="https://index.docker.io/v1/",
    )
    response.warnings.extend([*runtime.warnings, *network.warnings])
    for service in response.services:
        if service.state != system_pb2.SERVICE_STATE_SERVING:
            response.warnings.append(f"WARNING: the {service.name} service does not answer")
    return response


async def _count_images(core: Core) -> int:
    leaf = core.leaves.image
    try:
        answer = await leaf(leaf.stub.ListImages, image_pb2.ListImagesRequest(), timeout_seconds=10)
    except EngineError:
        return 0
    return len(answer.images)


def without_password(url: str) -> str:
    """Return a proxy URL with user and password hidden, as `docker info` shows it."""
    parts = urllib.parse.urlsplit(url)
    if not parts.username and not parts.password:
        return url
    host = parts.hostname or ""
    host += f":{parts.port}" if parts.port else ""
    return urllib.parse.urlunsplit(parts._replace(netloc=f"xxxxx:xxxxx@{host}"))


def file_system(path: str) -> str:
    """Return Docker's name for the file system a path is on (proc(5), mountinfo)."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields = line.split()
            point = fields[4]
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, fields[fields.index("-") + 1]
    return _FILE_SYSTEMS.get(kind, kind)


async def get_disk_usage(core: Core) -> system_pb2.GetDiskUsageResponse:
    """Return what images, containers and volumes take; raises EngineError when the image service is away."""
    leaf = core.leaves.image
    usage, volumes = await asyncio.gather(
        leaf(leaf.stub.GetImageDiskUsage, image_pb2.GetImageDiskUsageRequest(), timeout_seconds=0),
        _volumes(core),
    )
    written = {snapshot.key: snapshot.size_bytes for snapshot in usage.snapshots}
    image_sizes = {image.id: image.size_bytes for image in usage.images}
    response = system_pb2.GetDiskUsageResponse(images=usage, volumes=volumes)
    counts: dict[str, int] = {}
    for entry in core.registry.all():
        item = summary(entry)
        item.size_rw_bytes = written.get(entry.id, 0)
        item.size_root_bytes = image_sizes.get(entry.container.image_id, 0) + item.size_rw_bytes
        response.containers.append(item)
        counts[entry.container.image_id] = counts.get(entry.container.image_id, 0) + 1
    for image in response.images.images:
        image.containers = counts.get(image.id, 0)
    return response


async def _volumes(core: Core) -> list[volume_pb2.Volume]:
    result = []
    for volume in core.volumes.all():
        copy = volume_pb2.Volume()
        copy.CopyFrom(volume)
        copy.size_bytes = await core.volumes.usage(volume)
        copy.references = len(users(core, volume.name))
        result.append(copy)
    return result


def load_engine_id(core: Core) -> None:
    """Read the engine's id, made up once."""
    for key, record, _ in core.store.load("setting"):
        if key == "engine_id":
            core.engine_id = record.decode()
    if not core.engine_id:
        raw = secrets.token_hex(24).upper()
        core.engine_id = ":".join(raw[i : i + 4] for i in range(0, len(raw), 4))
        core.store.put("setting", "engine_id", core.engine_id.encode())
