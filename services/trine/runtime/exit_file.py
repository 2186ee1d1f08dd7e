"""exit.json: how a container ended, written by its shim before anybody is told. Lean."""

from __future__ import annotations

import json
import os
from typing import Any


def write(state: dict[str, Any], bundle: str, state_directory: str) -> None:
    """Write it whole or not at all (rename(2)); kill -9 of anybody leaves the old or the new.

    Beside the socket (a tmpfs) when the disk is full or was taken away. Never raises: watchers still hear it.
    """
    content = json.dumps(state).encode()
    for directory in (bundle, state_directory):
        temporary = f"{directory}/.exit.json.{os.getpid()}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                whole = os.write(descriptor, content) == len(content)
            finally:
                os.close(descriptor)
            if whole:
                os.replace(temporary, f"{directory}/exit.json")
                return
        except OSError:
            pass
        try:
            os.unlink(temporary)
        except OSError:
            pass


def sync(bundle: str) -> None:
    """Have it survive a power loss (fsync(2)); for when everybody has been told, as it takes a while."""
    try:
        descriptor = os.open(f"{bundle}/exit.json", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    os.close(descriptor)
