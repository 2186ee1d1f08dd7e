"""A stack of inverses: what a use case did, and how to take it back, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from trine.kit.logs import get_logger

Inverse = Callable[[], Awaitable[object]]


class Undo:
    """``async with Undo() as undo``: an exception inside runs what was pushed; ``keep`` forgets it.

    Inverses are idempotent. One that fails is logged and the others still run: what it left is found
    by the next reconcile, which asks the leaves and not this stack.
    """

    def __init__(self, what: str) -> None:
        """Start empty; ``what`` names the use case in logs."""
        self.what = what
        self._inverses: list[tuple[str, Inverse]] = []

    def push(self, name: str, inverse: Inverse) -> None:
        """Add the inverse of a step; push it before the step when the step may half succeed."""
        self._inverses.append((name, inverse))

    def keep(self) -> None:
        """Everything is done: forget the inverses."""
        self._inverses.clear()

    async def run(self) -> None:
        """Run all inverses, newest first, whatever happens to each."""
        log = get_logger("engine")
        while self._inverses:
            name, inverse = self._inverses.pop()
            try:
                await inverse()
            except Exception as error:
                log.warning("could not undo a step", use_case=self.what, step=name, error=str(error))

    async def __aenter__(self) -> Undo:
        """Give the stack."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo when the block failed or was cancelled; a second cancellation does not stop it."""
        if kind is None or not self._inverses:
            return
        await run_to_end(self.run())


async def run_to_end(work: Awaitable[object]) -> None:
    """Await work to its end even when the awaiting task is cancelled; then raise the cancellation."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:
            break
    if cancelled is not None:
        raise cancelled
    task.result()
