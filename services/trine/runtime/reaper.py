"""Reaping what is left to the service: it is the subreaper of shims whose zygote died (prctl(2)).

A child that somebody here waits for (the zygote, a ps) must not be taken from him: such are reaped at
once by their owners, so what still is a zombie a second later is nobody's. Shims are known by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from trine.linux import process

_PATIENCE_SECONDS = 1.0


def zombies() -> set[int]:
    """Return our children that have ended and were not reaped (proc_pid_task(5), children)."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            for word in (task / "children").read_text().split():
                pid = int(word)
                with contextlib.suppress(ChildProcessError):
                    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
                    if os.waitid(os.P_PID, pid, flags) is not None:
                        found.add(pid)
    return found


def _is_shim(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("trine-shim")
    except OSError:
        return False


def _reap(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


class Reaper:
    """Reaps strangers; ``child_ended`` is the handler of SIGCHLD."""

    def __init__(self) -> None:
        """Become the subreaper."""
        process.set_child_subreaper()
        self._timer: asyncio.TimerHandle | None = None

    def child_ended(self) -> None:
        """Reap shims now, other strangers after a moment."""
        found = zombies()
        shims = {pid for pid in found if _is_shim(pid)}
        _reap(shims)
        if found - shims and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_PATIENCE_SECONDS, self._look_again, found - shims)

    def _look_again(self, before: set[int]) -> None:
        self._timer = None
        found = zombies()
        _reap(found & before)
        if found - before:
            self.child_ended()
