"""The seam to the builder (trine.image.build.service), which is loaded when a build is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Protocol, cast

from trine.image.operation import Operation
from trine.image.store import ImageStore
from trine.kit.errors import UnsupportedError
from trine.v1 import image_pb2 as pb


class Builder(Protocol):
    """What ``trine.image.build.service.BuildService(store)`` is: made once, used from the event loop."""

    def build(
        self, requests: AsyncIterator[pb.BuildImageRequest], operation: Operation
    ) -> AsyncIterator[pb.BuildImageResponse]:
        """Run one build; when the caller goes away the iterator is closed, and the build undoes itself."""

    async def prune(self, request: pb.PruneBuildCacheRequest) -> pb.PruneBuildCacheResponse:
        """Forget build cache."""

    def usage(self) -> tuple[int, int]:
        """Return bytes and entries only the build cache keeps (called in a thread)."""

    def close(self) -> None:
        """Wait for builds that were cancelled to undo what they did."""


def load_builder(store: ImageStore) -> Builder:
    """Return the builder over a store. Raises UnsupportedError when it is not installed."""
    try:
        module = importlib.import_module("trine.image.build.service")
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"this installation cannot build: {error}") from None
    return cast(Builder, module.BuildService(store))
