"""A real but featureless service for the supervisor's tests: health only, ends with status 3 when told to."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from trine.kit import logs
from trine.kit.server import Service, run


async def register(_server: Any) -> list[str]:
    return []


if __name__ == "__main__":
    if len(sys.argv) > 2 and Path(sys.argv[2]).exists():
        raise SystemExit(3)
    logs.configure("error")
    raise SystemExit(asyncio.run(run(Service("tiny", [sys.argv[1]], register))))
