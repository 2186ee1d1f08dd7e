"""ReadLog: what a container wrote, with tail, since, until, timestamps, and on as it grows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable

from trine.kit import errors
from trine.linux import inotify
from trine.runtime import log_files
from trine.runtime.registry import Record, Registry
from trine.runtime.store import Store
from trine.v1 import runtime_pb2

_CHUNK = 512 * 1024
_EVENTS = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO
Response = runtime_pb2.ReadLogResponse


class DirectoryWatch:
    """One inotify instance for all followed logs (there are few to be had, 128 by default)."""

    def __init__(self) -> None:
        """Open nothing yet: most services of a test never follow a log."""
        self._descriptor = -1
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._numbers: dict[str, int] = {}

    def add(self, directory: str) -> asyncio.Event:
        """Return an event that is set whenever a file in the directory changes. Raises OSError."""
        if self._descriptor < 0:
            self._descriptor = inotify.open_inotify()
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)
        number = inotify.add_watch(self._descriptor, directory, _EVENTS)
        self._numbers[directory] = number
        event = asyncio.Event()
        self._waiting.setdefault(number, set()).add(event)
        return event

    def remove(self, directory: str, event: asyncio.Event) -> None:
        """Forget an event; the last one of a directory ends its watch."""
        number = self._numbers.get(directory, -1)
        waiting = self._waiting.get(number, set())
        waiting.discard(event)
        if not waiting and number >= 0:
            self._waiting.pop(number, None)
            self._numbers.pop(directory, None)
            inotify.remove_watch(self._descriptor, number)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, 64 * 1024)
        except BlockingIOError:
            return
        place = 0
        while place + 16 <= len(data):
            number = int.from_bytes(data[place : place + 4], "little", signed=True)
            place += 16 + int.from_bytes(data[place + 12 : place + 16], "little")
            for event in self._waiting.get(number, ()):
                event.set()
            if number < 0:  # the queue overflowed: anything may have changed
                for events in self._waiting.values():
                    for event in events:
                        event.set()


class Logs:
    """The use case."""

    def __init__(self, store: Store, registry: Registry) -> None:
        """Take the parts."""
        self._store = store
        self._registry = registry
        self._watch = DirectoryWatch()

    async def read(self, request: runtime_pb2.ReadLogRequest) -> AsyncIterator[Response]:
        """Yield the log. Raises NotFoundError, ConflictError (a driver that can't be read)."""
        path = self._path(request.container_id)
        record = self._registry.find(request.container_id)
        directory = os.path.dirname(path)
        changed = self._watch.add(directory) if request.follow and record is not None else None
        try:
            try:
                reader = await asyncio.to_thread(log_files.open_tail, path, request.tail)
            except FileNotFoundError:
                return
            try:
                async for response in self._follow(reader, request, record, changed):
                    yield response
            finally:
                reader.close()
        finally:
            if changed is not None:
                self._watch.remove(directory, changed)

    def _path(self, container_id: str) -> str:
        record = self._registry.find(container_id)
        if record is not None:
            if not record.log_path:
                raise errors.ConflictError(
                    "configured logging driver does not support reading", reason="LOG_NOT_READABLE"
                )
            return record.log_path
        bundle = self._store.bundle(os.path.basename(container_id))
        if not bundle.is_dir() or not container_id:
            raise errors.NotFoundError(f"No such container: {container_id}", reason="NO_SUCH_CONTAINER")
        return str(bundle / f"{container_id}-json.log")

    async def _follow(
        self,
        reader: log_files.Reader,
        request: runtime_pb2.ReadLogRequest,
        record: Record | None,
        changed: asyncio.Event | None,
    ) -> AsyncIterator[Response]:
        format_entries = Formatter(request)
        ended = None
        if changed is not None and record is not None:
            ended = asyncio.get_running_loop().create_task(record.ended.wait())
        try:
            while True:
                # Asked before reading: when it had ended then, what we read now is all there is.
                over = ended is None or ended.done()
                if changed is not None:
                    changed.clear()
                while lines := reader.read():
                    for response in format_entries(lines):
                        yield response
                    if format_entries.past_end:
                        return
                    await asyncio.sleep(0)
                if over or changed is None or ended is None:
                    return
                waiting = asyncio.get_running_loop().create_task(changed.wait())
                await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            if ended is not None:
                ended.cancel()

    async def before(self, target: runtime_pb2.AttachTarget, size: int) -> AsyncIterator[Response]:
        """Yield what was logged up to a size of the present file, for an attachment."""
        path = self._path(target.container_id)
        format_entries = Formatter(
            runtime_pb2.ReadLogRequest(stdout=target.stdout, stderr=target.stderr, tail=-1)
        )
        for name in log_files.generations(path):
            try:
                reader = log_files.Reader(path, name)
            except FileNotFoundError:
                continue
            try:
                limit = size if name == path else os.path.getsize(name)
                while lines := reader.read(limit):
                    for response in format_entries(lines):
                        yield response
            finally:
                reader.close()


class Formatter:
    """Turns lines of the file into responses; order between the streams is kept."""

    def __init__(self, request: runtime_pb2.ReadLogRequest) -> None:
        """Take what is wanted. Neither stream asked for means both."""
        both = not request.stdout and not request.stderr
        self._wanted = {"stdout": request.stdout or both, "stderr": request.stderr or both}
        self._since = request.since_unix_nanos
        self._until = request.until_unix_nanos
        self._timestamps = request.timestamps
        self._details = request.details
        self.past_end = False

    def __call__(self, lines: Iterable[bytes]) -> list[Response]:
        """Return the responses of some lines."""
        result: list[Response] = []
        stream = ""
        texts: list[bytes] = []
        size = 0

        def flush() -> None:
            if texts:
                joined = b"".join(texts)
                result.append(Response(stdout=joined) if stream == "stdout" else Response(stderr=joined))

        for line in lines:
            entry = log_files.parse(line) if line else None
            if entry is None or not self._wanted.get(entry.stream) or not self._in_time(entry):
                continue
            if entry.stream != stream or size > _CHUNK:
                flush()
                stream, texts, size = entry.stream, [], 0
            text = entry.text
            if self._details:
                text = entry.attributes.encode() + b" " + text
            if self._timestamps:
                text = log_files.fixed_time(entry.time).encode() + b" " + text
            texts.append(text)
            size += len(text)
        flush()
        return result

    def _in_time(self, entry: log_files.Entry) -> bool:
        if not self._since and not self._until:
            return True
        when = log_files.parse_time(entry.time)
        if self._until and when > self._until:
            self.past_end = True
            return False
        return when >= self._since
