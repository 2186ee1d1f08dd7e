"""Refuse fork in a process that has grpc loaded (grpc#17093, #37259: it dead-locks or corrupts).

subprocess and posix_spawn stay allowed: they use vfork or clone(CLONE_VFORK) and run nothing of ours
in the child.
"""

from __future__ import annotations

import sys

_FORBIDDEN = frozenset({"os.fork", "os.forkpty"})


def _hook(event: str, _arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN and "grpc" in sys.modules:
        raise RuntimeError(f"{event} in a process with grpc loaded; use the zygote or a new interpreter")


def install() -> None:
    """Add the audit hook (sys.addaudithook); it cannot be removed."""
    sys.addaudithook(_hook)
