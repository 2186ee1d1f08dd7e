"""What may go: marks from rows and leases, nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trine.image.models import Blob, Layer


@dataclass(frozen=True)
class Garbage:
    """What nothing needs."""

    layers: tuple[Layer, ...]
    blobs: tuple[Blob, ...]

    @property
    def reclaimed(self) -> int:
        """Bytes that come free."""
        return sum(layer.size for layer in self.layers) + sum(blob.size for blob in self.blobs)


def find_garbage(
    layers: Iterable[Layer], blobs: Iterable[Blob], roots: Iterable[Iterable[str]], leased: Iterable[str]
) -> Garbage:
    """Return layers no root (the diff ids of an image or snapshot) and no lease names, and their blobs."""
    live = set(leased)
    for root in roots:
        live.update(root)
    return Garbage(
        tuple(layer for layer in layers if layer.diff_id not in live),
        tuple(blob for blob in blobs if blob.diff_id not in live),
    )
