"""The containers this service knows: their last state, their shims, and who watches.

A record follows its shim's events. ``adopt`` finds what was there before this service: shims that
answer, ends written meanwhile, and shims that were killed (their containers died with them).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any

from trine.kit.errors import DeadlineExceededError, EngineError, NotFoundError
from trine.kit.logs import get_logger
from trine.runtime import shim_client
from trine.runtime.cgroups.group import Group
from trine.runtime.cgroups.layout import Layout
from trine.runtime.shim_client import Event, ShimClient
from trine.runtime.store import Store
from trine.v1 import runtime_pb2

KILLED = 128 + signal.SIGKILL
LOST = 255  # ended while nobody looked, or with the machine: as Docker
_ADOPT_SECONDS = 3.0
_NEVER = 3e7
_STATES = {
    "created": runtime_pb2.RUNTIME_STATE_CREATED,
    "running": runtime_pb2.RUNTIME_STATE_RUNNING,
    "paused": runtime_pb2.RUNTIME_STATE_PAUSED,
    "stopped": runtime_pb2.RUNTIME_STATE_STOPPED,
}
_QUEUE_LIMIT = 100_000
Watcher = asyncio.Queue[runtime_pb2.WatchRuntimeContainersResponse | None]
_EXECS_KEPT = 512  # ended ones of a container, as in its shim


class Record:
    """One container."""

    def __init__(self, container_id: str, config: dict[str, Any], group: Group) -> None:
        """Take a container that has no shim yet."""
        self.id = container_id
        self.group = group
        private = config.get("trine") or {}
        self.request_digest: str = private.get("request_digest", "")
        self.log_path: str = (private.get("log") or {}).get("path", "")
        self.process: dict[str, Any] = config["process"]
        self.state: Event = {"state": "created", "pid": 0, "never_started": True}
        self.shim: ShimClient | None = None
        self.ended = asyncio.Event()
        self.created: asyncio.Future[Event] | None = None
        self.execs: dict[str, asyncio.Future[int]] = {}
        self.usage: Any = None  # the last sampler of WatchUsage

    @property
    def running(self) -> bool:
        """Whether the process runs (or is paused)."""
        return self.state["state"] in ("running", "paused")


class Registry:
    """All records."""

    def __init__(self, store: Store, layout: Layout) -> None:
        """Start empty."""
        self._store = store
        self.layout = layout
        self._records: dict[str, Record] = {}
        self._watchers: set[Watcher] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._log = get_logger("runtime")

    def lock(self, container_id: str) -> asyncio.Lock:
        """Return the lock that orders create, start and delete of one container."""
        return self._locks.setdefault(container_id, asyncio.Lock())

    def forget_lock(self, container_id: str) -> None:
        """Drop the lock of a container there is not."""
        if container_id not in self._records:
            self._locks.pop(container_id, None)

    def find(self, container_id: str) -> Record | None:
        """Return a record, None when there is none."""
        return self._records.get(container_id)

    def get(self, container_id: str) -> Record:
        """Return a record. Raises NotFoundError."""
        record = self._records.get(container_id)
        if record is None:
            raise NotFoundError(f"No such container: {container_id}", reason="NO_SUCH_CONTAINER")
        return record

    def all(self) -> list[Record]:
        """Return all records."""
        return list(self._records.values())

    def add(self, container_id: str, config: dict[str, Any]) -> Record:
        """Make a record for a container being created."""
        record = Record(container_id, config, Group(self.layout, config["linux"]["cgroupsPath"]))
        self._records[container_id] = record
        return record

    def remove(self, record: Record) -> None:
        """Forget a container and tell watchers."""
        if self._records.get(record.id) is record:
            del self._records[record.id]
            self._locks.pop(record.id, None)
            self.tell(runtime_pb2.RUNTIME_EVENT_KIND_DELETED, record)

    def discard(self, record: Record) -> None:
        """Forget a container whose create failed: nobody was told of it."""
        self._records.pop(record.id, None)
        if record.shim is not None:
            record.shim.close()

    # Shims

    def attach(self, record: Record, peer: Any) -> ShimClient:
        """Follow a shim through an open connection."""
        record.shim = ShimClient(peer, self._listener(record))
        return record.shim

    def _listener(self, record: Record) -> Callable[[Event], None]:
        return lambda event: self._event(record, event)

    def _event(self, record: Record, event: Event) -> None:
        kind = event.get("event")
        if "state" in event:
            record.state = {k: v for k, v in event.items() if k not in ("event", "n", "warnings")}
        if kind in ("created", "create_failed") and record.created is not None:
            if not record.created.done():
                record.created.set_result(event)
        elif kind == "started":
            self.tell(runtime_pb2.RUNTIME_EVENT_KIND_STARTED, record)
        elif kind == "exited":
            record.ended.set()
            self._end_execs(record)
            self.tell(runtime_pb2.RUNTIME_EVENT_KIND_EXITED, record)
        elif kind == "oom":
            self.tell(runtime_pb2.RUNTIME_EVENT_KIND_OOM, record)
        elif kind == "exec_exited":
            self._exec_ended(record, str(event["process"]), int(event["code"]))
        elif kind == "closed":
            self._shim_gone(record)

    def _exec_ended(self, record: Record, exec_id: str, code: int) -> None:
        waiting = record.execs.setdefault(exec_id, asyncio.get_running_loop().create_future())
        if not waiting.done():
            waiting.set_result(code)
        if len(record.execs) > _EXECS_KEPT:
            ended = [key for key, known in record.execs.items() if known.done()]
            for key in ended[: len(record.execs) - _EXECS_KEPT]:
                del record.execs[key]
        self.tell(runtime_pb2.RUNTIME_EVENT_KIND_EXEC_EXITED, record, exec_id, code)

    def _end_execs(self, record: Record) -> None:
        for waiting in record.execs.values():
            if not waiting.done():
                waiting.set_result(KILLED)

    def _shim_gone(self, record: Record) -> None:
        record.shim = None
        if record.created is not None and not record.created.done():
            record.created.set_result(
                {"event": "create_failed", "reason": "", "message": "the container's shim died"}
            )
            return
        if record.ended.is_set() or self._records.get(record.id) is not record:
            return
        self._log.warning("shim is gone", container=record.id)
        self._take_end(record)
        self.tell(runtime_pb2.RUNTIME_EVENT_KIND_EXITED, record)

    def _take_end(self, record: Record, code: int = KILLED) -> None:
        """Take the end of a container without a shim: as written, else as kill -9 (its init dies with it).

        ``code`` is what is told when nobody wrote it.
        """
        found = self._store.exit(record.id)
        if found is None:
            with contextlib.suppress(OSError):
                record.group.kill()
            found = {
                **record.state,
                "id": record.id,
                "state": "stopped",
                "pid": 0,
                "exit_code": code,
                "finished_at": time.time_ns(),
                "error": "",
            }
            with contextlib.suppress(OSError):
                self._store.write_exit(record.id, found)
        record.state = found
        record.ended.set()
        self._end_execs(record)

    async def adopt(self) -> int:
        """Take over everything that is there; return how many containers live. Raises OSError.

        All at once: one shim that does not answer must not keep the others, or the service, from serving.
        """
        await asyncio.gather(*(self._destroy_left_over(found) for found in self._store.left_over()))
        return sum(await asyncio.gather(*(self._adopt(found) for found in self._store.known())))

    async def _adopt(self, container_id: str) -> bool:
        """Take over one container; tell whether it lives."""
        config = self._store.config(container_id)
        if config is None or not isinstance((config.get("linux") or {}).get("cgroupsPath"), str):
            # It cannot be given execs or be deleted as it was made: end it, so that it can be made anew.
            self._log.error("config.json is damaged: container ended", container=container_id)
            await self._destroy_left_over(container_id)
            return False
        record = self.add(container_id, config)
        try:
            peer = shim_client.connect(str(self._store.state_directory(container_id)))
        except OSError:
            # Its socket is there when it was killed, and not (or an older one) after a boot.
            alive_since_boot = self._store.has_socket_since_boot(container_id)
            self._take_end(record, KILLED if alive_since_boot else LOST)
            return False
        shim = self.attach(record, peer)
        asking = asyncio.ensure_future(shim.request("watch", seconds=_NEVER))
        await asyncio.wait({asking}, timeout=_ADOPT_SECONDS)
        if not asking.done():
            self._log.error("a shim does not answer", container=container_id)
            record.state = {"state": "running", "pid": 0}  # it held its socket: what it knows comes later
            asking.add_done_callback(lambda done: self._answered(record, done))
            return True
        return self._answered(record, asking)

    def _answered(self, record: Record, asking: asyncio.Future[Event]) -> bool:
        """Take a shim's answer to "watch"; tell whether its container lives."""
        if asking.cancelled() or asking.exception() is not None:
            if not record.ended.is_set():
                self._take_end(record)
                self.tell(runtime_pb2.RUNTIME_EVENT_KIND_EXITED, record)
            return False
        record.state = asking.result()
        if record.state["state"] == "stopped":
            record.ended.set()
            self.tell(runtime_pb2.RUNTIME_EVENT_KIND_EXITED, record)
        return not record.ended.is_set()

    async def _destroy_left_over(self, container_id: str) -> None:
        """End a shim nobody owns: its create never came to an end, or its delete did half."""
        directory = str(self._store.state_directory(container_id))
        try:
            shim = ShimClient(shim_client.connect(directory), lambda _event: None)
        except OSError:
            self._store.remove(container_id, keep_data=True)
            return
        with contextlib.suppress(EngineError, TimeoutError):
            try:
                await shim.request("destroy", seconds=_ADOPT_SECONDS)
            except DeadlineExceededError:
                shim_client.end(directory)
            await asyncio.wait_for(shim.closed.wait(), 5)
        shim.close()
        self._store.remove(container_id, keep_data=True)

    # Watching

    def watch(self) -> Watcher:
        """Return a queue that begins with what there is, then SYNCED, then every change; None is its end."""
        queue: Watcher = asyncio.Queue(_QUEUE_LIMIT)
        for record in self._records.values():
            if record.created is None:
                queue.put_nowait(_message(runtime_pb2.RUNTIME_EVENT_KIND_EXISTING, self.describe(record)))
        queue.put_nowait(
            runtime_pb2.WatchRuntimeContainersResponse(kind=runtime_pb2.RUNTIME_EVENT_KIND_SYNCED)
        )
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: Watcher) -> None:
        """Forget a queue."""
        self._watchers.discard(queue)

    def tell(
        self, kind: runtime_pb2.RuntimeEventKind.ValueType, record: Record, exec_id: str = "", code: int = 0
    ) -> None:
        """Give an event to every watcher; one that does not read is cut off, not waited for.

        It finds the end of its queue when it reads again, and starts over.
        """
        message = _message(kind, self.describe(record), exec_id, code)
        for queue in list(self._watchers):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self._watchers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    def describe(self, record: Record) -> runtime_pb2.RuntimeContainer:
        """Return a record as a message."""
        state = record.state
        stopped = state["state"] == "stopped"
        return runtime_pb2.RuntimeContainer(
            id=record.id,
            state=_STATES[state["state"]],
            process_id=state.get("pid", 0),
            exit_code=state.get("exit_code", 0) if stopped else 0,
            started_at_unix_nanos=state.get("started_at", 0),
            finished_at_unix_nanos=state.get("finished_at", 0),
            oom_killed=state.get("oom_killed", False),
            log_path=record.log_path,
            managed_directory=str(self._store.bundle(record.id)),
            never_started=stopped and state.get("never_started", False),
            error=state.get("error", ""),
        )


def _message(
    kind: runtime_pb2.RuntimeEventKind.ValueType,
    container: runtime_pb2.RuntimeContainer,
    exec_id: str = "",
    code: int = 0,
) -> runtime_pb2.WatchRuntimeContainersResponse:
    return runtime_pb2.WatchRuntimeContainersResponse(
        kind=kind, container=container, exec_id=exec_id, exec_exit_code=code
    )
