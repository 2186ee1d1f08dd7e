"""What the store hands out: plain records, no behaviour, no grpc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layer:
    """One unpacked layer: ``layers/<number>/fs`` holds exactly the tar with this diff id."""

    number: int  # names the directory
    diff_id: str  # digest of the uncompressed tar
    size: int  # of the files in it, as Docker counts
    tar_size: int  # length of the uncompressed tar
    opaque_root: bool = False  # hides every layer below it


@dataclass(frozen=True)
class Blob:
    """A compressed (or plain) layer tar in the content store."""

    digest: str
    size: int
    media_type: str
    diff_id: str


@dataclass(frozen=True)
class Image:
    """An image: its config, parsed and as bytes, and what the store knows of it.

    ``config`` is the whole image JSON (OCI image-spec config.md, Docker's image JSON): keys
    ``architecture os config container_config history rootfs created author …``. Do not change it.
    """

    id: str  # "sha256:<64 hex>"
    raw: bytes  # the config blob; sha256(raw) == id
    config: dict[str, Any]
    diff_ids: tuple[str, ...]  # base first
    created_nanos: int
    size: int  # of all layers
    parent: str = ""  # id of the image it was made from here, or ""
    manifest_digest: str = ""  # of the manifest kept here, or ""
    tagged_nanos: int = 0  # when it was last tagged
    built_here: bool = False  # made by a build on this host: may be used as build cache
    tags: tuple[str, ...] = ()  # canonical "docker.io/library/httpd:latest"
    digests: tuple[str, ...] = ()  # canonical "docker.io/library/httpd@sha256:…"


@dataclass(frozen=True)
class Snapshot:
    """A writable layer over an image."""

    key: str
    number: int
    image_id: str  # "" for an empty root or a bare list of layers
    created_nanos: int
    lower: tuple[Path, ...]  # topmost first; never empty (an empty directory stands for nothing)
    upper: Path
    work: Path
    diff_ids: tuple[str, ...] = ()  # of the layers below, base first


@dataclass(frozen=True)
class Line:
    """Progress: a line for the user."""

    text: str


@dataclass(frozen=True)
class LayerStatus:
    """Progress of one layer, in Docker's words."""

    id: str  # first 12 hex digits
    status: str
    current: int = 0
    total: int = 0


Emit = Callable[[Line | LayerStatus], None]


@dataclass(frozen=True)
class Credentials:
    """For one registry. Never logged: repr hides them."""

    server: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.username or self.identity_token)


@dataclass(frozen=True)
class Pulled:
    """What a pull ended with."""

    image_id: str
    digest: str  # of the manifest or index the name stood for
    up_to_date: bool
