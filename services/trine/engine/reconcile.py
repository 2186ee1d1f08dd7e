"""Bring records and leaves in line: after a start of the engine, and when a leaf comes back.

What no record owns is removed, what one owns is adopted, ends that were missed are recorded with
their true code and time, and what a kill left half-made is undone.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping

from trine.engine import health
from trine.engine.build_step import scratch_directory
from trine.engine.core import Core
from trine.engine.execs import load_execs, settle_execs
from trine.engine.exits import policy_of, record_exit, restart_later, try_again
from trine.engine.facts import forget_facts
from trine.engine.prepare import delete_runtime, delete_sandbox, settled, teardown
from trine.engine.registry import Entry, Registry, load_private
from trine.engine.removal import remove_now
from trine.engine.restart_policy import wants_restart
from trine.engine.start import mark_started, run_entry
from trine.engine.states import Event, Status, after, has_process, is_up
from trine.kit.errors import EngineError, NotFoundError
from trine.v1 import container_pb2, image_pb2, network_pb2, runtime_pb2

_UNKNOWN_EXIT_CODE = 255  # as Docker: nobody knows any more
_BOOT_STARTS_AT_ONCE = 4


def load_records(core: Core) -> None:
    """Read containers and volumes from the store into memory."""
    core.volumes.load()
    shutil.rmtree(scratch_directory(core), ignore_errors=True)  # of builds that ended with the engine
    for _, record, private in core.store.load("container"):
        container = container_pb2.Container.FromString(record)
        entry = Entry(container, load_private(private))
        load_execs(core, entry)
        core.registry.add(entry)


async def recover(core: Core) -> None:
    """Reconcile with all leaves that answer. The first time also applies restart policies and --rm."""
    forget_facts(core)
    begun = time.time_ns()
    known, _ = await asyncio.gather(_with_runtime(core), _with_sandboxes(core))
    await _with_snapshots(core, begun)
    # As long as the runtime did not say what runs, nobody knows what is down.
    boot = known and not core.booted
    await _finish_removals(core, boot)
    core.recovered.set()
    if boot:
        core.booted = True
        await settle_execs(core)
        _apply_policies(core)


async def _with_runtime(core: Core) -> bool:
    leaf = core.leaves.runtime
    try:
        answer = await leaf(leaf.stub.ListRuntimeContainers, runtime_pb2.ListRuntimeContainersRequest())
    except EngineError as error:
        core.log.warning("runtime not reconciled", error=error.message)
        return False
    await settle_runtime(core, {c.id: c for c in answer.containers})
    return True


async def settle_runtime(core: Core, found: Mapping[str, runtime_pb2.RuntimeContainer]) -> None:
    """Compare every record with what the runtime has."""
    work = [_settle_entry(core, entry, found.get(entry.id)) for entry in core.registry]
    work += [_remove_orphan(core, core.registry, key) for key in found if core.registry.get(key) is None]
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            core.log.warning("not reconciled", error=str(result))


async def _remove_orphan(core: Core, registry: Registry, container_id: str) -> None:
    if container_id in registry.in_flight or registry.get(container_id) is not None:
        return
    core.log.info("removing what no record owns", runtime=container_id[:12])
    await delete_runtime(core, container_id, keep_data=False)


def _agrees(entry: Entry, found: runtime_pb2.RuntimeContainer | None) -> bool:
    if found is None:
        return not has_process(entry.status) and entry.prepared is None
    if entry.prepared is not None:
        return found.state == runtime_pb2.RUNTIME_STATE_CREATED
    return (
        has_process(entry.status)
        and found.state == entry.runtime_state()
        and found.process_id == entry.container.state.process_id
        and found.started_at_unix_nanos == entry.container.state.started_at_unix_nanos
    )


async def _settle_entry(core: Core, entry: Entry, found: runtime_pb2.RuntimeContainer | None) -> None:
    if _agrees(entry, found):
        if has_process(entry.status) and entry.health_task is None:
            health.watch(core, entry)
        return
    async with entry.lock:
        # What we were told may be older than what was done since: ask again, now that nothing moves.
        leaf = core.leaves.runtime
        try:
            answer = await leaf(
                leaf.stub.GetRuntimeContainer, runtime_pb2.GetRuntimeContainerRequest(id=entry.id)
            )
            found = answer.container
        except NotFoundError:
            found = None
        if core.registry.get(entry.id) is not entry or _agrees(entry, found):
            return
        await _settle_locked(core, entry, found)


async def _settle_locked(core: Core, entry: Entry, found: runtime_pb2.RuntimeContainer | None) -> None:
    running = (runtime_pb2.RUNTIME_STATE_RUNNING, runtime_pb2.RUNTIME_STATE_PAUSED)
    if entry.status in (Status.REMOVING, Status.DEAD):
        return
    if found is None or found.never_started or found.state == runtime_pb2.RUNTIME_STATE_CREATED:
        settled(entry)
        if has_process(entry.status):
            # A runtime that finds only a dead shim cannot know that its process was started: we do.
            if found is None or found.state != runtime_pb2.RUNTIME_STATE_STOPPED:
                found = _lost(entry)
            await record_exit(core, entry, found)
        else:
            await teardown(core, entry, keep_data=True)
        return
    known = found.started_at_unix_nanos == entry.container.state.started_at_unix_nanos
    if not has_process(entry.status) and not (known and found.state == runtime_pb2.RUNTIME_STATE_STOPPED):
        # It was started, and the engine was killed before it wrote so.
        await _find_sandbox(core, entry)
        mark_started(core, entry, after(entry.status, Event.START, entry.id), found)
    if found.state == runtime_pb2.RUNTIME_STATE_PAUSED and entry.status is Status.RUNNING:
        # A pause people asked for is on disk before it is answered: this one was a commit's, which died.
        leaf = core.leaves.runtime
        await leaf(leaf.stub.ResumeRuntimeContainer, runtime_pb2.ResumeRuntimeContainerRequest(id=entry.id))
        found.state = runtime_pb2.RUNTIME_STATE_RUNNING
    if found.state in running:
        paused = found.state == runtime_pb2.RUNTIME_STATE_PAUSED
        entry.status = Status.PAUSED if paused else Status.RUNNING
        if found.started_at_unix_nanos:  # else its shim does not answer: what we know stays
            entry.container.state.process_id = found.process_id
            entry.container.state.started_at_unix_nanos = found.started_at_unix_nanos
        settled(entry)
        core.save(entry)
        health.watch(core, entry)
    elif has_process(entry.status):
        entry.container.state.started_at_unix_nanos = found.started_at_unix_nanos
        await record_exit(core, entry, found)
    else:
        # Its end is recorded already; only the cleaning was missed.
        await teardown(core, entry, keep_data=True)


def _lost(entry: Entry) -> runtime_pb2.RuntimeContainer:
    return runtime_pb2.RuntimeContainer(
        id=entry.id,
        state=runtime_pb2.RUNTIME_STATE_STOPPED,
        exit_code=_UNKNOWN_EXIT_CODE,
        finished_at_unix_nanos=time.time_ns(),
    )


async def _find_sandbox(core: Core, entry: Entry) -> None:
    leaf = core.leaves.network
    try:
        answer = await leaf(leaf.stub.GetSandbox, network_pb2.GetSandboxRequest(id=entry.id))
        entry.container.sandbox.CopyFrom(answer.sandbox)
    except EngineError:
        pass  # host network, or the service is away


async def _with_sandboxes(core: Core) -> None:
    leaf = core.leaves.network
    try:
        answer = await leaf(leaf.stub.ListSandboxes, network_pb2.ListSandboxesRequest())
    except EngineError as error:
        core.log.warning("network not reconciled", error=error.message)
        return
    work = [_settle_sandbox(core, sandbox) for sandbox in answer.sandboxes]
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            core.log.warning("sandbox not reconciled", error=str(result))


async def _settle_sandbox(core: Core, sandbox: network_pb2.Sandbox) -> None:
    entry = core.registry.get(sandbox.id)
    if entry is None:
        if sandbox.id not in core.registry.in_flight:
            core.log.info("removing what no record owns", sandbox=sandbox.id[:12])
            await delete_sandbox(core, sandbox.id)
        return
    async with entry.lock:
        if entry.prepared is not None:
            return
        if has_process(entry.status):
            if entry.container.sandbox != sandbox:
                entry.container.sandbox.CopyFrom(sandbox)
                core.save(entry)
            return
        if not core.booted and await _may_run(core, entry):
            return
        await delete_sandbox(core, entry.id)


async def _may_run(core: Core, entry: Entry) -> bool:
    """Tell whether the runtime has a process for a record that says it has none (at boot)."""
    leaf = core.leaves.runtime
    try:
        answer = await leaf(
            leaf.stub.GetRuntimeContainer, runtime_pb2.GetRuntimeContainerRequest(id=entry.id)
        )
    except NotFoundError:
        return False
    except EngineError:
        return True  # not known: keep it
    return answer.container.state in (runtime_pb2.RUNTIME_STATE_RUNNING, runtime_pb2.RUNTIME_STATE_PAUSED)


async def _with_snapshots(core: Core, begun: int) -> None:
    """Remove snapshots no record owns; while a build runs its steps' snapshots are not ours to judge."""
    if core.builds_running:
        return
    leaf = core.leaves.image
    try:
        answer = await leaf(leaf.stub.ListSnapshots, image_pb2.ListSnapshotsRequest())
    except EngineError as error:
        core.log.warning("image store not reconciled", error=error.message)
        return
    for snapshot in answer.snapshots:
        owned = core.registry.get(snapshot.key) or snapshot.key in core.registry.in_flight
        if owned or snapshot.created_at_unix_nanos > begun or core.builds_running:
            continue
        core.log.info("removing what no record owns", snapshot=snapshot.key[:12])
        try:
            await leaf(leaf.stub.DeleteSnapshot, image_pb2.DeleteSnapshotRequest(key=snapshot.key))
        except EngineError as error:
            core.log.warning("snapshot not removed", snapshot=snapshot.key[:12], error=error.message)


async def _finish_removals(core: Core, boot: bool) -> None:
    """Finish removals a kill interrupted, and those of --rm containers that failed or were missed."""
    for entry in core.registry:
        interrupted = entry.status is Status.REMOVING and boot
        failed = entry.status is Status.DEAD and entry.config.auto_remove
        missed = boot and entry.config.auto_remove and not is_up(entry.status)
        if not (interrupted or failed or missed) or entry.removing:
            continue
        async with entry.lock:
            if is_up(entry.status) or core.registry.get(entry.id) is not entry:
                continue
            try:
                await remove_now(core, entry, volumes=entry.config.auto_remove)
            except EngineError as error:
                core.log.warning("removal not finished", container=entry.id[:12], error=error.message)


def _apply_policies(core: Core) -> None:
    """Start again what its policy wants up: in the background, a few at a time."""
    gate = asyncio.Semaphore(_BOOT_STARTS_AT_ONCE)

    async def start(entry: Entry) -> None:
        async with gate, entry.lock:
            if is_up(entry.status) or entry.removing:
                return
            try:
                await run_entry(core, entry)
            except EngineError as error:
                core.log.warning("not started again", container=entry.id[:12], error=error.message)
                try_again(core, entry, error)

    for entry in core.registry:
        state = entry.container.state
        if entry.status is Status.RESTARTING and entry.restart_task is None:
            entry.restart_task = core.spawn(restart_later(core, entry), f"restart {entry.id[:12]}")
        elif (
            entry.status is Status.EXITED
            and state.started_at_unix_nanos
            and wants_restart(
                policy_of(entry), state.exit_code, state.restart_count, entry.private.manually_stopped
            )
        ):
            core.spawn(start(entry), f"start {entry.id[:12]}")
