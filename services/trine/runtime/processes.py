"""Execs: further processes of a running container."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Any

from trine.kit import errors
from trine.linux import capabilities
from trine.runtime import spec
from trine.runtime.failure import in_dockers_words
from trine.runtime.registry import Record, Registry
from trine.v1 import runtime_pb2

_ID = re.compile(r"[0-9a-f]{64}")
_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "
_PLAIN = ("NO_SUCH_USER", "NO_SUCH_GROUP", "INVALID_USER", "NOT_RUNNING", "PAUSED", "ALREADY_RUN")


class Processes:
    """The use cases on execs. Their state lives in the shim, so it outlives this service."""

    def __init__(self, registry: Registry) -> None:
        """Take the registry."""
        self._registry = registry
        self._capabilities = capabilities.bounding()

    async def create(self, container_id: str, exec_id: str, process: runtime_pb2.ProcessSpec) -> None:
        """Register a process. Raises NotFoundError, ConflictError, InvalidArgumentError."""
        if not _ID.fullmatch(exec_id):
            raise errors.InvalidArgumentError(f"invalid exec id: {exec_id!r}")
        if not process.args:
            raise errors.InvalidArgumentError("No exec command specified", reason="NO_COMMAND")
        if any("\0" in text for text in (*process.args, *process.env, process.working_directory)):
            raise errors.InvalidArgumentError("a NUL byte in the command or its environment")
        record = self._registry.get(container_id)
        content = spec.process_spec(process, {"process": record.process}, self._capabilities)
        content["open_stdin"] = process.open_stdin
        content["stdin_once"] = process.stdin_once
        await self._ask(record, "exec_create", exec_id, [_memory_file(content)])

    async def start(self, container_id: str, exec_id: str) -> int:
        """Run a registered process; return its number on the host.

        Raises InvalidArgumentError (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE), NotFoundError, ConflictError.
        """
        record = self._registry.get(container_id)
        try:
            answer = await self._ask(record, "exec_start", exec_id)
        except errors.EngineError as error:
            if error.reason in _PLAIN or isinstance(error, errors.NotFoundError):
                raise
            raise type(error)(
                _PREFIX + in_dockers_words(error.message), reason=error.reason, metadata=error.metadata
            ) from None
        # Known from here on, so that its end is told even when the shim is killed.
        record.execs.setdefault(exec_id, asyncio.get_running_loop().create_future())
        return int(answer["pid"])

    async def get(self, container_id: str, exec_id: str) -> runtime_pb2.RuntimeProcess:
        """Return a process's state. Raises NotFoundError."""
        record = self._registry.get(container_id)
        ended = record.execs.get(exec_id)
        if ended is not None and ended.done():
            return runtime_pb2.RuntimeProcess(exec_id=exec_id, exit_code=ended.result(), started=True)
        try:
            answer = await self._ask(record, "exec_state", exec_id)
        except errors.ConflictError:
            raise errors.NotFoundError(f"No such exec instance: {exec_id}", reason="NO_SUCH_EXEC") from None
        running = answer["state"] == "running"
        return runtime_pb2.RuntimeProcess(
            exec_id=exec_id,
            running=running,
            process_id=answer["pid"] if running else 0,
            exit_code=answer["exit_code"],
            started=bool(answer["started_at"]),
        )

    async def wait(self, container_id: str, exec_id: str) -> runtime_pb2.RuntimeProcess:
        """Return a process once it has ended. Raises NotFoundError."""
        record = self._registry.get(container_id)
        waiting = record.execs.get(exec_id)
        if waiting is None:
            # Ask for the end before the state: whatever comes in between is not missed.
            waiting = asyncio.get_running_loop().create_future()
            record.execs[exec_id] = waiting
            try:
                state = await self._ask(record, "exec_state", exec_id)
            except errors.EngineError:
                if not waiting.done():
                    record.execs.pop(exec_id, None)
                    raise errors.NotFoundError(
                        f"No such exec instance: {exec_id}", reason="NO_SUCH_EXEC"
                    ) from None
            else:
                if state["state"] == "stopped" and not waiting.done():
                    waiting.set_result(state["exit_code"])
        code = await asyncio.shield(waiting)
        return runtime_pb2.RuntimeProcess(exec_id=exec_id, exit_code=code, started=True)

    async def _ask(
        self, record: Record, operation: str, exec_id: str, descriptors: list[int] | None = None
    ) -> dict[str, Any]:
        try:
            if record.shim is None or record.ended.is_set():
                raise errors.ConflictError(f"Container {record.id} is not running", reason="NOT_RUNNING")
            return await record.shim.request(operation, descriptors, process=exec_id)
        finally:
            for descriptor in descriptors or ():
                os.close(descriptor)


def _memory_file(content: dict[str, Any]) -> int:
    """Return a descriptor of an anonymous file: a packet may be too small for an environment."""
    descriptor = os.memfd_create("trine-exec", os.MFD_CLOEXEC)
    view = memoryview(json.dumps(content).encode("utf-8", "surrogateescape"))
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor
