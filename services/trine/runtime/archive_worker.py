"""placeholder"""

from __future__ import annotations

import os
from typing import Any, NoReturn


def main(message: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Run."""
    os._exit(0)
