"""Change limits and restart policy of a container."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.facts import check_resources
from trine.engine.registry import Entry
from trine.engine.states import Status, has_process
from trine.engine.validate import check_policy
from trine.kit.errors import ConflictError, InvalidArgumentError
from trine.v1 import container_pb2, image_pb2, runtime_pb2


async def update_container(
    core: Core, request: container_pb2.UpdateContainerRequest
) -> container_pb2.UpdateContainerResponse:
    """Apply what is not zero; raises NotFoundError, InvalidArgumentError, ConflictError."""
    entry = core.registry.find(request.container)
    async with entry.lock:
        warnings = await _update(core, entry, request)
    core.events.container(entry.container, "update")
    return container_pb2.UpdateContainerResponse(warnings=warnings)


async def _update(core: Core, entry: Entry, request: container_pb2.UpdateContainerRequest) -> list[str]:
    if entry.removing or entry.status in (Status.REMOVING, Status.DEAD):
        raise ConflictError('Container is marked for removal and cannot be "update".')
    now, asked = entry.config.resources, image_pb2.Resources()
    asked.CopyFrom(request.resources)
    if asked.memory_swap_bytes and not asked.memory_bytes:
        asked.memory_bytes = now.memory_bytes  # a limit of both together: it means nothing alone
    warnings = await check_resources(core, asked)
    try:
        merged = merge_resources(now, asked)  # without what the kernel cannot keep
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"Cannot update container {entry.id}: {error.message}", reason=error.reason
        ) from error
    if request.HasField("restart_policy") and request.restart_policy.name:
        if entry.config.auto_remove and request.restart_policy.name != "no":
            raise InvalidArgumentError(
                f"Cannot update container {entry.id}: "
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        check_policy(request.restart_policy, False)
    if has_process(entry.status) and request.resources != image_pb2.Resources():
        if asked.memory_bytes:  # else the runtime would take twice the memory for both, as in a new container
            asked.memory_swap_bytes = merged.memory_swap_bytes
        leaf = core.leaves.runtime
        answer = await leaf(
            leaf.stub.UpdateRuntimeContainer,
            runtime_pb2.UpdateRuntimeContainerRequest(id=entry.id, resources=asked),
        )
        warnings.extend(answer.warnings)
    entry.config.resources.CopyFrom(merged)
    if request.HasField("restart_policy") and request.restart_policy.name:
        entry.config.restart_policy.CopyFrom(request.restart_policy)
    core.save(entry)
    await core.store.flush()
    return warnings


def merge_resources(now: image_pb2.Resources, asked: image_pb2.Resources) -> image_pb2.Resources:
    """Return limits after an update: zero fields stay; quota and nano CPUs replace each other."""
    result = image_pb2.Resources()
    result.CopyFrom(now)
    if asked.nano_cpus and (now.cpu_period_micros or now.cpu_quota_micros):
        raise InvalidArgumentError(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
            if now.cpu_quota_micros
            else "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
        )
    if now.nano_cpus and (asked.cpu_period_micros or asked.cpu_quota_micros):
        raise InvalidArgumentError(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
            if asked.cpu_quota_micros
            else "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"
        )
    # Also where there is no swap limit or none is wanted (-1): Docker compares the bare numbers.
    if asked.memory_bytes and asked.memory_bytes > now.memory_swap_bytes and not asked.memory_swap_bytes:
        raise InvalidArgumentError(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the "
            "same time"
        )
    result.MergeFrom(asked)
    return result
