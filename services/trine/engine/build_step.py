"""The container of one RUN step: what the runtime is asked for, its volumes, and its record if it stays.

A step's container is in no registry while it runs. Docker leaves the container of a failed step for
people to look at (unless --force-rm); then, and only then, a record is made of it.
What VOLUME names is mounted over in a step as it is in a container, so changes below it are dropped:
plain directories that go with the step, filled from the image. A kept step's become anonymous volumes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from trine.engine.core import Core
from trine.engine.create import finish_config, new_record
from trine.engine.hosts import compose_hosts, hostname_file
from trine.engine.mounts import plan_mounts, runtime_mounts
from trine.engine.names import generate_name
from trine.engine.registry import Entry, Private
from trine.engine.runtime_spec import runtime_request
from trine.engine.states import Status
from trine.engine.usage_of_volumes import discard_volume
from trine.engine.validate import container_of
from trine.kit.errors import InvalidArgumentError
from trine.kit.files import make_directory
from trine.v1 import container_pb2, image_pb2, network_pb2, runtime_pb2


class StepContainer:
    """One step's container."""

    def __init__(self, core: Core, step: image_pb2.ExecStep, options: image_pb2.BuildOptions) -> None:
        """Make its record, which nobody sees yet. Raises InvalidArgumentError, NotFoundError."""
        self._core = core
        requested = _config(step, options)
        config = container_pb2.ContainerConfig()
        config.CopyFrom(requested)
        private = Private()
        other = container_of(config.network_mode)
        if other:
            private.shares["network"] = core.registry.find(other).id
        finish_config(config, step.container_id, "none")
        plan = plan_mounts(config, core.registry)
        container = new_record(step.container_id, "", config, requested, step.image_id, step.mount, plan)
        self._directory = scratch_directory(core) / step.container_id
        for number, point in enumerate(container.mounts):
            point.source = str(self._directory / str(number))
        self._entry = Entry(container, private)

    @property
    def id(self) -> str:
        """Return the container's id."""
        return self._entry.id

    async def request(
        self, network_path: str, endpoints: Sequence[network_pb2.Endpoint], resolv_conf: bytes
    ) -> runtime_pb2.CreateRuntimeContainerRequest:
        """Return what the runtime is to make, its volumes' directories made."""
        entry = self._entry
        if entry.container.mounts:
            make_directory(scratch_directory(self._core), 0o700)
            await asyncio.to_thread(_make_directories, [point.source for point in entry.container.mounts])
        managed = {
            "/etc/hosts": compose_hosts(entry.config, endpoints),
            "/etc/hostname": hostname_file(entry.config),
            "/etc/resolv.conf": resolv_conf,
        }
        shm_size = self._core.settings.default_shm_size_bytes
        return runtime_request(entry, network_path, runtime_mounts(entry, {}), managed, [], shm_size)

    def started(self) -> None:
        """Note that its process runs."""
        self._entry.container.state.started_at_unix_nanos = time.time_ns()
        self._entry.private.filled = True

    def ended(self, exit_code: int) -> None:
        """Note that its process has ended."""
        self._entry.status = Status.EXITED
        state = self._entry.container.state
        state.exit_code, state.finished_at_unix_nanos = exit_code, time.time_ns()

    def failed(self, exit_code: int, error: str) -> None:
        """Note how it failed; one that could not run stays "created", as in Docker."""
        self._entry.container.state.exit_code = exit_code
        self._entry.container.state.error = error

    async def record(self) -> None:
        """Make a container of it that people see: named, its volumes kept as anonymous ones."""
        core, entry = self._core, self._entry
        for point in entry.container.mounts:
            volume, _ = await core.volumes.create("", "", {}, {})
            await asyncio.to_thread(os.rename, point.source, volume.mountpoint)
            point.name, point.source = volume.name, volume.mountpoint
        try:
            entry.container.name = generate_name(core.registry.is_taken)
            core.registry.reserve(entry.name, entry.id)
            core.save(entry)
            await core.store.flush()
            core.registry.add(entry)
        except BaseException:
            core.registry.release(entry.name, entry.id)
            for point in entry.container.mounts:
                await discard_volume(core, point.name)
            raise
        await self.discard_volumes()
        core.events.container(entry.container, "create")

    async def discard_volumes(self) -> None:
        """Remove the directories of its volumes."""
        if self._entry.container.mounts:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)


def scratch_directory(core: Core) -> Path:
    """Return where the directories of steps' volumes are: empty when no build runs."""
    return core.volumes.root.parent / "build"


def _make_directories(paths: Sequence[str]) -> None:
    for path in paths:
        os.makedirs(path, 0o755, exist_ok=True)


def _config(step: image_pb2.ExecStep, options: image_pb2.BuildOptions) -> container_pb2.ContainerConfig:
    return container_pb2.ContainerConfig(
        image=step.image_id,
        cmd=step.args,
        env=step.config.env,
        working_dir=step.config.working_dir,
        user=step.config.user,
        labels=dict(step.config.labels),
        exposed_ports=step.config.exposed_ports,
        anonymous_volumes=step.config.volumes,
        stop_signal=step.config.stop_signal,
        network_mode=step.network_mode or "default",
        extra_hosts=step.extra_hosts,
        resources=step.resources,
        shm_size_bytes=step.shm_size_bytes,
        ulimits=[_resource_limit(text) for text in options.ulimits],
        cgroup_parent=options.cgroup_parent,
    )


def _resource_limit(text: str) -> runtime_pb2.ResourceLimit:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return runtime_pb2.ResourceLimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        raise InvalidArgumentError(f"invalid ulimit argument: {text}", reason="INVALID_ULIMIT") from None
