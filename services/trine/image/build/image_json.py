"""The JSON of the image a step makes: its parent's, with one entry of history more. Pure.

OCI image-spec config.md; keys beyond it (container, container_config, docker_version) are Docker's.
"""

from __future__ import annotations

from typing import Any

from trine.image.build.run_config import RunConfig

DOCKER_VERSION = "20.10.24"  # whose image format this is


def child_image(
    parent: dict[str, Any] | None,
    config: RunConfig,
    container_config: RunConfig,
    *,
    created: str,
    architecture: str,
    variant: str = "",
    author: str = "",
    container: str = "",
    diff_id: str = "",
) -> dict[str, Any]:
    """Return the JSON of an image over ``parent`` (None: over nothing).

    ``diff_id`` is the new layer, "" when the step changed no file. ``container_config.cmd`` becomes
    the history's created_by.
    """
    entry: dict[str, Any] = {"created": created, "created_by": " ".join(container_config.cmd or [])}
    if author:
        entry["author"] = author
    if not diff_id:
        entry["empty_layer"] = True
    base = parent or {}
    layers = list((base.get("rootfs") or {}).get("diff_ids") or [])
    result: dict[str, Any] = {
        "architecture": base.get("architecture") or architecture,
        "config": config.to_json(),
        "container_config": container_config.to_json(),
        "created": created,
        "docker_version": DOCKER_VERSION,
        "history": [*(base.get("history") or []), entry],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [*layers, diff_id] if diff_id else layers},
    }
    if author:
        result["author"] = author
    if container:
        result["container"] = container
    for key, value in (("variant", base.get("variant") or variant), ("os.features", base.get("os.features"))):
        if value:
            result[key] = value
    return result
