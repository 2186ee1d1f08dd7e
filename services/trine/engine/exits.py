"""What follows when a container's process has ended: record, clean, restart or remove."""

from __future__ import annotations

import asyncio

from trine.engine import health
from trine.engine.core import Core
from trine.engine.prepare import settled, teardown
from trine.engine.registry import Entry
from trine.engine.removal import remove_now
from trine.engine.restart_policy import Policy, next_delay, wants_restart
from trine.engine.start import run_entry
from trine.engine.states import Event, Status, after, has_process
from trine.kit.errors import DeadlineExceededError, EngineError, UnavailableError
from trine.v1 import runtime_pb2


def policy_of(entry: Entry) -> Policy:
    """Return a container's restart policy."""
    policy = entry.config.restart_policy
    return Policy(policy.name or "no", policy.maximum_retry_count)


async def handle_exit(core: Core, entry: Entry, ended: runtime_pb2.RuntimeContainer) -> None:
    """Record the end of a run and what it leads to. An end that was handled before is ignored."""
    async with entry.lock:
        state = entry.container.state
        if not has_process(entry.status):
            if entry.prepared is not None and ended.never_started:
                settled(entry)
                await teardown(core, entry, keep_data=True)
            return
        started = ended.started_at_unix_nanos
        if started and state.started_at_unix_nanos and started != state.started_at_unix_nanos:
            return  # of an earlier run
        await record_exit(core, entry, ended)


async def record_exit(core: Core, entry: Entry, ended: runtime_pb2.RuntimeContainer) -> None:
    """Do it for a container known to have run; the caller holds the lock."""
    health.stop(entry)
    state = entry.container.state
    state.exit_code = ended.exit_code
    state.finished_at_unix_nanos = ended.finished_at_unix_nanos
    state.oom_killed = ended.oom_killed
    state.process_id = 0
    state.error = ended.error
    if state.health_status:
        state.health_status = "unhealthy"  # as Docker: nobody watches it any more
    entry.private.execs.clear()
    for execution in core.execs.values():
        if execution.container_id == entry.id and execution.running:
            execution.running = False
            execution.exit_code = execution.exit_code or 137
            execution.ended.set()
    run_seconds = (state.finished_at_unix_nanos - state.started_at_unix_nanos) / 1e9
    restart = (
        not entry.stopping
        and not entry.removing
        and not core.closing
        and wants_restart(
            policy_of(entry), state.exit_code, state.restart_count, entry.private.manually_stopped
        )
    )
    entry.status = after(entry.status, Event.EXIT_AND_RESTART if restart else Event.EXIT, entry.id)
    if restart:
        state.restart_count += 1
        entry.restart_delay_seconds = next_delay(entry.restart_delay_seconds, run_seconds)
    core.save(entry)
    # On disk before the runtime forgets: the exit code is told by nobody else.
    await _flush(core, entry)
    if ended.oom_killed:
        core.events.container(entry.container, "oom")
    core.events.container(entry.container, "die", exitCode=str(state.exit_code))
    remove = entry.config.auto_remove and not restart and not entry.keep_after_exit and not entry.removing
    if remove:
        await _auto_remove(core, entry)
    else:
        await teardown(core, entry, keep_data=True)
    entry.tell_exit()
    if restart:
        entry.restart_task = core.spawn(restart_later(core, entry), f"restart {entry.id[:12]}")


async def _flush(core: Core, entry: Entry) -> None:
    try:
        await core.store.flush()
    except EngineError as error:
        # The runtime keeps its record until we delete it; reconcile reads it again.
        core.log.error("exit not recorded", container=entry.id[:12], error=error.message)


async def _auto_remove(core: Core, entry: Entry) -> None:
    try:
        await remove_now(core, entry, volumes=True)
    except EngineError as error:
        core.log.warning("--rm container stays for reconcile", container=entry.id[:12], error=error.message)


async def restart_later(core: Core, entry: Entry) -> None:
    """Start a container again after its delay, unless someone stopped or removed it meanwhile."""
    await asyncio.sleep(entry.restart_delay_seconds)
    async with entry.lock:
        entry.restart_task = None
        if entry.status is not Status.RESTARTING or entry.removing or core.closing:
            return
        try:
            await run_entry(core, entry)
        except EngineError as error:
            core.log.warning("restart failed", container=entry.id[:12], error=error.message)
            try_again(core, entry, error)
            return
    # run_entry cleared exit code and error; the count stays.


def try_again(core: Core, entry: Entry, error: EngineError) -> None:
    """Plan one more start where a service was away: that is not the container's fault. Holds the lock."""
    away = isinstance(error, UnavailableError | DeadlineExceededError)
    if not away or entry.status is not Status.EXITED or entry.removing or core.closing:
        return
    entry.status = Status.RESTARTING
    entry.restart_delay_seconds = next_delay(entry.restart_delay_seconds, 0)
    core.save(entry)
    entry.restart_task = core.spawn(restart_later(core, entry), f"restart {entry.id[:12]}")
