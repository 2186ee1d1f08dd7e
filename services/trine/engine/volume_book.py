"""Volumes of the local driver: records in memory, directories below <root>/volumes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from trine.engine.store import Store
from trine.kit.errors import (
    ConflictError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from trine.kit.files import make_directory, sync_directory
from trine.v1 import volume_pb2

_VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
_OPTIONS = ("type", "o", "device")


def check_volume_name(name: str) -> None:
    """Raise InvalidArgumentError with Docker's text for a name the local driver does not take."""
    if len(name) < 2:
        raise InvalidArgumentError(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _VALID.match(name):
        shown = name.replace("\n", "\\n")
        raise InvalidArgumentError(
            f'create {shown}: "{shown}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path",
            reason="INVALID_NAME",
        )


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raise InvalidArgumentError when the local driver does not know an option or one is missing."""
    for key in options:
        if key not in _OPTIONS:
            raise InvalidArgumentError(f'create {name}: invalid option: "{key}"', reason="INVALID_OPTION")
    if options and not options.get("device"):
        raise InvalidArgumentError(
            f"create {name}: missing device in volume options", reason="INVALID_OPTION"
        )
    kind = options.get("type", "")
    if options and not kind:
        raise InvalidArgumentError(f"create {name}: missing type in volume options", reason="INVALID_OPTION")
    is_bind = kind in ("none", "bind") or "bind" in options.get("o", "").split(",")
    if options.get("device", "").startswith("/dev/") and not is_bind:
        # Volumes are mounted by the container's init, whose device rules forbid to open a disk.
        raise InvalidArgumentError(
            f"create {name}: block devices are not mounted for a container: mount {options['device']} on the "
            "host and use type=none, o=bind",
            reason="INVALID_OPTION",
        )


class VolumeBook:
    """All volumes; belongs to the event loop's thread."""

    def __init__(self, root: Path, store: Store) -> None:
        """Keep the directory; ``load`` reads the records."""
        self.root = root / "volumes"
        self._store = store
        self._volumes: dict[str, volume_pb2.Volume] = {}
        self._held: Counter[str] = Counter()
        self._lock = asyncio.Lock()  # for records; disk work is done outside of it
        make_directory(self.root, 0o711)

    def load(self) -> None:
        """Read all records; a directory no record owns is a creation that was not finished."""
        for name, record, _ in self._store.load("volume"):
            self._volumes[name] = volume_pb2.Volume.FromString(record)
        for path in self.root.iterdir():
            if path.name not in self._volumes and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)

    def all(self) -> list[volume_pb2.Volume]:
        """Return all volumes by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def get(self, name: str) -> volume_pb2.Volume | None:
        """Return a volume, or None."""
        return self._volumes.get(name)

    def find(self, name: str) -> volume_pb2.Volume:
        """Return a volume; raises NotFoundError."""
        found = self._volumes.get(name)
        if found is None:
            raise no_such_volume(name)
        return found

    @contextlib.contextmanager
    def hold(self, names: list[str]) -> Iterator[None]:
        """Keep volumes from being removed while a container that will use them is being made."""
        self._held.update(names)
        try:
            yield
        finally:
            self._held.subtract(names)

    def is_held(self, name: str) -> bool:
        """Tell whether a container that uses the volume is being made."""
        return self._held[name] > 0

    async def create(
        self,
        name: str,
        driver: str,
        options: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> tuple[volume_pb2.Volume, bool]:
        """Return the volume of that name and whether it was made now; "" makes up a name.

        Raises InvalidArgumentError for a bad name, driver or option, ConflictError when one of that
        name has another driver or other options.
        """
        anonymous = not name
        name = name or secrets.token_hex(32)
        if driver not in ("", "local"):
            raise NotFoundError(
                f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found',
                reason="NO_SUCH_DRIVER",
            )
        check_volume_name(name)
        check_options(name, options)
        async with self._lock:
            found = self._volumes.get(name)
            if found is not None:
                if options and dict(found.options) != dict(options):
                    raise ConflictError(
                        f"create {name}: conflict: volume name must be unique", reason="VOLUME_CONFLICT"
                    )
                return found, False
            volume = volume_pb2.Volume(
                name=name,
                driver="local",
                mountpoint=str(self.root / name / "_data"),
                created_at_unix_nanos=time.time_ns(),
                labels=dict(labels),
                options=dict(options),
                anonymous=anonymous,
                size_bytes=-1,
            )
            try:
                await asyncio.to_thread(self._make, name)
            except OSError as error:
                await asyncio.to_thread(shutil.rmtree, self.root / name, True)
                raise _explain(f"create {name}", error) from error
            self._volumes[name] = volume
        self._store.put("volume", name, volume.SerializeToString())
        return volume, True

    def _make(self, name: str) -> None:
        directory = self.root / name
        directory.mkdir(mode=0o701, exist_ok=True)
        (directory / "_data").mkdir(mode=0o755, exist_ok=True)
        os.chmod(directory, 0o701)
        os.chmod(directory / "_data", 0o755)
        sync_directory(self.root)

    async def delete(self, name: str) -> None:
        """Remove record and directory; the caller has seen that no container uses it."""
        volume = self._volumes.pop(name, None)
        if volume is None:
            return
        self._store.delete("volume", name)
        # The record goes first: a kill between leaves a directory that load() removes.
        await self._store.flush()
        directory = self.root / name
        doomed = self.root / f".{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(_remove, directory, doomed)
        except OSError as error:
            raise _explain(f"remove {name}", error) from error

    async def usage(self, volume: volume_pb2.Volume) -> int:
        """Return how many bytes a volume's files take, -1 when it is not a directory of ours."""
        if volume.options:
            return -1
        return await asyncio.to_thread(_directory_size, Path(volume.mountpoint))


def _remove(directory: Path, doomed: Path) -> None:
    try:
        os.rename(directory, doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def _directory_size(path: Path) -> int:
    total = 0
    seen: set[tuple[int, int]] = set()
    for base, _directories, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(base, name))
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
    return total


def _explain(what: str, error: OSError) -> InternalError | ResourceExhaustedError:
    if error.errno == 28:
        return ResourceExhaustedError(f"{what}: no space left on device", reason="DISK_FULL")
    return InternalError(f"{what}: {error.strerror}")


def no_such_volume(name: str) -> NotFoundError:
    """Return the error for a volume that is not there."""
    return NotFoundError(f"get {name}: no such volume", reason="NO_SUCH_VOLUME")
