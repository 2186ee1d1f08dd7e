"""Marks of builds at work, so that a start after kill -9 undoes what they left.

A mark is an empty file ``<root>/builds/<snapshot key>``: it is there before the snapshot is, and
goes after it. Snapshots of containers have none, so they are never touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from trine.image.store import ImageStore
from trine.kit.files import make_directory


class Markers:
    """The marks below one data root."""

    def __init__(self, root: Path) -> None:
        """``root`` is the image service's."""
        self._directory = root / "builds"

    def set(self, key: str) -> None:
        """Mark a snapshot that is about to be made."""
        make_directory(self._directory)
        descriptor = os.open(self._directory / key, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(descriptor)

    def clear(self, key: str) -> None:
        """Forget the mark; no error when there is none."""
        (self._directory / key).unlink(missing_ok=True)

    def all(self) -> list[str]:
        """Return the keys marked."""
        return sorted(os.listdir(self._directory)) if self._directory.is_dir() else []


def empty(directory: Path) -> None:
    """Delete what is in a directory, as far as that goes."""
    try:
        with os.scandir(directory) as listing:
            entries = list(listing)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def recover(store: ImageStore) -> int:
    """Delete the snapshots of builds a killed process left; return how many marks there were."""
    markers = Markers(store.root)
    keys = markers.all()
    for key in keys:
        store.delete_snapshot(key)
        markers.clear(key)
    return len(keys)
