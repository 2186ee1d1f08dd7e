"""Manifests, indexes and image configs: what is accepted, and how ours are written. Pure.

OCI image-spec v1.1 (manifest.md, image-index.md, config.md, layer.md) and Docker's image manifest
version 2, schema 2. Everything from outside passes here before anything is done with it.
"""

from __future__ import annotations

import hashlib
import json
import platform as host
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trine.image.reference import is_digest
from trine.kit.errors import InvalidArgumentError, NotFoundError, UnsupportedError

MANIFEST_LIMIT = 4 * 1024 * 1024
CONFIG_LIMIT = 4 * 1024 * 1024
MAXIMUM_LAYERS = 127  # Docker's own limit ("max depth exceeded")
EMPTY_DIFF_ID = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_PLAIN = "application/vnd.docker.image.rootfs.diff.tar"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_PLAIN = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
_SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
ACCEPT = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX)
_MANIFESTS = (DOCKER_MANIFEST, OCI_MANIFEST)
_INDEXES = (DOCKER_LIST, OCI_INDEX)
_CONFIGS = (DOCKER_CONFIG, OCI_CONFIG)
_NON_DISTRIBUTABLE = "nondistributable"
LAYERS = (
    DOCKER_LAYER,
    DOCKER_LAYER_PLAIN,
    OCI_LAYER,
    OCI_LAYER_PLAIN,
    OCI_LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
)
_GENERIC_TYPES = ("", "application/json", "text/plain", "application/octet-stream")
_MAXIMUM_BLOB = 1 << 44


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content (image-spec descriptor.md)."""

    media_type: str
    digest: str
    size: int
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a manifest."""
        return {"mediaType": self.media_type, "size": self.size, "digest": self.digest}


@dataclass(frozen=True)
class Manifest:
    """One image: config and layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Index:
    """Several images, by platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Platform:
    """os/architecture/variant in Go's names."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class ConfigFacts:
    """What the store must know of an image config."""

    config: dict[str, Any]
    diff_ids: tuple[str, ...]
    created_nanos: int
    platform: Platform = field(default_factory=lambda: Platform("linux", ""))


def sha256(data: bytes) -> str:
    """Return "sha256:<hex>" of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _bad(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(text, reason="INVALID_MANIFEST")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _load(raw: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(raw, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _bad(f"invalid {what}: not valid JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise _bad(f"invalid {what}: not a JSON object")
    return document


def _descriptor(value: object, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise _bad(f"invalid manifest: {what} is not a descriptor")
    digest, size, media_type = value.get("digest"), value.get("size"), value.get("mediaType", "")
    if not isinstance(digest, str) or not is_digest(digest):
        raise _bad(f"invalid manifest: {what} has no valid sha256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAXIMUM_BLOB:
        raise _bad(f"invalid manifest: {what} has no valid size")
    if not isinstance(media_type, str):
        raise _bad(f"invalid manifest: {what} has no media type")
    place = value.get("platform")
    place = place if isinstance(place, dict) else {}
    texts = {key: str(place.get(key, "")) for key in ("os", "architecture", "variant")}
    return Descriptor(media_type, digest, size, **texts)


def parse_manifest(raw: bytes, content_type: str = "") -> Manifest | Index:
    """Return the manifest or index in ``raw``; ``content_type`` is what the registry called it.

    Raises InvalidArgumentError for anything ambiguous or malformed (both layers and manifests,
    media types that contradict each other) and UnsupportedError for schema 1 and artifacts.
    """
    if len(raw) > MANIFEST_LIMIT:
        raise _bad(f"invalid manifest: larger than {MANIFEST_LIMIT} bytes")
    document = _load(raw, "manifest")
    content_type = content_type.partition(";")[0].strip().lower()
    if document.get("schemaVersion") == 1 or content_type in _SCHEMA1:
        raise UnsupportedError(
            "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported: "
            "ask the publisher to push the image again with a current tool"
        )
    if document.get("schemaVersion") != 2:
        raise _bad("invalid manifest: schemaVersion is not 2")
    declared = document.get("mediaType", "")
    if not isinstance(declared, str):
        raise _bad("invalid manifest: mediaType is not a text")
    if declared and content_type not in (*_GENERIC_TYPES, declared):
        raise _bad(f"invalid manifest: mediaType {declared} was sent as {content_type}")
    kind = declared or (content_type if content_type not in _GENERIC_TYPES else "")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise _bad("invalid manifest: it has both layers and manifests")
    if "manifests" in document:
        return _parse_index(document, kind or OCI_INDEX)
    return _parse_single(document, kind or OCI_MANIFEST)


def _parse_index(document: dict[str, Any], kind: str) -> Index:
    if kind not in _INDEXES:
        raise _bad(f"invalid manifest: a list of manifests was sent as {kind}")
    entries = document["manifests"]
    if not isinstance(entries, list):
        raise _bad("invalid manifest: manifests is not a list")
    return Index(kind, tuple(_descriptor(entry, f"manifests[{i}]") for i, entry in enumerate(entries)))


def _parse_single(document: dict[str, Any], kind: str) -> Manifest:
    if kind not in _MANIFESTS:
        raise _bad(f"invalid manifest: unknown media type {kind}")
    config = _descriptor(document.get("config"), "config")
    if config.media_type not in (*_CONFIGS, ""):
        raise UnsupportedError(
            f"invalid manifest: {config.media_type} is not the config of a container image"
        )
    if config.size > CONFIG_LIMIT:
        raise _bad(f"invalid manifest: config larger than {CONFIG_LIMIT} bytes")
    entries = document.get("layers")
    if not isinstance(entries, list):
        raise _bad("invalid manifest: layers is not a list")
    if len(entries) > MAXIMUM_LAYERS:
        raise _bad(f"invalid manifest: {len(entries)} layers: max depth exceeded")
    layers = tuple(_descriptor(entry, f"layers[{i}]") for i, entry in enumerate(entries))
    for layer in layers:
        if layer.media_type not in LAYERS:
            if _NON_DISTRIBUTABLE in layer.media_type or "foreign" in layer.media_type:
                raise UnsupportedError(
                    f"layer {layer.digest[7:19]} is not distributable ({layer.media_type})"
                )
            raise _bad(f"invalid manifest: unknown layer media type {layer.media_type or '(none)'}")
    return Manifest(kind, config, layers)


def parse_config(raw: bytes) -> ConfigFacts:
    """Return what an image config says. Raises InvalidArgumentError when it is none for Linux containers."""
    if len(raw) > CONFIG_LIMIT:
        raise _bad(f"invalid image config: larger than {CONFIG_LIMIT} bytes")
    document = _load(raw, "image config")
    rootfs = document.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type") != "layers":
        raise _bad("invalid image config: invalid rootfs in image configuration")
    diff_ids = rootfs.get("diff_ids") or []
    if not isinstance(diff_ids, list) or not all(isinstance(d, str) and is_digest(d) for d in diff_ids):
        raise _bad("invalid image config: rootfs.diff_ids are not sha256 digests")
    if len(diff_ids) > MAXIMUM_LAYERS:
        raise _bad("invalid image config: max depth exceeded")
    system = document.get("os") or "linux"
    if system != "linux":
        raise UnsupportedError(f'image operating system "{system}" cannot be used on this platform')
    _check_shape(document)
    place = Platform("linux", str(document.get("architecture") or ""), str(document.get("variant") or ""))
    return ConfigFacts(document, tuple(diff_ids), parse_time(document.get("created")), place)


_TEXTS = ("User", "WorkingDir", "StopSignal", "Hostname", "Domainname", "Image")
_LISTS = ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell")
_MAPS = ("Labels", "ExposedPorts", "Volumes")


def _check_shape(document: dict[str, Any]) -> None:
    """Refuse values of the wrong type once, so that nobody has to ask again."""
    for key in ("config", "container_config"):
        config = document.get(key)
        if config is None:
            continue
        if not isinstance(config, dict):
            raise _bad(f"invalid image config: {key} is not an object")
        for name in _TEXTS:
            if not isinstance(config.get(name) or "", str):
                raise _bad(f"invalid image config: {name} is not a text")
        for name in _LISTS:
            value = config.get(name) or []
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise _bad(f"invalid image config: {name} is not a list of texts")
        for name in _MAPS:
            if not isinstance(config.get(name) or {}, dict):
                raise _bad(f"invalid image config: {name} is not an object")
        labels = config.get("Labels") or {}
        if not all(isinstance(value, str) for value in labels.values()):
            raise _bad("invalid image config: Labels are not texts")
        texts = [
            *(config.get(name) or "" for name in _TEXTS),
            *(text for name in _LISTS for text in config.get(name) or []),
        ]
        if any("\0" in text for text in texts):
            raise _bad("invalid image config: NUL in a text")
    history = document.get("history")
    if history is not None and (
        not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history)
    ):
        raise _bad("invalid image config: history is not a list of objects")


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)")


def parse_time(text: object) -> int:
    """Return the Unix nanoseconds of an RFC 3339 time, 0 when it is none or before 1970."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return 0
    try:
        moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
        return max(0, int(moment.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0")))
    except (ValueError, OverflowError):
        return 0


def format_time(nanos: int) -> str:
    """Return Unix nanoseconds as RFC 3339 with Go's trimmed fraction."""
    seconds, rest = divmod(nanos, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def chain_ids(diff_ids: tuple[str, ...] | list[str]) -> list[str]:
    """Return the chain id of each layer, base first (config.md, "Layer ChainID")."""
    result: list[str] = []
    for diff_id in diff_ids:
        result.append(sha256(f"{result[-1]} {diff_id}".encode()) if result else diff_id)
    return result


_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}


def host_platform() -> Platform:
    """Return the platform of this machine."""
    machine = host.machine()
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def parse_platform(text: str) -> Platform:
    """Return the platform of "os[/arch[/variant]]" or "arch"; empty is this host.

    Raises InvalidArgumentError.
    """
    if not text:
        return host_platform()
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
        raise InvalidArgumentError(
            f'"{text}" is an invalid OS and architecture: an image platform is os[/arch[/variant]]'
        )
    if len(parts) == 1 and parts[0] not in ("linux", "windows", "darwin", "freebsd"):
        parts = ["linux", *parts]
    if parts[0] != "linux":
        raise InvalidArgumentError(f'operating system "{parts[0]}" is not supported')
    here = host_platform()
    if len(parts) == 1:
        return here
    architecture = _ALIASES.get(parts[1], parts[1])
    variant = parts[2] if len(parts) == 3 else ("v8" if architecture == "arm64" else "")
    return Platform(parts[0], architecture, variant)


def select(index: Index, wanted: Platform, name: str) -> Descriptor:
    """Return the best manifest of an index for a platform. Raises NotFoundError in Docker's words."""
    fitting = [
        entry
        for entry in index.manifests
        if entry.media_type in (*_MANIFESTS, *_INDEXES, "")
        and (entry.os or "linux") == wanted.os
        and entry.architecture == wanted.architecture
    ]
    default = {"arm64": "v8", "arm": "v7"}.get(wanted.architecture, "")
    for variant in dict.fromkeys((wanted.variant, "", default)):
        for entry in fitting:
            if entry.variant == variant:
                return entry
    if fitting and not wanted.variant:
        return fitting[0]
    raise NotFoundError(
        f"no matching manifest for {wanted} in the manifest list entries", reason="NO_MATCHING_PLATFORM"
    )


def dump(document: dict[str, Any]) -> bytes:
    """Return compact JSON, the form our configs and manifests are stored in."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def make_manifest(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """Return a schema 2 manifest (indented by three blanks, as Docker writes it)."""
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": config.as_json(),
        "layers": [layer.as_json() for layer in layers],
    }
    return json.dumps(document, indent=3).encode()
