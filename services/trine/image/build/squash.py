"""--squash: all layers of a build above its base become one.

The layers are laid over each other in the upper directory of a snapshot over the base, with
removals kept, and that is committed. History keeps its entries, as Docker's does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from typing import Any

from trine.image import spec
from trine.image.build.scratch import Markers
from trine.image.layers.merged import OPAQUE, is_opaque, is_whiteout
from trine.image.models import Image
from trine.image.operation import Operation
from trine.image.store import ImageStore, Lease


def squash(store: ImageStore, image: Image, base: Image | None, lease: Lease, operation: Operation) -> Image:
    """Return an image with the same files and config as ``image``, one layer above ``base``."""
    below = base.diff_ids if base is not None else ()
    above = image.diff_ids[len(below) :]
    if not above:
        return image
    key = secrets.token_hex(32)
    markers = Markers(store.root)
    markers.set(key)
    try:
        snapshot = store.prepare_snapshot(key, diff_ids=below)
        links: dict[tuple[int, int], str] = {}
        for diff_id in above:
            operation.check()
            source = str(store.layer_directories([diff_id])[0])
            if is_opaque(source):
                os.setxattr(snapshot.upper, OPAQUE, b"y")
            _lay_over(source, str(snapshot.upper), links, operation)
        layer = store.commit_snapshot(key, lease, operation, consume=True)
    finally:
        store.delete_snapshot(key)
        markers.clear(key)
    return store.add_image(_document(image, base, layer.diff_id))


def _document(image: Image, base: Image | None, diff_id: str) -> dict[str, Any]:
    kept = len((base.config.get("history") or []) if base is not None else [])
    created = spec.format_time(time.time_ns())
    history = [
        entry if index < kept else {**entry, "empty_layer": True}
        for index, entry in enumerate(image.config.get("history") or [])
    ]
    comment = f"merge {image.id} to {base.id if base is not None else ''}"
    below = list(base.diff_ids) if base is not None else []
    return {
        **image.config,
        "created": created,
        "history": [*history, {"created": created, "comment": comment}],
        "rootfs": {"type": "layers", "diff_ids": [*below, diff_id]},
    }


def _lay_over(source: str, target: str, links: dict[tuple[int, int], str], operation: Operation) -> None:
    """Put what a layer directory holds over what the target holds."""
    operation.check()
    with os.scandir(source) as listing:
        entries = sorted(listing, key=lambda e: e.name)
    for entry in entries:
        path = f"{target}/{entry.name}"
        status = entry.stat(follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        old = os.lstat(path) if os.path.lexists(path) else None
        old_is_directory = old is not None and stat.S_ISDIR(old.st_mode)
        if not is_directory or not old_is_directory or is_opaque(entry.path):
            # A directory that replaces something hides all that is below it in the base too.
            hides = is_directory and old is not None
            if old_is_directory:
                shutil.rmtree(path)
            elif old is not None:
                os.unlink(path)
            if not is_directory:
                _copy(entry.path, path, status, links)
                continue
            os.mkdir(path)
            if hides or is_opaque(entry.path):
                os.setxattr(path, OPAQUE, b"y")
        _dress(entry.path, path, status)
        _lay_over(entry.path, path, links, operation)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy(source: str, target: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> None:
    if status.st_nlink > 1:
        earlier = links.get((status.st_dev, status.st_ino))
        if earlier is not None and os.path.lexists(earlier):
            os.link(earlier, target, follow_symlinks=False)
            return
        links[status.st_dev, status.st_ino] = target
    if stat.S_ISREG(status.st_mode):
        shutil.copyfile(source, target, follow_symlinks=False)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    else:
        os.mknod(target, status.st_mode, status.st_rdev)
    if not is_whiteout(status):
        _dress(source, target, status)


def _dress(source: str, target: str, status: os.stat_result) -> None:
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
        for name in os.listxattr(source, follow_symlinks=False):
            if not name.startswith("trusted.overlay."):
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
