"""--attach."""

from __future__ import annotations


def check_stream(text: str) -> str:
    """Return a stream's name in lower case; raises ValueError."""
    name = text.lower()
    if name not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return name
