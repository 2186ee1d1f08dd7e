"""Unpacking a layer while it is still being downloaded.

On most networks the download takes longer than the unpacking, so what is left to do after the last
octet is next to nothing. The unpacker reads the file the download writes; what it makes counts only
if the download proves to be what the manifest says, and its own digest what the config says.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from trine.image.operation import Operation
from trine.image.workers import Workers


class Overlap:
    """One layer's unpacking beside its download; ``close`` it whatever happens."""

    def __init__(self, workers: Workers, request: dict[str, Any], length: int, prefix: str) -> None:
        """``request`` is an "unpack" whose source will grow to ``length``."""
        self._workers = workers
        self._request = {**request, "growing": True, "length": length}
        self._prefix = prefix
        self._operation = Operation()
        self._pool: ThreadPoolExecutor | None = None
        self._work: Future[dict[str, Any]] | None = None
        self._refused = False  # too many at it: unpack afterwards

    def begin(self, progress: Callable[[int], None]) -> None:
        """Begin, once; called when the source exists.

        That it fails is told by ``result`` only: a download that is not what it should be matters more.
        """
        if self._work is not None or self._refused:
            return
        if not self._workers.beside.acquire(blocking=False):
            self._refused = True
            return
        self._pool = ThreadPoolExecutor(1, "unpack")
        self._work = self._pool.submit(self._run, progress)

    def _run(self, progress: Callable[[int], None]) -> dict[str, Any]:
        try:
            return self._workers.call_beside(self._request, self._operation, progress, prefix=self._prefix)
        finally:
            self._workers.beside.release()

    def result(self, operation: Operation) -> dict[str, Any] | None:
        """Return the unpacker's answer when the download is complete; None when it never began.

        Raises as Workers.call.
        """
        if self._work is None:
            return None
        with operation.on_cancel(self._operation.cancel):
            return self._work.result()

    def close(self) -> None:
        """End what still runs, and wait for its end."""
        self._operation.cancel()
        if self._pool is not None:
            self._pool.shutdown()
