"""A small event loop on epoll(7): descriptors and what to call when they are ready. Lean."""

from __future__ import annotations

import select
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
ERROR = select.EPOLLERR | select.EPOLLHUP
Callback = Callable[[int], None]


class Reactor:
    """Calls back with the ready events (READ, WRITE, ERROR bits) until told to stop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._later: list[Callable[[], None]] = []
        self._running = True

    def add(self, descriptor: int, events: int, callback: Callback) -> None:
        """Watch a descriptor; errors and hang-ups are always reported. Raises OSError (EPERM: a file)."""
        self._epoll.register(descriptor, events)
        self._callbacks[descriptor] = callback

    def change(self, descriptor: int, events: int) -> None:
        """Watch for other events from now on."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Watch no more; before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            try:
                self._epoll.unregister(descriptor)
            except OSError:
                pass

    def call_later(self, callback: Callable[[], None]) -> None:
        """Call once the events at hand have been worked off."""
        self._later.append(callback)

    def stop(self) -> None:
        """Return from ``run`` after the present event."""
        self._running = False

    def run(self) -> None:
        """Loop until ``stop``; may be called again then."""
        self._running = True
        while self._running:
            for descriptor, events in self._epoll.poll(0 if self._later else -1, 64):
                callback = self._callbacks.get(descriptor)
                if callback is not None:  # removed by one that came before it
                    callback(events)
            if self._later:
                waiting, self._later = self._later, []
                for call in waiting:
                    call()

    def close(self) -> None:
        """Close the epoll descriptor; those that were watched are their owners'."""
        self._epoll.close()
