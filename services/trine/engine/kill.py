"""Send a signal to a container, and kill one for certain."""

from __future__ import annotations

import asyncio

from trine.engine.core import Core
from trine.engine.registry import Entry
from trine.engine.states import Event, Status, after, has_process, is_up
from trine.engine.validate import signal_number
from trine.kit.errors import ConflictError, EngineError, InternalError, InvalidArgumentError, NotFoundError
from trine.v1 import container_pb2, runtime_pb2

SIGKILL = 9
SIGTERM = 15
_LAST_SIGNAL = 64
_DEATH_SECONDS = 10.0


async def kill_container(
    core: Core, request: container_pb2.KillContainerRequest
) -> container_pb2.KillContainerResponse:
    """Send a signal (default SIGKILL, which also waits for the end).

    Raises NotFoundError, InvalidArgumentError for an unknown signal, ConflictError when it does not run.
    """
    try:
        entry = core.registry.find(request.container)
    except EngineError as error:
        raise type(error)(
            f"Cannot kill container: {request.container}: {error.message}", reason=error.reason
        ) from error
    if request.signal.isdecimal() and int(request.signal) > _LAST_SIGNAL:
        raise InvalidArgumentError(
            f"Cannot kill container: {request.container}: "
            f"The linux daemon does not support signal {int(request.signal)}",
            reason="INVALID_SIGNAL",
        )
    number = signal_number(request.signal or "KILL")
    if not is_up(entry.status):
        raise ConflictError(
            f"Cannot kill container: {request.container}: Container {entry.id} is not running",
            reason="NOT_RUNNING",
        )
    if number == SIGKILL:
        await kill_to_death(core, entry)
    else:
        await send_signal(core, entry, number)
    return container_pb2.KillContainerResponse()


def stop_signal(entry: Entry) -> int:
    """Return the signal that stops a container."""
    return signal_number(entry.config.stop_signal) if entry.config.stop_signal else SIGTERM


async def send_signal(core: Core, entry: Entry, number: int, *, ends: bool = False) -> None:
    """Send a signal; one that ends it (the stop signal, any when none is set) cancels its restarts.

    A paused container gets it when it is thawed, which is done at once for such a signal. ``ends``
    tells that it is meant to end it, whatever it is.
    """
    async with entry.lock:
        ends = ends or number == SIGKILL or not entry.config.stop_signal or number == stop_signal(entry)
        if ends:
            entry.stopping = True
        entry.private.manually_stopped = True
        core.save(entry)
        if entry.status is Status.RESTARTING:
            await _cancel_restart(core, entry)
            return
        if not has_process(entry.status):
            return
        leaf = core.leaves.runtime
        request = runtime_pb2.SignalRuntimeContainerRequest(id=entry.id, signal=number)
        try:
            await leaf(leaf.stub.SignalRuntimeContainer, request)
            if ends and entry.status is Status.PAUSED:
                await leaf(
                    leaf.stub.ResumeRuntimeContainer, runtime_pb2.ResumeRuntimeContainerRequest(id=entry.id)
                )
                entry.status = Status.RUNNING
                core.save(entry)
        except (NotFoundError, ConflictError):
            pass  # it ended meanwhile; the watch tells
        except EngineError as error:
            raise type(error)(
                f"Cannot kill container: {entry.id}: {error.message}", reason=error.reason
            ) from error
        core.events.container(entry.container, "kill", signal=str(number))
    await core.store.flush()


async def wait_down(entry: Entry, seconds: float | None) -> bool:
    """Wait until a container has no process and is not between two; tell whether that came in time."""
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    while is_up(entry.status):
        exited = entry.next_exit()
        try:
            await asyncio.wait_for(exited, None if until is None else max(0.0, until - loop.time()))
        except TimeoutError:
            return not is_up(entry.status)
    # Whoever handles the end holds the lock until all is cleaned.
    async with entry.lock:
        return True


async def kill_to_death(core: Core, entry: Entry) -> None:
    """SIGKILL and wait; raises InternalError when the kernel does not let it die."""
    for _ in range(2):
        await send_signal(core, entry, SIGKILL)
        if await wait_down(entry, _DEATH_SECONDS):
            return
    raise InternalError(
        f"Could not kill running container {entry.id}, cannot remove - tried to kill container, but did not "
        "receive an exit event"
    )


async def _cancel_restart(core: Core, entry: Entry) -> None:
    """End a wait between two runs: the container is stopped now. The caller holds the lock."""
    if entry.status is not Status.RESTARTING:
        return
    if entry.restart_task is not None:
        entry.restart_task.cancel()
        entry.restart_task = None
    entry.status = after(entry.status, Event.GIVE_UP_RESTART, entry.id)
    core.save(entry)
    await core.store.flush()
    entry.tell_exit()
