"""Following what the runtime says: ends, kills for lack of memory, ends of execs."""

from __future__ import annotations

import asyncio

from trine.engine.core import Core
from trine.engine.execs import exec_ended
from trine.engine.exits import handle_exit
from trine.engine.reconcile import settle_runtime
from trine.kit.errors import EngineError
from trine.v1 import runtime_pb2


async def watch_runtime(core: Core) -> None:
    """Follow the runtime's events for ever; after a break everything is compared anew."""
    leaf = core.leaves.runtime
    while not core.closing:
        existing: dict[str, runtime_pb2.RuntimeContainer] = {}
        try:
            call = leaf.stub.WatchRuntimeContainers(runtime_pb2.WatchRuntimeContainersRequest())
            async for event in leaf.stream(call):
                if event.kind == runtime_pb2.RUNTIME_EVENT_KIND_EXISTING:
                    existing[event.container.id] = event.container
                elif event.kind == runtime_pb2.RUNTIME_EVENT_KIND_SYNCED:
                    await core.recovered.wait()
                    core.spawn(settle_runtime(core, existing), "settle runtime")
                else:
                    _on_event(core, event)
        except EngineError as error:
            core.log.debug("runtime watch broke", error=error.message)
        await asyncio.sleep(0.1)


def _on_event(core: Core, event: runtime_pb2.WatchRuntimeContainersResponse) -> None:
    entry = core.registry.get(event.container.id)
    if entry is None:
        return
    if event.kind == runtime_pb2.RUNTIME_EVENT_KIND_EXITED:
        core.spawn(handle_exit(core, entry, event.container), f"exit {entry.id[:12]}")
    elif event.kind == runtime_pb2.RUNTIME_EVENT_KIND_OOM:
        entry.container.state.oom_killed = True
        core.events.container(entry.container, "oom")
    elif event.kind == runtime_pb2.RUNTIME_EVENT_KIND_EXEC_EXITED:
        execution = core.execs.get(event.exec_id)
        if execution is not None and not execution.ended.is_set():
            exec_ended(core, entry, execution, event.exec_exit_code)
