"""What the runtime keeps on disk: one directory a container, which is the truth.

<data-root>/runtime/containers/<id>/
    config.json      there is such a container; written last in create, removed first in delete
    exit.json        it has ended, and how (written by its shim)
    <id>-json.log*, hosts, hostname, resolv.conf   kept over starts, until deleted without keep_data
<exec-root>/runtime/<id>/
    shim.sock, rootfs/ (where init mounts, in its own namespace)

Everything is written by rename(2), so kill -9 at any point leaves the old or the new.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

_DELETING = ".deleting-"


class Store:
    """The directories of all containers of one service."""

    def __init__(self, data_root: Path, exec_root: Path, group_id: int) -> None:
        """Make what is missing. Raises OSError."""
        self.containers = data_root / "runtime" / "containers"
        self.state = exec_root / "runtime"
        self.filters = data_root / "runtime" / "seccomp"
        self._group = group_id
        for path in (data_root, data_root / "runtime", self.containers):
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
        exec_root.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._make_state(self.state)
        for path in self.containers.glob(f"{_DELETING}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _make_state(self, path: Path) -> None:
        path.mkdir(mode=0o750, exist_ok=True)
        if self._group >= 0:
            os.chown(path, -1, self._group)

    def bundle(self, container_id: str) -> Path:
        """Return a container's durable directory."""
        return self.containers / container_id

    def state_directory(self, container_id: str) -> Path:
        """Return a container's run-time directory."""
        return self.state / container_id

    def has_socket_since_boot(self, container_id: str) -> bool:
        """Tell whether there is a shim's socket that was made since the machine was booted (proc_stat(5))."""
        try:
            made = (self.state_directory(container_id) / "shim.sock").stat().st_mtime
            with open("/proc/stat", "rb") as file:
                booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
        except (OSError, StopIteration):
            return False
        return made >= booted

    def prepare(self, container_id: str, managed: dict[str, bytes]) -> None:
        """Make the directories and write managed files (name → content). Raises OSError."""
        bundle = self.bundle(container_id)
        bundle.mkdir(mode=0o711, exist_ok=True)
        state = self.state_directory(container_id)
        self._make_state(state)
        (state / "rootfs").mkdir(mode=0o755, exist_ok=True)
        for name, content in managed.items():
            _replace(bundle / name, content, 0o644)

    def write_config(self, container_id: str, config: dict[str, Any]) -> None:
        """Write config.json: from now on there is such a container. Raises OSError."""
        bundle = self.bundle(container_id)
        for directory in (bundle, self.state_directory(container_id)):
            (directory / "exit.json").unlink(missing_ok=True)
        _replace(bundle / "config.json", json.dumps(config, separators=(",", ":")).encode(), 0o600)

    def write_exit(self, container_id: str, state: dict[str, Any]) -> None:
        """Write exit.json for a shim that could not. Raises OSError."""
        _replace(self.bundle(container_id) / "exit.json", json.dumps(state).encode(), 0o600)

    def config(self, container_id: str) -> dict[str, Any] | None:
        """Return a container's configuration, None when there is none."""
        return _load(self.bundle(container_id) / "config.json")

    def exit(self, container_id: str) -> dict[str, Any] | None:
        """Return how a container ended, None when it has not."""
        # Where the disk was full its shim wrote beside its socket (a tmpfs).
        return _load(self.bundle(container_id) / "exit.json") or _load(
            self.state_directory(container_id) / "exit.json"
        )

    def known(self) -> list[str]:
        """Return the ids of all containers there are."""
        return [path.parent.name for path in self.containers.glob("[!.]*/config.json")]

    def left_over(self) -> list[str]:
        """Return ids that have a run-time directory but no configuration: a create or delete cut off."""
        known = set(self.known())
        return [path.name for path in self.state.iterdir() if path.is_dir() and path.name not in known]

    def remove(self, container_id: str, keep_data: bool) -> None:
        """Forget a container; what is not there is no error. Raises OSError."""
        bundle = self.bundle(container_id)
        for name in ("config.json", "exit.json"):
            (bundle / name).unlink(missing_ok=True)
        shutil.rmtree(self.state_directory(container_id), ignore_errors=True)
        if keep_data or not bundle.exists():
            return
        away = self.containers / f"{_DELETING}{container_id[:16]}-{secrets.token_hex(4)}"
        bundle.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that a reader sees the old or the new whole (rename(2))."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _load(path: Path) -> dict[str, Any] | None:
    try:
        loaded = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None
