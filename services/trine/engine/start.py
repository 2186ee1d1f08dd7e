"""Start a container: prepare what is not prepared, let the process run, record it."""

from __future__ import annotations

from trine.engine import health
from trine.engine.core import Core
from trine.engine.prepare import prepare, settled, teardown
from trine.engine.registry import Entry
from trine.engine.removal import remove_now
from trine.engine.states import Event, StateError, Status, after, is_up
from trine.engine.undo import run_to_end
from trine.kit.errors import ConflictError, EngineError, NotFoundError
from trine.v1 import container_pb2, runtime_pb2

_EXIT_CODES = {"COMMAND_NOT_FOUND": 127, "COMMAND_NOT_EXECUTABLE": 126}
_OTHER_EXIT_CODE = 128


async def start_container(
    core: Core, request: container_pb2.StartContainerRequest
) -> container_pb2.StartContainerResponse:
    """Start a container by name or id; one that runs already is left alone.

    Raises NotFoundError, ConflictError (paused, being removed), or why it could not be started: then
    the exit code is recorded (127, 126 or 128) with the error, and a --rm container is removed.
    """
    entry = core.registry.find(request.container)
    async with entry.lock:
        if is_up(entry.status) and entry.status is not Status.PAUSED:
            return container_pb2.StartContainerResponse()
        if entry.removing:
            raise ConflictError("container is marked for removal and cannot be started")
        entry.restart_delay_seconds = 0.0
        entry.container.state.restart_count = 0
        warnings = await run_entry(core, entry)
    return container_pb2.StartContainerResponse(warnings=warnings)


async def run_entry(core: Core, entry: Entry) -> list[str]:
    """Prepare and run; the caller holds the lock. Returns warnings; raises as ``start_container``."""
    try:
        status = after(entry.status, Event.START, entry.id)
    except StateError as error:
        raise ConflictError(str(error)) from error
    try:
        warnings, running = await _run(core, entry)
    except BaseException as error:
        in_dockers_words(error)
        await run_to_end(fail_start(core, entry, error))
        raise
    mark_started(core, entry, status, running)
    core.events.container(entry.container, "start")
    health.watch(core, entry)
    return warnings


async def _run(core: Core, entry: Entry) -> tuple[list[str], runtime_pb2.RuntimeContainer]:
    leaf = core.leaves.runtime
    again = entry.prepared is not None
    prepared = await prepare(core, entry)
    request = runtime_pb2.StartRuntimeContainerRequest(id=entry.id)
    try:
        answer = await leaf(leaf.stub.StartRuntimeContainer, request)
    except NotFoundError:
        if not again:
            raise
        # What was prepared is gone (its init was killed while it waited): make it anew, once.
        settled(entry)
        await teardown(core, entry, keep_data=True)
        prepared = await prepare(core, entry)
        answer = await leaf(leaf.stub.StartRuntimeContainer, request)
    return prepared.warnings, answer.container


def mark_started(core: Core, entry: Entry, status: Status, running: runtime_pb2.RuntimeContainer) -> None:
    """Record that the process runs. Not waited for: a kill before it is written is found out by reconcile."""
    container = entry.container
    state = container.state
    entry.status = status
    state.process_id = running.process_id or (entry.prepared.process_id if entry.prepared else 0)
    state.started_at_unix_nanos = running.started_at_unix_nanos
    state.exit_code = 0
    state.error = ""
    state.oom_killed = False
    container.log_path = "" if entry.config.log.driver == "local" else running.log_path
    container.network_ids.clear()
    container.network_ids.update({e.network_name: e.network_id for e in container.sandbox.endpoints})
    if running.managed_directory:
        container.hostname_path = f"{running.managed_directory}/hostname"
        container.hosts_path = f"{running.managed_directory}/hosts"
        container.resolv_conf_path = f"{running.managed_directory}/resolv.conf"
    entry.private.manually_stopped = False
    entry.private.filled = True
    entry.stopping = False
    settled(entry)
    core.save(entry)


async def fail_start(core: Core, entry: Entry, error: BaseException) -> None:
    """Take back a start that failed: leaves cleaned, exit code and error recorded, --rm removed."""
    settled(entry)
    await teardown(core, entry, keep_data=True)
    state = entry.container.state
    reason = error.reason if isinstance(error, EngineError) else ""
    state.exit_code = _EXIT_CODES.get(reason, _OTHER_EXIT_CODE)
    state.error = error.message if isinstance(error, EngineError) else "start was cancelled"
    state.process_id = 0
    if entry.status is Status.RESTARTING:
        entry.status = Status.EXITED
    core.save(entry)
    if entry.config.auto_remove and not entry.removing:
        try:
            await remove_now(core, entry, volumes=True)
        except EngineError as failure:
            # Why it did not start is what people must read; what is left, the next recover removes.
            core.log.warning("not removed yet", container=entry.id[:12], error=failure.message)
    entry.tell_exit()


def in_dockers_words(error: BaseException) -> None:
    """Put before the runtime's text what Docker's daemon says of its own there."""
    if isinstance(error, EngineError) and error.message.startswith("OCI runtime create failed"):
        error.message = f"failed to create shim task: {error.message}"


async def prepare_container(core: Core, entry: Entry) -> None:
    """Prepare a container that does not run, as its start would (for attaching before the start)."""
    async with entry.lock:
        if is_up(entry.status):
            return
        if entry.removing:
            raise ConflictError("container is marked for removal and cannot be started")
        try:
            await prepare(core, entry)
        except BaseException as error:
            in_dockers_words(error)
            await run_to_end(fail_start(core, entry, error))
            raise
