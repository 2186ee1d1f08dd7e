"""ReadArchive and WriteArchive (docker cp): a worker in the container's mount namespace does the work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from trine.kit import errors
from trine.runtime import packets
from trine.runtime.attach import ready
from trine.runtime.registry import Registry
from trine.runtime.store import Store
from trine.runtime.zygote_client import ZygoteClient
from trine.v1 import runtime_pb2

_CHUNK = 256 * 1024
_KINDS: dict[str, type[errors.EngineError]] = {
    "NO_SUCH_PATH": errors.NotFoundError,
    "NOT_A_DIRECTORY": errors.InvalidArgumentError,
    "INVALID_ARCHIVE": errors.InvalidArgumentError,
    "CONFLICT": errors.InvalidArgumentError,
    "READ_ONLY": errors.PermissionDeniedError,
    "NO_SPACE": errors.ResourceExhaustedError,
}


class Archives:
    """The use cases."""

    def __init__(self, store: Store, registry: Registry, zygote: ZygoteClient) -> None:
        """Take the parts."""
        self._store = store
        self._registry = registry
        self._zygote = zygote

    async def read(
        self, target: runtime_pb2.ArchiveTarget, stat_only: bool
    ) -> AsyncIterator[runtime_pb2.ReadArchiveResponse]:
        """Yield the path's stat, then its tar. Raises NotFoundError (NO_SUCH_PATH), InvalidArgumentError."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        worker = Worker(target)
        try:
            os.set_blocking(reader, False)
            passed = [] if stat_only else [writer]
            await self._launch(worker, "stat" if stat_only else "read", passed)
            os.close(writer)
            writer = -1
            answer = await worker.hear()
            yield runtime_pb2.ReadArchiveResponse(stat=runtime_pb2.PathStat(**answer["stat"]))
            while not stat_only:
                try:
                    data = os.read(reader, _CHUNK)
                except BlockingIOError:
                    await ready(reader, writing=False)
                    continue
                if not data:
                    break
                yield runtime_pb2.ReadArchiveResponse(chunk=data)
            await worker.hear()
        finally:
            worker.close()
            for descriptor in (reader, writer):
                if descriptor >= 0:
                    os.close(descriptor)

    async def write(self, requests: AsyncIterator[runtime_pb2.WriteArchiveRequest]) -> None:
        """Unpack a tar into an existing directory.

        Raises NotFoundError, InvalidArgumentError, PermissionDeniedError (READ_ONLY), ResourceExhaustedError.
        """
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("options"):
            raise errors.InvalidArgumentError("the first message of an archive is its options")
        options = first.options
        reader, writer = os.pipe2(os.O_CLOEXEC)
        worker = Worker(options.target)
        try:
            os.set_blocking(writer, False)
            await self._launch(
                worker, "write", [reader], no_overwrite_dir_non_dir=options.no_overwrite_dir_non_dir
            )
            os.close(reader)
            reader = -1
            await worker.hear()
            # The worker ends early when it refuses the archive: its word counts then, not our broken pipe.
            with contextlib.suppress(BrokenPipeError):
                await self._feed(writer, first.chunk)
                async for request in requests:
                    await self._feed(writer, request.chunk)
            os.close(writer)
            writer = -1
            await worker.hear()
        finally:
            worker.close()
            for descriptor in (reader, writer):
                if descriptor >= 0:
                    os.close(descriptor)

    async def _feed(self, writer: int, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(writer, view) :]
            except BlockingIOError:
                await ready(writer, writing=True)

    async def _launch(self, worker: Worker, action: str, passed: list[int], **options: Any) -> None:
        """Have the zygote fork a worker for a target. Raises NotFoundError, InvalidArgumentError."""
        target = worker.target
        if "\0" in target.path:
            raise errors.InvalidArgumentError("a NUL byte in the path")
        message: dict[str, Any] = {
            "op": "archive",
            "id": target.container_id,
            "action": action,
            "path": target.path,
            **options,
        }
        record = self._registry.find(target.container_id)
        namespace = -1
        if record is not None and not record.ended.is_set() and record.state.get("pid"):
            with contextlib.suppress(OSError):
                namespace = os.open(f"/proc/{record.state['pid']}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        if namespace < 0:
            if not target.HasField("root"):
                raise errors.NotFoundError(
                    f"No such container: {target.container_id}", reason="NO_SUCH_CONTAINER"
                )
            message.update(_stopped(target), place=str(self._store.state))
        try:
            descriptors = [worker.theirs.fileno(), *passed, *([namespace] if namespace >= 0 else [])]
            await self._zygote.request(message, descriptors)
        finally:
            worker.theirs.close()
            if namespace >= 0:
                os.close(namespace)


def _stopped(target: runtime_pb2.ArchiveTarget) -> dict[str, Any]:
    """Return what a worker mounts for a container that does not run."""
    mounts = [
        {
            "destination": mount.target,
            "type": "bind",
            "source": mount.source,
            "options": ["rbind", *(["ro"] if mount.read_only else [])],
        }
        for mount in target.mounts
        if mount.kind == runtime_pb2.MOUNT_KIND_BIND
    ]
    return {
        "overlay": {
            "lower": list(target.root.lower_directories),
            "upper": target.root.upper_directory,
            "work": target.root.work_directory,
        },
        "mounts": mounts,
    }


class Worker:
    """The control socket of one worker."""

    def __init__(self, target: runtime_pb2.ArchiveTarget) -> None:
        """Open the socket."""
        self.target = target
        self.mine, self.theirs = packets.pair()
        self.mine.setblocking(False)

    async def hear(self) -> dict[str, Any]:
        """Return the worker's next word. Raises EngineError when it is an error."""
        while True:
            try:
                message, _ = packets.receive(self.mine)
                break
            except BlockingIOError:
                await ready(self.mine.fileno(), writing=False)
            except OSError:
                message = None
                break
        if message is None:
            raise errors.UnavailableError("the worker for this container's files died")
        error = message.get("error")
        if message.get("event") == "create_failed":
            error = message
        if error is not None:
            raise self._error(error)
        return message

    def _error(self, error: dict[str, Any]) -> errors.EngineError:
        reason, text = error["reason"], error["message"]
        if reason == "NO_SUCH_PATH":
            text = f"Could not find the file {self.target.path} in container {self.target.container_id}"
        elif reason == "READ_ONLY":
            text = "container rootfs is marked read-only"
        return _KINDS.get(reason, errors.InternalError)(text.replace("\n", " "), reason=reason)

    def close(self) -> None:
        """Close our ends; a worker still at work gets EPIPE and ends."""
        for end in (self.mine, self.theirs):
            with contextlib.suppress(OSError):
                end.close()
