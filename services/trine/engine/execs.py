"""Run one more process in a running container."""

from __future__ import annotations

import base64
import secrets

from trine.engine.core import Core
from trine.engine.links import link_variables
from trine.engine.merge import environment
from trine.engine.registry import Entry, Exec
from trine.engine.states import exec_refusal
from trine.kit.errors import ConflictError, EngineError, InvalidArgumentError, NotFoundError
from trine.v1 import container_pb2, runtime_pb2

_CANNOT_EXECUTE = 126  # as Docker, whatever the reason
_UNKNOWN_EXIT_CODE = 255  # it ended, and nobody knows any more how
_KEPT_ENDED = 200  # of all containers; older ones are forgotten
_PATIENCE_SECONDS = 30.0


async def create_exec(
    core: Core, request: container_pb2.CreateExecRequest
) -> container_pb2.CreateExecResponse:
    """Register a process; raises NotFoundError, ConflictError (not running), InvalidArgumentError."""
    entry = core.registry.find(request.container)
    refusal = exec_refusal(entry.status, entry.id, request.container)
    if refusal:
        raise ConflictError(refusal, reason="NOT_RUNNING")
    if not request.args:
        raise InvalidArgumentError("No exec command specified")
    for text in request.env:
        if not text or text.startswith("="):
            raise InvalidArgumentError(f"invalid environment variable: {text}")
    execution = Exec(secrets.token_hex(32), entry.id, request)
    leaf = core.leaves.runtime
    await leaf(
        leaf.stub.CreateProcess,
        runtime_pb2.CreateProcessRequest(
            container_id=entry.id,
            exec_id=execution.id,
            process=_process(entry, request, link_variables(core, entry)),
        ),
    )
    _forget_old(core)
    core.execs[execution.id] = execution
    entry.container.exec_ids.append(execution.id)
    core.events.container(entry.container, f"exec_create: {' '.join(request.args)}", execID=execution.id)
    return container_pb2.CreateExecResponse(exec_id=execution.id, container_id=entry.id)


def _process(
    entry: Entry, request: container_pb2.CreateExecRequest, links: list[str]
) -> runtime_pb2.ProcessSpec:
    config = entry.config
    return runtime_pb2.ProcessSpec(
        args=request.args,
        env=environment(config, links, override=request.env, tty=request.tty),
        working_directory=request.working_dir or config.working_dir or "/",
        user=request.user or config.user,
        additional_groups=config.group_add if not request.user else [],
        terminal=request.tty,
        open_stdin=request.attach_stdin,
        stdin_once=request.attach_stdin,
        terminal_rows=request.console_rows,
        terminal_columns=request.console_columns,
        resource_limits=config.ulimits,
        privileged=request.privileged or config.security.privileged,
    )


def _forget_old(core: Core) -> None:
    ended = [key for key, value in core.execs.items() if value.ended.is_set()]
    for key in ended[: max(0, len(ended) - _KEPT_ENDED)]:
        del core.execs[key]


def find_exec(core: Core, exec_id: str) -> Exec:
    """Return an exec by its id; raises NotFoundError."""
    found = core.execs.get(exec_id)
    if found is None:
        raise NotFoundError(f"No such exec instance: {exec_id}", reason="NO_SUCH_EXEC")
    return found


async def start_exec(core: Core, request: container_pb2.StartExecRequest) -> container_pb2.StartExecResponse:
    """Run a registered process.

    Raises NotFoundError, ConflictError (started before, container down), or why it cannot be executed.
    """
    execution = find_exec(core, request.exec_id)
    entry = core.registry.find(execution.container_id)
    if execution.ended.is_set():
        raise ConflictError(f"Error: Exec command {execution.id} has already run")
    if execution.started:
        raise ConflictError(f"Error: Exec command {execution.id} is already running")
    refusal = exec_refusal(entry.status, entry.id, entry.id)
    if refusal:
        raise ConflictError(refusal, reason="NOT_RUNNING")
    execution.started = execution.running = True
    command = " ".join(execution.request.args)
    core.events.container(entry.container, f"exec_start: {command}", execID=execution.id)
    leaf = core.leaves.runtime
    try:
        if execution.request.working_dir and not execution.request.working_dir.startswith("/"):
            raise InvalidArgumentError(
                "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown",
                reason="BAD_WORKING_DIRECTORY",
            )
        answer = await leaf(
            leaf.stub.StartProcess,
            runtime_pb2.StartProcessRequest(container_id=entry.id, exec_id=execution.id),
        )
    except EngineError:
        exec_ended(core, entry, execution, _CANNOT_EXECUTE)
        raise
    execution.process_id = answer.process_id
    if not execution.ended.is_set():
        # Not waited for: a kill within the next commit loses the id, never the process.
        entry.private.execs[execution.id] = base64.b64encode(execution.request.SerializeToString()).decode()
        core.save(entry)
    return container_pb2.StartExecResponse()


def exec_ended(core: Core, entry: Entry, execution: Exec, exit_code: int) -> None:
    """Record the end of an exec, once."""
    if execution.ended.is_set():
        return
    execution.running = False
    execution.exit_code = exit_code
    execution.process_id = 0
    execution.ended.set()
    if execution.id in entry.container.exec_ids:
        entry.container.exec_ids.remove(execution.id)
    if entry.private.execs.pop(execution.id, None) is not None:
        core.save(entry)
    core.events.container(entry.container, "exec_die", execID=execution.id, exitCode=str(exit_code))


def load_execs(core: Core, entry: Entry) -> None:
    """Know again what ran in a container when the engine ended; ``settle_execs`` asks what became of it."""
    entry.container.exec_ids[:] = list(entry.private.execs)
    for exec_id, encoded in entry.private.execs.items():
        request = container_pb2.CreateExecRequest.FromString(base64.b64decode(encoded))
        core.execs[exec_id] = Exec(exec_id, entry.id, request, started=True, running=True)


async def settle_execs(core: Core) -> None:
    """Ask the runtime about execs of an earlier engine; the end of those that ended meanwhile is recorded."""
    leaf = core.leaves.runtime
    for execution in list(core.execs.values()):
        entry = core.registry.get(execution.container_id)
        if entry is None or execution.ended.is_set() or execution.id not in entry.private.execs:
            continue
        try:
            answer = await leaf(
                leaf.stub.GetProcess,
                runtime_pb2.GetProcessRequest(container_id=entry.id, exec_id=execution.id),
            )
        except NotFoundError:
            exec_ended(core, entry, execution, _UNKNOWN_EXIT_CODE)
            continue
        execution.process_id = answer.process.process_id
        if not answer.process.running:
            exec_ended(core, entry, execution, answer.process.exit_code)


async def get_exec(core: Core, request: container_pb2.GetExecRequest) -> container_pb2.GetExecResponse:
    """Return the state of an exec; raises NotFoundError."""
    execution = find_exec(core, request.exec_id)
    return container_pb2.GetExecResponse(
        exec_id=execution.id,
        container_id=execution.container_id,
        running=execution.running,
        exit_code=execution.exit_code,
        process_id=execution.process_id,
        request=execution.request,
    )


async def wait_exec(core: Core, request: container_pb2.WaitExecRequest) -> container_pb2.WaitExecResponse:
    """Answer when an exec has ended; raises NotFoundError."""
    execution = find_exec(core, request.exec_id)
    if not execution.ended.is_set():
        leaf = core.leaves.runtime
        answer = await leaf(
            leaf.stub.WaitProcess,
            runtime_pb2.WaitProcessRequest(container_id=execution.container_id, exec_id=execution.id),
            timeout_seconds=0,
            patience_seconds=_PATIENCE_SECONDS,
        )
        entry = core.registry.get(execution.container_id)
        if entry is not None:
            exec_ended(core, entry, execution, answer.process.exit_code)
        else:
            execution.exit_code = answer.process.exit_code
    return container_pb2.WaitExecResponse(exit_code=execution.exit_code)
