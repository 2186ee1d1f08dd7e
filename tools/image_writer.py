"""Write images: layers from folders, configs, manifests, as blobs in one folder (image-spec 1.0, v2s2).

Nothing here needs an engine. A layer is a gzip'd tar with sorted names and fixed times, so the same
content has the same digest on every machine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker.distribution"
MEDIA_TYPES = {
    "oci": {
        "index": f"{OCI}.index.v1+json",
        "manifest": f"{OCI}.manifest.v1+json",
        "config": f"{OCI}.config.v1+json",
        "layer": f"{OCI}.layer.v1.tar+gzip",
    },
    "docker": {
        "index": f"{DOCKER}.manifest.list.v2+json",
        "manifest": f"{DOCKER}.manifest.v2+json",
        "config": "application/vnd.docker.container.image.v1+json",
        "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    },
}
PLATFORM = {"architecture": "amd64", "os": "linux"}


@dataclass(frozen=True)
class Layer:
    """A compressed layer that is stored as a blob."""

    diff_id: str
    digest: str
    size: int


@dataclass
class Image:
    """What a recipe gives: layers with the history lines that made them, and the config."""

    repository: str
    tags: list[str]
    created: str
    layers: list[Layer]
    history: list[tuple[str, bool]]  # (created_by, has a layer)
    config: dict[str, Any]
    family: str = "oci"  # of the media types: oci or docker
    index: bool = True  # wrap the manifest in an index
    labels: Mapping[str, str] = field(default_factory=dict)


class BlobStore:
    """A folder with one file for each blob, named by its digest."""

    def __init__(self, root: Path) -> None:
        """Use ``root``, made when missing."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob of a digest lies."""
        return self.root / digest.removeprefix("sha256:")

    def add(self, content: bytes) -> tuple[str, int]:
        """Store bytes; return digest and size."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        temporary = self.root / f".{os.getpid()}.tmp"
        temporary.write_bytes(content)
        temporary.rename(self.path(digest))
        return digest, len(content)

    def add_json(self, document: Any) -> tuple[str, int]:
        """Store a JSON document in canonical form; return digest and size."""
        return self.add(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())

    def add_layer(self, write: Callable[[tarfile.TarFile], None]) -> Layer:
        """Let ``write`` fill a tar, store it compressed."""
        temporary = self.root / f".{os.getpid()}.layer"
        # mtime=0 and no name: the digest depends on the content alone.
        with (
            open(temporary, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        ):
            hashing = _Hashing(packed)
            with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
                write(tar)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        size = temporary.stat().st_size
        temporary.rename(self.root / digest)
        return Layer("sha256:" + hashing.digest.hexdigest(), "sha256:" + digest, size)


class _Hashing:
    """A file object that hashes what passes through it."""

    def __init__(self, target: gzip.GzipFile) -> None:
        self.target = target
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.target.write(data)


def add_entry(
    tar: tarfile.TarFile,
    name: str,
    *,
    content: bytes | None = None,
    mode: int = 0o755,
    link: str = "",
    hard: bool = False,
    when: int = 0,
) -> None:
    """Add a file (content), a link (link, hard or symbolic) or a directory (neither) owned by root."""
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = mode, when
    if content is not None:
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        return
    if link:
        info.type, info.linkname = (tarfile.LNKTYPE if hard else tarfile.SYMTYPE), link
    else:
        info.type = tarfile.DIRTYPE
    tar.addfile(info)


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        base = os.path.relpath(folder, root)
        if base != ".":
            yield base
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            yield os.path.normpath(os.path.join(base, name))


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def add_folder(tar: tarfile.TarFile, root: Path, latest: int, skip: Callable[[str], bool]) -> None:
    """Add all below ``root``; an overlay's whiteouts become .wh. files; times are at most ``latest``."""
    for name in _walk(root):
        path = root / name
        if skip(name):
            continue
        status = path.lstat()
        if _is_whiteout(status):
            folder, base = os.path.split(name)
            add_entry(tar, os.path.join(folder, f".wh.{base}"), content=b"", mode=0o600, when=latest)
            continue
        info = tar.gettarinfo(str(path), arcname=name)
        if info is None:  # a socket
            continue
        info.mtime = min(int(info.mtime), latest)
        info.uname = info.gname = ""
        if info.isreg():
            with open(path, "rb") as file:
                tar.addfile(info, file)
        else:
            tar.addfile(info)
        if info.isdir() and _is_opaque(path):
            add_entry(tar, os.path.join(name, ".wh..wh..opq"), content=b"", mode=0o600, when=latest)


def store_image(blobs: BlobStore, image: Image) -> dict[str, Any]:
    """Store config, manifest and index of an image; return its record (what a registry needs)."""
    types = MEDIA_TYPES[image.family]
    history: list[dict[str, Any]] = []
    for created_by, has_layer in image.history:
        line: dict[str, Any] = {"created": image.created, "created_by": created_by}
        if not has_layer:
            line["empty_layer"] = True
        history.append(line)
    config_digest, config_size = blobs.add_json(
        {
            **PLATFORM,
            "created": image.created,
            "config": {**image.config, **({"Labels": dict(image.labels)} if image.labels else {})},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
            "history": history,
        }
    )
    manifest_digest, manifest_size = blobs.add_json(
        {
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": {"mediaType": types["config"], "digest": config_digest, "size": config_size},
            "layers": [
                {"mediaType": types["layer"], "digest": layer.digest, "size": layer.size}
                for layer in image.layers
            ],
        }
    )
    manifests = [{"digest": manifest_digest, "media_type": types["manifest"]}]
    if image.index:
        digest, _size = blobs.add_json(
            {
                "schemaVersion": 2,
                "mediaType": types["index"],
                "manifests": [
                    {
                        "mediaType": types["manifest"],
                        "digest": manifest_digest,
                        "size": manifest_size,
                        "platform": PLATFORM,
                    }
                ],
            }
        )
        manifests.append({"digest": digest, "media_type": types["index"]})
    return {
        "repository": image.repository,
        "tags": image.tags,
        "blobs": [config_digest, *(layer.digest for layer in image.layers)],
        "manifests": manifests,  # the last one is what the tags name
    }
