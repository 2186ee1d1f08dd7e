"""What can be done to a container: one method a use case."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trine.kit import errors
from trine.kit.logs import get_logger
from trine.linux import capabilities, seccomp
from trine.linux.seccomp import FilterError
from trine.runtime import checks, packets, seccomp_profile, shim_client, spec
from trine.runtime.capability_sets import CapabilityError
from trine.runtime.cgroups import layout as layouts
from trine.runtime.cgroups import limits
from trine.runtime.cgroups.layout import CgroupError, Layout
from trine.runtime.devices import DeviceError
from trine.runtime.failure import in_dockers_words
from trine.runtime.registry import Record, Registry
from trine.runtime.store import Store
from trine.runtime.zygote_client import ZygoteClient
from trine.v1 import image_pb2, runtime_pb2

CREATE_SECONDS = 600.0  # filling a new volume from a large image takes its time
DELETE_SECONDS = 15.0
KILL_SECONDS = 5.0  # what a shim has to obey when its container is to end anyway
_PREFIX = "OCI runtime create failed: runc create failed: unable to start container process: "
_OF_THE_COMMAND = ("COMMAND_NOT_FOUND", "COMMAND_NOT_EXECUTABLE", "COMMAND_OUT_OF_REACH")
_OF_THE_USER = (
    "NO_SUCH_USER",
    "NO_SUCH_GROUP",
    "INVALID_USER",
    "NOT_RUNNING",
    "UNSUPPORTED",
    "NOT_A_DIRECTORY",
)
_REFUSALS = (
    spec.SpecError,
    CapabilityError,
    DeviceError,
    FilterError,
    limits.LimitError,
    seccomp_profile.ProfileError,
)


@dataclass(frozen=True)
class Settings:
    """What the command line says for all containers."""

    cgroup_parent: str = "/trine"
    default_ulimits: Sequence[tuple[str, int, int]] = ()
    seccomp_default: Mapping[str, Any] | None = None
    seccomp_unconfined: bool = False
    group_id: int = -1


class Containers:
    """The use cases on containers."""

    def __init__(
        self, store: Store, registry: Registry, zygote: ZygoteClient, layout: Layout, settings: Settings
    ) -> None:
        """Take the parts; nothing is looked up again for each container but what changes."""
        self._store = store
        self._registry = registry
        self._zygote = zygote
        self._layout = layout
        self._settings = settings
        self._features = layouts.features(layout)
        self._available = layouts.available(layout)
        self._capabilities = capabilities.bounding()
        release = os.uname().release.split(".")
        self._kernel = (int(release[0]), int(re.sub(r"\D.*", "", release[1]) or 0))
        self._log = get_logger("runtime")
        self._no_seccomp = not seccomp.available()

    async def create(
        self, request: runtime_pb2.CreateRuntimeContainerRequest
    ) -> runtime_pb2.CreateRuntimeContainerResponse:
        """Make a container whose init waits; the same request again gives what is there.

        Raises InvalidArgumentError, AlreadyExistsError, InternalError; nothing is left then.
        """
        checks.check(request)
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        async with self._registry.lock(request.id):
            existing = self._registry.find(request.id)
            if existing is not None:
                if existing.request_digest != digest:
                    raise errors.AlreadyExistsError(f"container {request.id} exists with other settings")
                return runtime_pb2.CreateRuntimeContainerResponse(process_id=existing.state.get("pid", 0))
            asyncio.get_running_loop().run_in_executor(None, layouts.prime, self._layout)
            warnings, config = self._configure(request, digest)
            return await self._make(request, config, warnings)

    def _configure(
        self, request: runtime_pb2.CreateRuntimeContainerRequest, digest: str
    ) -> tuple[list[str], dict[str, Any]]:
        facts = spec.HostFacts(
            state_directory=str(self._store.state_directory(request.id)),
            managed_directory=str(self._store.bundle(request.id)),
            cgroup_parent=self._settings.cgroup_parent,
            capabilities_mask=self._capabilities,
            kernel_version=self._kernel,
            architecture=os.uname().machine,
            default_ulimits=self._settings.default_ulimits,
            seccomp_default=self._settings.seccomp_default,
            seccomp_unconfined=self._settings.seccomp_unconfined or self._no_seccomp,
            missing_paths=frozenset(p for p in ("/dev/mqueue", "/dev/shm") if not os.path.exists(p)),
            namespace_path=self._namespace_path,
        )
        try:
            warnings = self._judge(request.resources)
            config = spec.oci_spec(request, facts)
            profile = config["linux"].pop("seccomp", None)
            private = config["trine"]
            private["request_digest"] = digest
            if profile is not None:
                private["seccomp_filter"] = seccomp.stored_path(profile, str(self._store.filters))
        except _REFUSALS as error:
            raise errors.InvalidArgumentError(str(error).replace("\n", " ")) from None
        except CgroupError as error:
            raise errors.InternalError(str(error)) from None
        except OSError as error:
            where = error.filename or self._store.filters
            raise errors.InternalError(f"error creating container: {where}: {error.strerror}") from None
        return warnings, config

    def _namespace_path(self, container_id: str, kind: str) -> str:
        record = self._registry.find(container_id)
        if record is None:
            raise spec.SpecError(f"No such container: {container_id}")
        if not record.state.get("pid"):
            raise spec.SpecError(f"cannot join {kind.upper()} of a non running container: {container_id}")
        return f"/proc/{record.state['pid']}/ns/{kind}"

    async def _make(
        self,
        request: runtime_pb2.CreateRuntimeContainerRequest,
        config: dict[str, Any],
        warnings: list[str],
    ) -> runtime_pb2.CreateRuntimeContainerResponse:
        managed = {file.target.rpartition("/")[2]: file.content for file in request.managed_files}
        existed = self._store.bundle(request.id).exists()
        record = self._registry.add(request.id, config)
        try:
            try:
                self._store.prepare(request.id, managed)
                self._store.write_config(request.id, config)
            except OSError as error:
                where = error.filename or self._store.bundle(request.id)
                raise errors.InternalError(f"error creating container: {where}: {error.strerror}") from None
            record.created = asyncio.get_running_loop().create_future()
            mine, theirs = packets.pair()
            try:
                self._registry.attach(record, mine)
                await self._zygote.request(self._order(request.id, config), [theirs.fileno()])
            finally:
                theirs.close()
            event = await asyncio.wait_for(asyncio.shield(record.created), CREATE_SECONDS)
            if event["event"] == "create_failed":
                raise _create_error(event)
            record.created = None
            return runtime_pb2.CreateRuntimeContainerResponse(
                process_id=event["pid"], warnings=[*warnings, *event.get("warnings", ())]
            )
        except BaseException as error:
            await asyncio.shield(self._undo(record, keep_data=existed))
            if isinstance(error, TimeoutError):
                raise errors.DeadlineExceededError("container create took too long") from None
            raise

    def _order(self, container_id: str, config: dict[str, Any]) -> dict[str, Any]:
        """Return what the zygote and the shim must know; the rest a helper reads from config.json."""
        private = config["trine"]
        console = config["process"].get("consoleSize")
        return {
            "op": "shim",
            "id": container_id,
            "state_directory": str(self._store.state_directory(container_id)),
            "bundle": str(self._store.bundle(container_id)),
            "group_id": self._settings.group_id,
            "cgroup": config["linux"]["cgroupsPath"],
            "own_pid_namespace": {"type": "pid"} in config["linux"]["namespaces"],
            "seccomp_filter": private.get("seccomp_filter"),
            "log": private["log"],
            "process": {
                "terminal": config["process"]["terminal"],
                "open_stdin": private["open_stdin"],
                "stdin_once": private["stdin_once"],
                **({"consoleSize": console} if console else {}),
            },
        }

    async def _undo(self, record: Record, keep_data: bool) -> None:
        """Take a half-made container back; also when the caller went away meanwhile."""
        self._registry.discard(record)
        directory = str(self._store.state_directory(record.id))
        try:
            other = shim_client.ShimClient(shim_client.connect(directory), lambda _event: None)
        except OSError:
            pass  # no shim, or it has undone its part and gone
        else:
            try:
                await other.request("destroy", seconds=KILL_SECONDS)
                await asyncio.wait_for(other.closed.wait(), 5.0)
            except errors.DeadlineExceededError:
                self._end_shim(record.id)
            except (errors.EngineError, TimeoutError):
                pass
            other.close()
        self._store.remove(record.id, keep_data)

    async def start(self, container_id: str) -> runtime_pb2.RuntimeContainer:
        """Let init execute its process; one that runs is left as it is.

        Raises InvalidArgumentError with reason COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE,
        ConflictError (NOT_RUNNING) when it has ended before.
        """
        async with self._registry.lock(container_id):
            record = self._registry.get(container_id)
            if record.shim is None:
                raise _not_running(container_id)
            try:
                await record.shim.request("start")
            except errors.EngineError as error:
                raise _with_prefix(error) from None
            return self._registry.describe(record)

    async def signal(self, container_id: str, number: int, everyone: bool, exec_id: str = "") -> None:
        """Send a signal; to an exec when one is named, and then one that does not run is no error.

        Raises NotFoundError, ConflictError (NOT_RUNNING), InvalidArgumentError.
        """
        if not 1 <= number <= 64:
            raise errors.InvalidArgumentError(f"Invalid signal: {number}")
        killing = number == signal.SIGKILL and not exec_id
        try:
            await self._shim_of(container_id).request(
                "signal",
                seconds=KILL_SECONDS if killing else shim_client.REQUEST_SECONDS,
                signal=number,
                all=everyone and not exec_id,
                process=exec_id,
            )
        except errors.DeadlineExceededError:
            if not (killing and self._end_shim(container_id)):
                raise
        except (errors.NotFoundError, errors.ConflictError):
            if not exec_id:
                raise

    def _end_shim(self, container_id: str) -> bool:
        """Kill a shim that does not answer (stopped, stuck): its container ends with it."""
        self._log.error("a shim does not answer: killed", container=container_id)
        return shim_client.end(str(self._store.state_directory(container_id)))

    async def pause(self, container_id: str) -> None:
        """Freeze. Raises NotFoundError, ConflictError."""
        record = self._registry.get(container_id)
        await self._shim_of(container_id).request("pause")
        record.state["state"] = "paused"

    async def resume(self, container_id: str) -> None:
        """Thaw. Raises NotFoundError, ConflictError."""
        record = self._registry.get(container_id)
        await self._shim_of(container_id).request("resume")
        record.state["state"] = "running"

    def _judge(self, resources: image_pb2.Resources) -> list[str]:
        """Clear, in place, limits this kernel cannot keep; return warnings. Raises LimitError."""
        warnings = limits.discard_unsupported(resources, self._features)
        limits.check(resources, os.cpu_count() or 1, *self._available)
        return warnings

    def check_resources(self, resources: image_pb2.Resources) -> list[str]:
        """Clear, in place, limits this kernel cannot keep; return warnings. Raises InvalidArgumentError."""
        try:
            warnings = self._judge(resources)
        except limits.LimitError as error:
            raise errors.InvalidArgumentError(str(error)) from None
        if resources.kernel_memory_bytes:
            # Kept for inspection and never written: kernels from 5.16 on refuse it.
            warnings.append(limits.KERNEL_MEMORY_WARNING)
        return warnings

    async def update(self, container_id: str, resources: image_pb2.Resources) -> list[str]:
        """Change limits; return warnings. Raises NotFoundError, ConflictError, InvalidArgumentError."""
        record = self._registry.get(container_id)
        if record.ended.is_set():
            raise _not_running(container_id)
        try:
            warnings = self._judge(resources)
            changed = await asyncio.to_thread(record.group.apply, spec.resources(resources))
        except (limits.LimitError, DeviceError) as error:
            raise errors.InvalidArgumentError(str(error)) from None
        except CgroupError as error:
            raise errors.InvalidArgumentError(
                f"Cannot update container {container_id}: {error.strerror}"
            ) from None
        return [*warnings, *changed]

    async def delete(self, container_id: str, force: bool, keep_data: bool) -> None:
        """Remove what is left of a container; one that is not there succeeds.

        Raises ConflictError when it runs and ``force`` is not set, DeadlineExceededError when it does
        not end (a process waits in the kernel).
        """
        if not checks.ID.fullmatch(container_id):
            raise errors.InvalidArgumentError(f"invalid container id: {container_id!r}")
        async with self._registry.lock(container_id):
            record = self._registry.find(container_id)
            if record is None:
                await asyncio.to_thread(self._store.remove, container_id, keep_data)
                self._registry.forget_lock(container_id)
                return
            if not record.ended.is_set():
                if not force:
                    raise errors.ConflictError(
                        f"You cannot remove a running container {container_id}. Stop the container before "
                        "attempting removal or force remove",
                        reason="RUNNING",
                    )
                await self._destroy(record)
            await self._wait_for_shim(record)
            try:
                await asyncio.to_thread(self._remove, record, keep_data)
            except OSError as error:
                raise errors.InternalError(f"cannot remove container {container_id}: {error}") from None
            self._registry.remove(record)

    async def _destroy(self, record: Record) -> None:
        if record.shim is not None:
            try:
                await record.shim.request("destroy", seconds=KILL_SECONDS)
            except errors.ConflictError:
                pass  # gone meanwhile
            except errors.DeadlineExceededError:
                self._end_shim(record.id)
        try:
            await asyncio.wait_for(record.ended.wait(), DELETE_SECONDS)
        except TimeoutError:
            raise errors.DeadlineExceededError(
                f"could not kill container {record.id}: tried to kill container, but did not receive "
                "an exit event"
            ) from None

    async def _wait_for_shim(self, record: Record) -> None:
        """Give the shim a moment to clean up and go: a client that does not read may keep it."""
        if record.shim is not None:
            try:
                await asyncio.wait_for(record.shim.closed.wait(), 1.0)
            except TimeoutError:
                record.shim.close()

    def _remove(self, record: Record, keep_data: bool) -> None:
        if record.group.exists():
            record.group.kill()
            record.group.delete()
        self._store.remove(record.id, keep_data)

    def get(self, container_id: str) -> runtime_pb2.RuntimeContainer:
        """Return one container. Raises NotFoundError."""
        return self._registry.describe(self._registry.get(container_id))

    def list_all(self) -> list[runtime_pb2.RuntimeContainer]:
        """Return all containers."""
        return [self._registry.describe(record) for record in self._registry.all()]

    async def wait(self, container_id: str) -> runtime_pb2.RuntimeContainer:
        """Return a container once it has ended. Raises NotFoundError."""
        record = self._registry.get(container_id)
        await record.ended.wait()
        return self._registry.describe(record)

    async def resize(self, container_id: str, exec_id: str, rows: int, columns: int) -> None:
        """Set a terminal's size. Raises NotFoundError, ConflictError."""
        await self._shim_of(container_id).request("resize", process=exec_id, rows=rows, columns=columns)

    def attach_socket(self, container_id: str) -> str:
        """Return the path of a living container's shim socket. Raises NotFoundError, ConflictError."""
        self._shim_of(container_id)
        return str(self._store.state_directory(container_id) / "shim.sock")

    def processes(self, container_id: str) -> list[int]:
        """Return the processes of a running container. Raises NotFoundError, ConflictError."""
        self._shim_of(container_id)
        return self._registry.get(container_id).group.pids()

    def _shim_of(self, container_id: str) -> shim_client.ShimClient:
        record = self._registry.get(container_id)
        if record.shim is None or record.ended.is_set():
            raise _not_running(container_id)
        return record.shim


def _not_running(container_id: str) -> errors.ConflictError:
    return errors.ConflictError(f"Container {container_id} is not running", reason="NOT_RUNNING")


def _create_error(event: dict[str, Any]) -> errors.EngineError:
    return _with_prefix(shim_client.to_error(event))


def _with_prefix(error: errors.EngineError) -> errors.EngineError:
    """Word an error of init as Docker does."""
    if error.reason in _OF_THE_USER:
        return error
    during = "" if error.reason in _OF_THE_COMMAND else "error during container init: "
    kind = type(error)
    return kind(
        _PREFIX + in_dockers_words(during + error.message), reason=error.reason, metadata=error.metadata
    )
