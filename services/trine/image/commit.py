"""docker commit and docker import: an image from a container's changes, or from a tar."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trine.image import reference, spec
from trine.image.build.changes import apply_changes
from trine.image.models import Image, Layer
from trine.image.operation import Operation
from trine.image.store import ImageStore

ENGINE_VERSION = "20.10.24"  # what docker_version says: images are those this Docker makes


@dataclass(frozen=True)
class CommitOptions:
    """What a commit is told."""

    key: str
    reference: str = ""
    author: str = ""
    comment: str = ""
    changes: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)  # of the container
    container_id: str = ""


def make_config(
    base: Image | None,
    layer: Layer,
    *,
    config: dict[str, Any],
    created_by: str,
    author: str,
    comment: str,
    platform: spec.Platform,
    container_id: str = "",
    container_config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the image JSON of one more layer (or none, if it is empty) on a base."""
    created = spec.format_time(time.time_ns())
    empty = layer.diff_id == spec.EMPTY_DIFF_ID
    entry: dict[str, Any] = {"created": created}
    if author:
        entry["author"] = author
    if created_by:
        entry["created_by"] = created_by
    if comment:
        entry["comment"] = comment
    if empty:
        entry["empty_layer"] = True
    parent = base.config if base is not None else {}
    document: dict[str, Any] = {
        "architecture": parent.get("architecture") or platform.architecture,
        "config": config,
        "created": created,
        "docker_version": ENGINE_VERSION,
        "history": [*(parent.get("history") or []), entry],
        "os": "linux",
        "rootfs": {
            "type": "layers",
            "diff_ids": [*(base.diff_ids if base is not None else ()), *(() if empty else (layer.diff_id,))],
        },
    }
    variant = parent.get("variant") or ("" if base is not None else platform.variant)
    if variant:
        document["variant"] = variant
    if author:
        document["author"] = author
    if comment:
        document["comment"] = comment
    if container_id:
        document["container"] = container_id
    if container_config is not None:
        document["container_config"] = container_config
    return document


def commit(store: ImageStore, options: CommitOptions, operation: Operation) -> Image:
    """Make an image of a snapshot's changes; the snapshot stays. Raises EngineError."""
    if options.reference:
        reference.parse_tagged(options.reference)
    config = apply_changes(options.config, options.changes)
    snapshot = store.snapshot(options.key)
    base = store.image(snapshot.image_id) if snapshot.image_id else None
    with store.lease() as lease:
        if base is not None:
            lease.pin(base.diff_ids)
        layer = store.commit_snapshot(options.key, lease, operation)
        operation.check()
        document = make_config(
            base,
            layer,
            config=config,
            created_by=" ".join(options.config.get("Cmd") or []),
            author=options.author,
            comment=options.comment,
            platform=spec.host_platform(),
            container_id=options.container_id,
            container_config=options.config,
        )
        return store.add_image(document, parent=snapshot.image_id, tag=options.reference)


@dataclass(frozen=True)
class ImportSettings:
    """What an import is told."""

    reference: str = ""
    message: str = ""
    changes: list[str] = field(default_factory=list)
    platform: str = ""


def import_tar(store: ImageStore, settings: ImportSettings, source: Path, operation: Operation) -> Image:
    """Make an image of one layer from a file system tar, compressed or not. Raises EngineError."""
    if settings.reference:
        reference.parse_tagged(settings.reference)
    platform = spec.parse_platform(settings.platform)
    config = apply_changes({}, settings.changes)
    with store.lease() as lease:
        layer = store.add_layer_from_tar(source, lease, operation)
        document = make_config(
            None,
            layer,
            config=config,
            created_by="",
            author="",
            comment=settings.message or "Imported from -",
            platform=platform,
            container_config=config,
        )
        return store.add_image(document, tag=settings.reference)
