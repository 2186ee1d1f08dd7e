"""The rows and columns of ``images``: one row a name."""

from __future__ import annotations

from time import time_ns

from trine.cli.text.units import human_duration, human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

    Row = tuple[str, str, str, Message]

COLUMNS = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
DIGEST_COLUMNS = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"]
NONE = "<none>"


def split_tag(name: str) -> tuple[str, str]:
    """Return repository and tag of "host:5000/name:tag"."""
    repository, _, tag = name.rpartition(":")
    return repository, tag


def rows(images: Iterable[Message], *, digests: bool) -> list[Row]:
    """Return (repository, tag, digest, image) rows as docker/cli's formatter makes them."""
    found: list[Row] = []
    for image in images:
        tags: dict[str, list[str]] = {}
        for name in image.repo_tags:
            repository, tag = split_tag(name)
            tags.setdefault(repository, []).append(tag)
        by_repository: dict[str, list[str]] = {}
        for name in image.repo_digests:
            repository, _, digest = name.partition("@")
            by_repository.setdefault(repository, []).append(digest)
        if not tags and not by_repository:
            found.append((NONE, NONE, NONE, image))
            continue
        for repository, names in tags.items():
            own = by_repository.pop(repository, [])
            for tag in names:
                if digests:
                    found += [(repository, tag, digest, image) for digest in own or [NONE]]
                else:
                    found.append((repository, tag, NONE, image))
        for repository, own in by_repository.items():
            if digests:
                found += [(repository, NONE, digest, image) for digest in own]
            else:
                found.append((repository, NONE, NONE, image))
    return found


def since(nanos: int) -> str:
    """Return "5 days ago", "N/A" for an unknown time."""
    return f"{human_duration((time_ns() - nanos) / 1e9)} ago" if nanos else "N/A"


def columns(*, truncate: bool) -> Columns:
    """Return all columns of ``images``."""
    from trine.cli.text import times

    return {
        "Repository": ("REPOSITORY", lambda row: row[0]),
        "Tag": ("TAG", lambda row: row[1]),
        "Digest": ("DIGEST", lambda row: row[2]),
        "ID": ("IMAGE ID", lambda row: short_id(row[3].id) if truncate else row[3].id),
        "CreatedSince": ("CREATED", lambda row: since(row[3].created_at_unix_nanos)),
        "CreatedAt": ("CREATED AT", lambda row: times.go_string(row[3].created_at_unix_nanos)),
        "Size": ("SIZE", lambda row: human_size(row[3].size_bytes, 3)),
        "VirtualSize": ("SIZE", lambda row: human_size(row[3].size_bytes, 3)),
        "SharedSize": ("SHARED SIZE", lambda row: _optional(row[3].shared_size_bytes)),
        "UniqueSize": ("UNIQUE SIZE", lambda row: _unique(row[3])),
        "Containers": ("CONTAINERS", lambda row: _count(row[3].containers)),
    }


def _optional(size: int) -> str:
    return human_size(size, 3) if size > 0 else "N/A"


def _unique(image: Message) -> str:
    shared = image.shared_size_bytes
    return human_size(image.size_bytes - shared, 3) if shared > 0 else "N/A"


def _count(number: int) -> str:
    return str(number) if number > 0 else "N/A"
