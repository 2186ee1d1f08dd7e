"""AttachProcess: the streams of a process over gRPC, for clients that cannot pass descriptors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from trine.kit import errors
from trine.runtime import shim_client
from trine.runtime.logs import Logs
from trine.runtime.registry import Registry
from trine.runtime.shim_client import Event, ShimClient
from trine.runtime.store import Store
from trine.v1 import runtime_pb2

_CHUNK = 64 * 1024
_IN_FLIGHT = 8  # chunks read ahead of the client
Response = runtime_pb2.AttachProcessResponse


class Attacher:
    """Opens attachments."""

    def __init__(self, store: Store, registry: Registry, logs: Logs) -> None:
        """Take the parts."""
        self._store = store
        self._registry = registry
        self._logs = logs

    async def attach(
        self, requests: AsyncIterator[runtime_pb2.AttachProcessRequest]
    ) -> AsyncIterator[Response]:
        """Carry one attachment: first request the target, first response ``attached``.

        Raises InvalidArgumentError, NotFoundError, ConflictError (NOT_RUNNING).
        """
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("event") != "target":
            raise errors.InvalidArgumentError("the first message of an attachment is its target")
        session = Session(first.target, self._registry, self._store)
        try:
            log_size = await session.open()
            yield Response(attached=True)
            if first.target.logs and not first.target.exec_id and log_size:
                async for chunk in self._logs.before(first.target, log_size):
                    if chunk.stdout:
                        yield Response(stdout=chunk.stdout)
                    if chunk.stderr:
                        yield Response(stderr=chunk.stderr)
            session.listen(requests)
            async for response in session.responses():
                yield response
        finally:
            session.close()


class Session:
    """One attachment."""

    def __init__(self, target: runtime_pb2.AttachTarget, registry: Registry, store: Store) -> None:
        """Open nothing yet."""
        self._target = target
        self._record = registry.get(target.container_id)
        self._directory = str(store.state_directory(target.container_id))
        self._queue: asyncio.Queue[Response | None] = asyncio.Queue(_IN_FLIGHT)
        self._tasks: list[asyncio.Task[None]] = []
        self._descriptors: dict[str, int] = {}
        self._shim: ShimClient | None = None
        self._exit = asyncio.get_running_loop().create_future()

    async def open(self) -> int:
        """Attach to the shim; return the size of the log at that moment. Raises EngineError."""
        wanted = [name for name in ("stdin", "stdout", "stderr") if getattr(self._target, name)]
        if self._record.process.get("terminal") and not self._target.exec_id and "stderr" in wanted:
            wanted.remove("stderr")
        passed: list[int] = []
        try:
            for name in wanted:
                reader, writer = os.pipe2(os.O_CLOEXEC)
                mine, theirs = (writer, reader) if name == "stdin" else (reader, writer)
                os.set_blocking(mine, False)
                self._descriptors[name] = mine
                passed.append(theirs)
            try:
                self._shim = ShimClient(shim_client.connect(self._directory), self._event)
            except OSError:
                raise errors.ConflictError(
                    f"Container {self._record.id} is not running", reason="NOT_RUNNING"
                ) from None
            flags: dict[str, Any] = dict.fromkeys(wanted, True)
            answer = await self._shim.request("attach", passed, process=self._target.exec_id, **flags)
        finally:
            for descriptor in passed:
                os.close(descriptor)
        return int(answer.get("log_size", 0))

    def _event(self, event: Event) -> None:
        if self._exit.done():
            return
        if event.get("event") == "exit":
            self._exit.set_result(int(event["code"]))
        elif event.get("event") == "closed":
            code = self._record.state.get("exit_code")
            self._exit.set_result(code if self._record.ended.is_set() else None)

    def listen(self, requests: AsyncIterator[runtime_pb2.AttachProcessRequest]) -> None:
        """Start to carry both ways."""
        loop = asyncio.get_running_loop()
        outputs = [
            loop.create_task(self._read(name)) for name in ("stdout", "stderr") if name in self._descriptors
        ]
        self._tasks += [
            *outputs,
            loop.create_task(self._write(requests)),
            loop.create_task(self._end(outputs)),
        ]

    async def responses(self) -> AsyncIterator[Response]:
        """Yield output, then the exit code."""
        while (response := await self._queue.get()) is not None:
            yield response
        code = self._exit.result()
        if code is None:
            raise errors.UnavailableError(f"lost the shim of container {self._record.id}")
        yield Response(exit_code=code)

    async def _end(self, outputs: list[asyncio.Task[None]]) -> None:
        await self._exit
        await asyncio.gather(*outputs)
        await self._queue.put(None)

    async def _read(self, name: str) -> None:
        descriptor = self._descriptors[name]
        while True:
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                await ready(descriptor, writing=False)
                continue
            if not data:
                return
            await self._queue.put(Response(stdout=data) if name == "stdout" else Response(stderr=data))

    async def _write(self, requests: AsyncIterator[runtime_pb2.AttachProcessRequest]) -> None:
        async for request in requests:
            kind = request.WhichOneof("event")
            if kind == "stdin" and "stdin" in self._descriptors:
                await self._feed(request.stdin)
            elif kind == "stdin_closed":
                self._close_input()
            elif kind == "resize" and self._shim is not None:
                try:
                    await self._shim.request(
                        "resize",
                        process=self._target.exec_id,
                        rows=request.resize.rows,
                        columns=request.resize.columns,
                    )
                except errors.EngineError:
                    pass  # it has just ended

    async def _feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view and "stdin" in self._descriptors:
            try:
                view = view[os.write(self._descriptors["stdin"], view) :]
            except BlockingIOError:
                await ready(self._descriptors["stdin"], writing=True)
            except OSError:
                self._close_input()

    def _close_input(self) -> None:
        descriptor = self._descriptors.pop("stdin", -1)
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Detach, whatever state it is in."""
        for task in self._tasks:
            task.cancel()
        if self._shim is not None:
            self._shim.close()
        loop = asyncio.get_running_loop()
        for descriptor in self._descriptors.values():
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            os.close(descriptor)
        self._descriptors = {}


async def ready(descriptor: int, *, writing: bool) -> None:
    """Wait until a descriptor can be read or written."""
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()

    def wake() -> None:
        if not waiting.done():
            waiting.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(descriptor, wake)
    try:
        await waiting
    finally:
        remove(descriptor)
