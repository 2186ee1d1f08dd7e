"""HEALTHCHECK: probes run in a container by exec; three failures in a row make it unhealthy.

The rules are Docker's: the first probe after one interval, failures within the start period do not
count, the last five results and at most 4096 bytes of output each are kept.
"""

from __future__ import annotations

import asyncio
import secrets
import time

from trine.engine.core import Core
from trine.engine.merge import environment
from trine.engine.registry import Entry
from trine.engine.states import Status
from trine.kit.errors import EngineError
from trine.v1 import container_pb2, image_pb2, runtime_pb2

DEFAULT_INTERVAL_NANOS = 30_000_000_000
DEFAULT_TIMEOUT_NANOS = 30_000_000_000
DEFAULT_RETRIES = 3
KEPT_PROBES = 5
LONGEST_OUTPUT_BYTES = 4096
_DEFAULT_SHELL = ("/bin/sh", "-c")


def probe_command(check: image_pb2.HealthCheck) -> list[str]:
    """Return the command of a check; [] when there is none or it is switched off."""
    if not check.test or check.test[0] == "NONE":
        return []
    if check.test[0] == "CMD-SHELL":
        return [*_DEFAULT_SHELL, " ".join(check.test[1:])]
    return list(check.test[1:])


def watch(core: Core, entry: Entry) -> None:
    """Begin to probe a container that runs, if it has a check; the status is "starting" in a new run."""
    stop(entry)
    command = probe_command(entry.config.health_check)
    if not command:
        return
    state = entry.container.state
    if not state.health_log or state.health_log[-1].started_at_unix_nanos < state.started_at_unix_nanos:
        state.health_status = "starting"
        state.health_failing_streak = 0
        del state.health_log[:]
    entry.health_task = core.spawn(_probe_for_ever(core, entry, command), f"health {entry.id[:12]}")


def stop(entry: Entry) -> None:
    """Stop probing."""
    if entry.health_task is not None:
        entry.health_task.cancel()
        entry.health_task = None


def judge(
    state: container_pb2.ContainerState,
    check: image_pb2.HealthCheck,
    probe: container_pb2.HealthProbe,
) -> str:
    """Add a result to a state and return the new status ("starting", "healthy", "unhealthy")."""
    state.health_log.append(probe)
    del state.health_log[:-KEPT_PROBES]
    if probe.exit_code == 0:
        state.health_failing_streak = 0
        state.health_status = "healthy"
        return state.health_status
    in_start_period = (
        state.health_status == "starting"
        and probe.started_at_unix_nanos - state.started_at_unix_nanos < check.start_period_nanos
    )
    if not in_start_period:
        state.health_failing_streak += 1
        if state.health_failing_streak >= (check.retries or DEFAULT_RETRIES):
            state.health_status = "unhealthy"
    return state.health_status


async def _probe_for_ever(core: Core, entry: Entry, command: list[str]) -> None:
    check = entry.config.health_check
    while True:
        await asyncio.sleep((check.interval_nanos or DEFAULT_INTERVAL_NANOS) / 1e9)
        probe = await _probe(core, entry, command)
        if probe is None or entry.status is not Status.RUNNING:
            continue
        before = entry.container.state.health_status
        now = judge(entry.container.state, check, probe)
        core.save(entry)
        if now != before:
            core.events.container(entry.container, f"health_status: {now}")


async def _probe(core: Core, entry: Entry, command: list[str]) -> container_pb2.HealthProbe | None:
    """Run one probe; None when the runtime does not answer: that says nothing about the container."""
    check = entry.config.health_check
    seconds = (check.timeout_nanos or DEFAULT_TIMEOUT_NANOS) / 1e9
    probe = container_pb2.HealthProbe(started_at_unix_nanos=time.time_ns())
    exec_id = secrets.token_hex(32)
    output = bytearray()
    core.events.container(entry.container, f"exec_create: {' '.join(command)}", execID=exec_id)
    try:
        probe.exit_code = await asyncio.wait_for(_run(core, entry, exec_id, command, output), seconds)
        probe.output = bytes(output[:LONGEST_OUTPUT_BYTES]).decode(errors="replace")
    except TimeoutError:
        probe.exit_code = -1
        # Docker's words, with its way to write a duration.
        probe.output = f"Health check exceeded timeout ({duration(seconds)})"
        await _kill(core, entry, exec_id)
    except EngineError as error:
        if error.reason == "SERVICE_UNAVAILABLE":
            return None
        probe.exit_code = -1
        probe.output = error.message
    probe.finished_at_unix_nanos = time.time_ns()
    core.events.container(entry.container, "exec_die", execID=exec_id, exitCode=str(probe.exit_code))
    return probe


async def _run(core: Core, entry: Entry, exec_id: str, command: list[str], output: bytearray) -> int:
    leaf = core.leaves.runtime
    config = entry.config
    process = runtime_pb2.ProcessSpec(
        args=command,
        env=environment(config),
        working_directory=config.working_dir or "/",
        user=config.user,
        additional_groups=config.group_add,
        privileged=config.security.privileged,
    )
    await leaf(
        leaf.stub.CreateProcess,
        runtime_pb2.CreateProcessRequest(container_id=entry.id, exec_id=exec_id, process=process),
    )
    await leaf.ready()
    call = leaf.stub.AttachProcess()
    target = runtime_pb2.AttachTarget(container_id=entry.id, exec_id=exec_id, stdout=True, stderr=True)
    await call.write(runtime_pb2.AttachProcessRequest(target=target))
    code = 0
    async for message in leaf.stream(call):
        kind = message.WhichOneof("event")
        if kind == "attached":
            core.events.container(entry.container, f"exec_start: {' '.join(command)}", execID=exec_id)
            await leaf(
                leaf.stub.StartProcess,
                runtime_pb2.StartProcessRequest(container_id=entry.id, exec_id=exec_id),
            )
        elif kind == "exit_code":
            code = message.exit_code
        elif len(output) < LONGEST_OUTPUT_BYTES:
            output += message.stdout or message.stderr
    return code


async def _kill(core: Core, entry: Entry, exec_id: str) -> None:
    leaf = core.leaves.runtime
    try:
        await leaf(
            leaf.stub.SignalRuntimeContainer,
            runtime_pb2.SignalRuntimeContainerRequest(id=entry.id, exec_id=exec_id, signal=9),
        )
    except EngineError as error:
        core.log.warning("probe not killed", container=entry.id[:12], error=error.message)


def duration(seconds: float) -> str:
    """Return a duration as Go writes it: 30s, 1m30s, 1.5s, 100ms."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{int(hours)}h" if hours else ""
    text += f"{int(minutes)}m" if minutes or hours else ""
    return f"{text}{rest:g}s"
