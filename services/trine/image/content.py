"""Files and directories of the store: temporary places, blobs, layers, snapshots; how they come and go.

    content/blobs/sha256/<hex>   layers/<n>/fs   snapshots/<n>/{fs,work}   tmp/

Nothing appears outside tmp/ but whole, by a rename; nothing disappears but by a rename into tmp/.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path
from queue import SimpleQueue

from trine.image.operation import Operation
from trine.kit.errors import DataLossError
from trine.kit.files import make_directory
from trine.kit.logs import get_logger


class Content:
    """The directories below one data root."""

    def __init__(self, root: Path) -> None:
        """Make what is missing. Raises OSError."""
        self.root = root
        self.blobs = root / "content" / "blobs" / "sha256"
        self.layers = root / "layers"
        self.snapshots = root / "snapshots"
        self.tmp = root / "tmp"
        for path, mode in (
            (root, 0o711),
            (root / "content", 0o700),
            (root / "content" / "blobs", 0o700),
            (self.blobs, 0o700),
            (self.layers, 0o711),
            (self.snapshots, 0o711),
            (self.tmp, 0o700),
        ):
            make_directory(path, mode)
        self._remover = Remover()

    def temporary(self, kind: str) -> Path:
        """Return a path in tmp/ that is not there yet."""
        return self.tmp / f"{kind}-{secrets.token_hex(8)}"

    def temporary_layer(self) -> Path:
        """Make ``tmp/…/fs`` for a layer to be unpacked to; return the directory above."""
        path = self.temporary("layer")
        path.mkdir(mode=0o711)
        (path / "fs").mkdir(mode=0o755)
        os.chmod(path / "fs", 0o755)
        return path

    def blob(self, digest: str) -> Path:
        """Return where a blob is."""
        return self.blobs / digest.removeprefix("sha256:")

    def layer(self, number: int) -> Path:
        """Return a layer's file system directory."""
        return self.layers / str(number) / "fs"

    def snapshot(self, number: int) -> Path:
        """Return the directory above a snapshot's fs and work."""
        return self.snapshots / str(number)

    def make_snapshot(self, number: int) -> None:
        """Make a snapshot's directories; no error when they are there."""
        path = self.snapshot(number)
        for directory, mode in ((path, 0o711), (path / "fs", 0o755), (path / "work", 0o700)):
            try:
                os.mkdir(directory, mode)
            except FileExistsError:
                continue
            os.chmod(directory, mode)

    def discard(self, path: Path) -> None:
        """Take a file or directory away at once (by a rename) and delete it in the background."""
        if path.parent != self.tmp:
            away = self.temporary("gone")
            try:
                os.rename(path, away)
            except FileNotFoundError:
                return
            path = away
        self._remover.add(path)

    def sweep(self, layers: set[int], blobs: set[str], snapshots: set[int]) -> int:
        """At start: discard what no row owns and everything in tmp/. Return how many that were."""
        owned: tuple[tuple[Path, set[str]], ...] = (
            (self.layers, {str(n) for n in layers}),
            (self.snapshots, {str(n) for n in snapshots}),
            (self.blobs, {digest.removeprefix("sha256:") for digest in blobs}),
            (self.tmp, set()),
        )
        count = 0
        for directory, names in owned:
            for path in directory.iterdir():
                if path.name not in names:
                    self.discard(path)
                    count += 1
        return count

    def sync(self) -> None:
        """Wait until everything written below the root is on disk (syncfs(2))."""
        import ctypes

        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Finish deletions."""
        self._remover.close()


def remove_tree(path: Path) -> None:
    """Delete a file or a directory however deep. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except (RecursionError, OSError):
        # A container can make paths deeper than Python's stack and longer than PATH_MAX: rm copes.
        done = subprocess.run(
            ["rm", "-rf", "--one-file-system", "--", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise OSError(
                done.stderr.strip().splitlines()[0] if done.stderr else f"cannot remove {path}"
            ) from None


def copy_range(source: Path, offset: int, length: int, target: Path, operation: Operation) -> str:
    """Copy a part of a file to a new file; return its digest. Raises DataLossError when it is too short."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        reader.seek(offset)
        while length > 0:
            operation.check()
            data = reader.read(min(length, 1024 * 1024))
            if not data:
                raise DataLossError("unexpected EOF")
            digest.update(data)
            writer.write(data)
            length -= len(data)
    return "sha256:" + digest.hexdigest()


class Remover:
    """Deletes in a thread of its own, so that nobody waits for it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Path | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="remover", daemon=True)
        self._thread.start()

    def add(self, path: Path) -> None:
        """Delete this some time; what fails is tried again at the next start."""
        self._queue.put(path)

    def _run(self) -> None:
        while (path := self._queue.get()) is not None:
            try:
                remove_tree(path)
            except OSError as error:
                get_logger("content").warning("cannot remove", path=str(path), error=str(error))

    def close(self) -> None:
        """Finish what is queued."""
        self._queue.put(None)
        self._thread.join(timeout=30)
