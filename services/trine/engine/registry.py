"""Container records in memory: found by id, name or unique prefix, each with its own lock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from trine.engine.states import Status
from trine.kit.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from trine.v1 import container_pb2, network_pb2, runtime_pb2

_STATUS: dict[Status, container_pb2.ContainerStatus.ValueType] = {
    Status.CREATED: container_pb2.CONTAINER_STATUS_CREATED,
    Status.RUNNING: container_pb2.CONTAINER_STATUS_RUNNING,
    Status.PAUSED: container_pb2.CONTAINER_STATUS_PAUSED,
    Status.RESTARTING: container_pb2.CONTAINER_STATUS_RESTARTING,
    Status.REMOVING: container_pb2.CONTAINER_STATUS_REMOVING,
    Status.EXITED: container_pb2.CONTAINER_STATUS_EXITED,
    Status.DEAD: container_pb2.CONTAINER_STATUS_DEAD,
}
_BY_NUMBER = {number: status for status, number in _STATUS.items()}


@dataclass
class Private:
    """What the engine remembers of a container besides what people see; kept in the store."""

    manually_stopped: bool = False  # stop or kill was the last word: unless-stopped stays down
    filled: bool = False  # its volumes got the image's files; not again
    links: dict[str, str] = field(default_factory=dict)  # alias to container id (legacy --link)
    shares: dict[str, str] = field(default_factory=dict)  # "network", "pid", "ipc" to container id
    execs: dict[str, str] = field(
        default_factory=dict
    )  # id to CreateExecRequest (base 64) of what runs in it


@dataclass
class Prepared:
    """What stands in network and runtime for a container that was prepared."""

    sandbox: network_pb2.Sandbox
    process_id: int
    warnings: list[str]
    timer: asyncio.TimerHandle | None = None


@dataclass
class Exec:
    """A process registered to run in a container."""

    id: str
    container_id: str
    request: container_pb2.CreateExecRequest
    started: bool = False
    running: bool = False
    exit_code: int = 0
    process_id: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Entry:
    """One container: its record, and what is going on with it.

    ``lock`` is held by whoever changes the state; nobody holds it while waiting for a process to end.
    """

    def __init__(self, container: container_pb2.Container, private: Private | None = None) -> None:
        """Keep the record."""
        self.container = container
        self.private = private or Private()
        self.lock = asyncio.Lock()
        self.prepared: Prepared | None = None
        self.removing = False
        self.removed = asyncio.Event()
        self.stopping = False  # the end that comes is wanted: no restart
        self.keep_after_exit = False  # restart of a --rm container: not removed between
        self.restart_delay_seconds = 0.0
        self.restart_task: asyncio.Task[None] | None = None
        self.health_task: asyncio.Task[None] | None = None
        self._exit_waiters: set[asyncio.Future[tuple[int, str]]] = set()
        self._removal_waiters: set[asyncio.Future[str]] = set()

    @property
    def id(self) -> str:
        """Return the 64 hex digits."""
        return self.container.id

    @property
    def name(self) -> str:
        """Return the name without slash."""
        return self.container.name

    @property
    def status(self) -> Status:
        """Return the state."""
        return _BY_NUMBER.get(self.container.state.status, Status.CREATED)

    @status.setter
    def status(self, status: Status) -> None:
        self.container.state.status = _STATUS[status]

    @property
    def config(self) -> container_pb2.ContainerConfig:
        """Return the effective configuration."""
        return self.container.config

    def next_exit(self) -> asyncio.Future[tuple[int, str]]:
        """Return a future of (exit code, error) of the next end."""
        future: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._exit_waiters.add(future)
        future.add_done_callback(self._exit_waiters.discard)
        return future

    def tell_exit(self) -> None:
        """Wake whoever waits for an end."""
        state = self.container.state
        for future in list(self._exit_waiters):
            if not future.done():
                future.set_result((state.exit_code, state.error))

    def next_removal(self) -> asyncio.Future[str]:
        """Return a future of what the next removal fails for, empty when the container is gone."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.removed.is_set():
            future.set_result("")
            return future
        self._removal_waiters.add(future)
        future.add_done_callback(self._removal_waiters.discard)
        return future

    def tell_removal(self, error: str) -> None:
        """Wake whoever waits for the removal: it is gone, or why it is not."""
        if not error:
            self.removed.set()
        for future in list(self._removal_waiters):
            if not future.done():
                future.set_result(error)

    def runtime_state(self) -> runtime_pb2.RuntimeState.ValueType:
        """Return the runtime's word for the state, for comparisons in reconcile."""
        if self.status is Status.PAUSED:
            return runtime_pb2.RUNTIME_STATE_PAUSED
        if self.status is Status.RUNNING:
            return runtime_pb2.RUNTIME_STATE_RUNNING
        return runtime_pb2.RUNTIME_STATE_STOPPED


def dump_private(private: Private) -> str:
    """Return the text the store keeps."""
    return json.dumps(asdict(private), separators=(",", ":"))


def load_private(text: str) -> Private:
    """Return what a text holds; names of a later version are ignored."""
    known = Private.__dataclass_fields__
    return Private(**{key: value for key, value in json.loads(text or "{}").items() if key in known})


class Registry:
    """All containers; belongs to the event loop's thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        self.in_flight: set[str] = set()  # ids being created or built: theirs in the leaves is no rubbish

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def all(self) -> list[Entry]:
        """Return all entries, newest first."""
        return sorted(
            self._entries.values(), key=lambda entry: entry.container.created_at_unix_nanos, reverse=True
        )

    def get(self, container_id: str) -> Entry | None:
        """Return the entry of a full id, or None."""
        return self._entries.get(container_id)

    def reserve(self, name: str, container_id: str) -> None:
        """Take a name for an id; raises AlreadyExistsError with Docker's text."""
        holder = self._names.get(name)
        if holder is not None and holder != container_id:
            raise AlreadyExistsError(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name.",
                reason="NAME_IN_USE",
                metadata={"name": name, "container_id": holder},
            )
        self._names[name] = container_id

    def is_taken(self, name: str) -> bool:
        """Tell whether a name is in use."""
        return name in self._names

    def release(self, name: str, container_id: str) -> None:
        """Give a name back when it is that id's."""
        if self._names.get(name) == container_id:
            del self._names[name]

    def add(self, entry: Entry) -> None:
        """Make an entry visible; its name must be reserved or free."""
        self.reserve(entry.name, entry.id)
        self._entries[entry.id] = entry

    def remove(self, entry: Entry) -> None:
        """Forget an entry and its name."""
        self._entries.pop(entry.id, None)
        self.release(entry.name, entry.id)

    def find(self, reference: str) -> Entry:
        """Return the entry of a full id, a name (with or without slash) or a unique id prefix.

        Raises NotFoundError or, for several, InvalidArgumentError.
        """
        entry = self._entries.get(reference)
        if entry is not None:
            return entry
        named = self._names.get(reference.removeprefix("/"))
        if named is not None and named in self._entries:
            return self._entries[named]
        parent, slash, alias = reference.removeprefix("/").partition("/")
        if slash and parent in self._names and self._names[parent] in self._entries:
            linked = self._entries[self._names[parent]].private.links.get(alias, "")
            if linked in self._entries:  # a legacy link is a name too: "web/db"
                return self._entries[linked]
        found = [e for key, e in self._entries.items() if reference and key.startswith(reference)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidArgumentError(
                f"Multiple IDs found with provided prefix: {reference}", reason="AMBIGUOUS_ID"
            )
        raise no_such_container(reference)


def no_such_container(reference: str) -> NotFoundError:
    """Return the error for a container that is not there."""
    shown = reference.splitlines()[0] if reference else ""
    return NotFoundError(f"No such container: {shown}", reason="NO_SUCH_CONTAINER")
