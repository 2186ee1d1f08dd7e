"""docker images and docker history: which images a filter keeps, in which order."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace

from trine.image import reference
from trine.image.models import Image
from trine.image.spec import parse_time
from trine.image.store import ImageStore
from trine.kit.errors import InvalidArgumentError

_LIST_FILTERS = ("dangling", "label", "before", "since", "reference")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def split_filters(filters: list[str], allowed: tuple[str, ...]) -> dict[str, list[str]]:
    """Return filters by key. Raises InvalidArgumentError for an unknown one, in Docker's words."""
    found: dict[str, list[str]] = {}
    for item in filters:
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if not equals:
            raise InvalidArgumentError(f"bad format of filter (expected name=value): {item}")
        if key not in allowed:
            raise InvalidArgumentError(f"Invalid filter '{key}'")
        found.setdefault(key, []).append(value.strip())
    return found


def boolean(values: list[str], key: str) -> bool | None:
    """Return the one truth a filter's values say, None when there are none."""
    if not values:
        return None
    kinds = {value in _TRUE for value in values}
    if any(value not in _TRUE + _FALSE for value in values) or len(kinds) > 1:
        raise InvalidArgumentError(f"Invalid filter '{key}=[{' '.join(values)}]'")
    return kinds.pop()


def labels_match(wanted: list[str], labels: dict[str, str]) -> bool:
    """Whether all "key" or "key=value" filters fit."""
    for item in wanted:
        key, equals, value = item.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def image_labels(image: Image) -> dict[str, str]:
    """Return an image's labels."""
    config = image.config.get("config") or {}
    labels: dict[str, str] = config.get("Labels") or {}
    return labels


def parse_until(text: str, now: float | None = None) -> int:
    """Return the Unix nanoseconds an "until=" filter means: a Go duration ago, seconds, or a time.

    Raises InvalidArgumentError.
    """
    now = time.time() if now is None else now
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)", text)
    if parts and "".join(a + b for a, b in parts) == text:
        return int((now - sum(float(a) * units[b] for a, b in parts)) * 1e9)
    if re.fullmatch(r"\d+(\.\d{1,9})?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * 10**9 + int((fraction or "0").ljust(9, "0"))
    for suffix in ("", "Z", ":00Z", ":00:00Z", "T00:00:00Z"):
        if found := parse_time(text + suffix):
            return found
    raise InvalidArgumentError(f"failed to parse value as time or duration: {text!r}".replace("'", '"'))


@dataclass(frozen=True)
class Query:
    """A checked list request."""

    all: bool = False
    references: list[str] = field(default_factory=list)
    dangling: bool | None = None
    labels: list[str] = field(default_factory=list)
    before: int | None = None
    since: int | None = None


def make_query(store: ImageStore, show_all: bool, argument: str, filters: list[str]) -> Query:
    """Check a request. Raises InvalidArgumentError, NotFoundError (before= and since= name images)."""
    found = split_filters(filters, _LIST_FILTERS)
    before = found.get("before", [])
    since = found.get("since", [])
    return Query(
        all=show_all,
        references=found.get("reference", []) + ([argument] if argument else []),
        dangling=boolean(found.get("dangling", []), "dangling"),
        labels=found.get("label", []),
        before=store.resolve(before[-1]).created_nanos if before else None,
        since=store.resolve(since[-1]).created_nanos if since else None,
    )


def select(images: list[Image], parents: set[str], query: Query) -> list[Image]:
    """Return the images to show, newest first, each with only the names to show."""
    shown: list[Image] = []
    for image in images:
        if query.before is not None and image.created_nanos >= query.before:
            continue
        if query.since is not None and image.created_nanos <= query.since:
            continue
        if query.labels and not labels_match(query.labels, image_labels(image)):
            continue
        tags, digests = image.tags, image.digests
        if query.references:
            tags = tuple(t for t in tags if _fits(query.references, t))
            digests = tuple(d for d in digests if _fits(query.references, d))
        if not tags and not digests:
            if query.references or query.dangling is False:
                continue
            if not query.all and image.id in parents:
                continue
            if image.tags or image.digests:
                continue
        elif query.dangling and tags:
            continue
        shown.append(replace(image, tags=tags, digests=digests))
    # Docker shows images of one second in any order; the name makes it the same every time.
    return sorted(shown, key=lambda image: (-image.created_nanos, image.tags, image.id))


def _fits(patterns: list[str], canonical: str) -> bool:
    found = reference.parse_canonical(canonical)
    return any(reference.matches(pattern, found) for pattern in patterns)
