"""One running request: whether its caller still waits, and what it holds on to meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trine.kit.errors import CancelledError, DeadlineExceededError


class Operation:
    """Cancellation for work in threads: ``check`` often, ``on_cancel`` for what blocks.

    Thread-safe. ``deadline`` is a time.monotonic() value, 0 for none.
    """

    def __init__(self, deadline: float = 0.0) -> None:
        self._event = threading.Event()
        self._deadline = deadline
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def cancelled(self) -> bool:
        """Whether the caller went away."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Tell everything that works for this request to stop; idempotent."""
        with self._lock:
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise CancelledError or DeadlineExceededError when the work is not wanted any more."""
        if self._event.is_set():
            raise CancelledError("context canceled")
        if self._deadline and time.monotonic() > self._deadline:
            raise DeadlineExceededError("context deadline exceeded")

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the caller does."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def on_cancel(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call ``callback`` (from any thread, once) if the request is cancelled inside the block."""
        with self._lock:
            if not self._event.is_set():
                number = self._next
                self._next += 1
                self._callbacks[number] = callback
            else:
                number = -1
        if number < 0:
            callback()
            self.check()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(number, None)


class KeyedLocks:
    """One lock for each key, there only while somebody wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str, operation: Operation) -> Iterator[None]:
        """Hold the lock of ``key``; gives up when the operation is cancelled."""
        with self._lock:
            lock, count = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, count + 1)
        held = False
        try:
            while not (held := lock.acquire(timeout=0.1)):
                operation.check()
            yield
        finally:
            if held:
                lock.release()
            with self._lock:
                lock, count = self._locks[key]
                if count == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, count - 1)
