"""Stop a container: its stop signal, then SIGKILL after a while."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.kill import kill_to_death, send_signal, stop_signal, wait_down
from trine.engine.registry import Entry
from trine.engine.states import is_up
from trine.engine.validate import signal_number
from trine.v1 import container_pb2

DEFAULT_TIMEOUT_SECONDS = 10


async def stop_container(
    core: Core, request: container_pb2.StopContainerRequest
) -> container_pb2.StopContainerResponse:
    """Stop a container; one that does not run is left alone.

    Raises NotFoundError, InvalidArgumentError for an unknown signal.
    """
    entry = core.registry.find(request.container)
    seconds = timeout_of(entry, request.timeout_seconds, request.timeout_set)
    await stop_entry(core, entry, seconds, request.signal)
    return container_pb2.StopContainerResponse()


def timeout_of(entry: Entry, seconds: int, given: bool) -> float | None:
    """Return how long to wait after the stop signal; None is for ever."""
    if not given:
        seconds = (
            entry.config.stop_timeout_seconds if entry.config.stop_timeout_set else DEFAULT_TIMEOUT_SECONDS
        )
    return None if seconds < 0 else float(seconds)


async def stop_entry(core: Core, entry: Entry, seconds: float | None, signal: str = "") -> None:
    """Stop one by ``signal`` ("": its own); returns when it is down and cleaned.

    Raises InvalidArgumentError for an unknown signal.
    """
    number = signal_number(signal) if signal else stop_signal(entry)
    if not is_up(entry.status):
        return
    await send_signal(core, entry, number, ends=True)
    if not await wait_down(entry, seconds):
        core.log.info("did not stop in time, killing", container=entry.id[:12], seconds=seconds)
        await kill_to_death(core, entry)
    core.events.container(entry.container, "stop")
