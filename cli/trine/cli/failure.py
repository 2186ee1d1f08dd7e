"""What ends a command early: a line for the user and an exit status."""

from __future__ import annotations


class Failure(Exception):
    """Printed to standard error as it is; the command exits with ``status``."""

    def __init__(self, message: str, status: int = 1) -> None:
        """Keep both; an empty message prints nothing (the status of a container, say)."""
        super().__init__(message)
        self.status = status


class UnreachableError(Failure):
    """No daemon answers at the address."""
