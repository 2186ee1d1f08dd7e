"""Between the event loop, where calls arrive, and the threads, where the store works."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from trine.image.layers.tarformat import show
from trine.image.operation import Operation
from trine.kit.errors import InternalError, ResourceExhaustedError

T = TypeVar("T")
_QUICK_THREADS = 8
_LONG_THREADS = 64
_AHEAD = 16  # messages a stream may be ahead of its reader


def operation_of(context: Any) -> Operation:
    """Return the operation of a call, with the call's deadline."""
    remaining = context.time_remaining()
    return Operation(time.monotonic() + remaining if remaining is not None else 0.0)


def _plain_errors(work: Callable[..., T]) -> Callable[..., T]:
    """Return the work with what the host refuses (OSError) as an error for the user, in one line."""

    def run(*arguments: Any) -> T:
        try:
            return work(*arguments)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            name = show(os.fsencode(error.filename)) if error.filename else "image store"
            text = f"{name}: {reason}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ResourceExhaustedError(text, reason="NO_SPACE") from error
            raise InternalError(text, reason="HOST_ERROR") from error

    return run


class Bridge:
    """Two pools: quick calls never wait for long ones."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, "quick")
        self._long = ThreadPoolExecutor(_LONG_THREADS, "long")
        self._running: set[Operation] = set()

    async def quick(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run something of a few milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, _plain_errors(work), *arguments)

    async def long(self, operation: Operation, work: Callable[[], T]) -> T:
        """Run something that may take long; it is told to stop when the caller goes away."""
        future = asyncio.get_running_loop().run_in_executor(self._long, _plain_errors(work))
        self._running.add(operation)
        future.add_done_callback(lambda _: self._running.discard(operation))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            operation.cancel()
            future.add_done_callback(lambda done: done.exception())
            raise

    async def stream(
        self, operation: Operation, work: Callable[[Callable[[T], None]], object]
    ) -> AsyncIterator[T]:
        """Yield what ``work(emit)`` emits in a thread; ends, or raises, when it does.

        ``emit`` waits while the reader is behind, and raises when it went away.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)

        def emit(item: T) -> None:
            while not room.acquire(timeout=0.1):
                operation.check()
            loop.call_soon_threadsafe(queue.put_nowait, (item,))

        def run() -> None:
            try:
                work(emit)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        future = loop.run_in_executor(self._long, _plain_errors(run))
        self._running.add(operation)
        future.add_done_callback(lambda _: self._running.discard(operation))
        try:
            while (item := await queue.get()) is not None:
                room.release()
                yield item[0]
            await future
        finally:
            if not future.done():
                operation.cancel()
                future.add_done_callback(lambda done: done.exception())

    async def receive(self, chunks: AsyncIterator[bytes], path: Path) -> None:
        """Write a stream of chunks to a new file. Raises OSError; the file is the caller's to remove."""
        with path.open("xb", buffering=0) as file:

            def write(chunk: bytes) -> None:
                rest = memoryview(chunk)
                while rest:  # on a disk that gets full the first write is only short
                    rest = rest[file.write(rest) :]

            try:
                async for chunk in chunks:
                    await asyncio.get_running_loop().run_in_executor(self._long, write, chunk)
            except OSError:
                # To its end all the same: a caller whose stream is cut while it writes hears grpc's
                # "Internal error from Core" in place of what we say.
                async for _ in chunks:
                    pass
                raise

    def close(self) -> None:
        """Cancel what still runs and wait until it has undone itself."""
        # The event loop is busy here: the handlers cannot tell their operations any more.
        for operation in list(self._running):
            operation.cancel()
        self._quick.shutdown(wait=True)
        self._long.shutdown(wait=True, cancel_futures=True)
