"""Attaches to a shim and ends with what the process ended with, 200 when it was left.

``python attach_program.py SOCKET FLAGS``: FLAGS is some of i (stdin), t (terminal), s (proxy signals).
"""

from __future__ import annotations

import os
import sys
from typing import Any

from trine.cli.attach import Session
from trine.cli.wire import Message


class Engine:
    """An engine that only knows where the shim is."""

    local = True

    def call(self, _method: str, _fields: Any) -> Message:
        return Message("GetAttachSocketResponse", {"path": sys.argv[1]})


def main() -> int:
    flags = sys.argv[2]
    engine: Any = Engine()
    session = Session(engine, "id", stdin="i" in flags, stdout=True, stderr=True, tty="t" in flags)

    def on_signal(number: int) -> None:
        os.write(2, b"signal %d\n" % number)

    try:
        session.run(on_signal if "s" in flags else None)
    finally:
        session.close()
    return 200 if session.detached else session.exit_code or 0


if __name__ == "__main__":
    sys.exit(main())
