"""--cache-from: images whose history the user trusts to tell what a step made.

Only what is named on the command line is trusted, and only where base layers and history agree up to
the step. What is taken so does not enter the build cache: the next build must name it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trine.image.models import Image
from trine.image.store import ImageStore


@dataclass(frozen=True)
class Found:
    """A step found in a trusted image's history."""

    source: Image
    history: dict[str, Any]  # its entry
    diff_id: str  # of its layer, "" for none
    is_last: bool  # the step made the trusted image itself


class TrustedImages:
    """The images named, as far as they are here."""

    def __init__(self, store: ImageStore, names: Sequence[str]) -> None:
        """Look the names up; one that is not here is left out, as Docker does."""
        self.asked = bool(names)
        found = (store.find(name) for name in names)
        self._images = [image for image in found if image is not None]
        self._lineage: set[str] = set()
        for image in self._images:
            walked: Image | None = image
            while walked is not None and walked.id not in self._lineage:
                self._lineage.add(walked.id)
                walked = store.catalog.image(walked.parent) if walked.parent else None

    def allows(self, image_id: str) -> bool:
        """Tell whether an image of the build cache may be used: any, or those the named came from."""
        return not self.asked or image_id in self._lineage

    def find(self, parent: Image | None, created_by: str) -> Found | None:
        """Return the step after ``parent`` in a trusted history, when its command is this one."""
        before = _history(parent)
        layers = parent.diff_ids if parent is not None else ()
        for image in self._images:
            history = _history(image)
            if len(history) <= len(before) or history[: len(before)] != before:
                continue
            if image.diff_ids[: len(layers)] != layers:
                continue
            entry = history[len(before)]
            if entry.get("created_by") != created_by:
                continue
            if entry.get("empty_layer"):
                return Found(image, entry, "", len(history) == len(before) + 1)
            if len(image.diff_ids) > len(layers):
                diff_id = image.diff_ids[len(layers)]
                return Found(image, entry, diff_id, len(history) == len(before) + 1)
        return None


def _history(image: Image | None) -> list[dict[str, Any]]:
    return list(image.config.get("history") or []) if image is not None else []
