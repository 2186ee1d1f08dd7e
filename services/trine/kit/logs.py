"""Structured logs to standard error, as text or JSON lines; to systemd's journal with the level it knows."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import structlog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
# sd-daemon(3): what a line for the journal begins with.
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_SECRET_KEYS = frozenset({"password", "token", "identity_token", "authorization", "auth", "secret"})


def _hide_secrets(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for key in event:
        if key.lower() in _SECRET_KEYS:
            event[key] = "***"
    return event


def is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Tell whether a descriptor is the journal: JOURNAL_STREAM has its device and inode (systemd.exec(5))."""
    status = os.fstat(descriptor)
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _add_priority(_logger: object, method: str, event: Any) -> str:
    return f"<{_PRIORITIES.get(method, 6)}>{event}"


def configure(level: str = "info", log_format: str = "text") -> None:
    """Set up structlog once for the process; ``level`` as dockerd's --log-level, format text or json."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    journal = is_journal(2, os.environ)
    timed = log_format == "json" or not journal  # the journal has a time of its own
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *([structlog.processors.TimeStamper(fmt="iso", utc=True)] if timed else []),
            _hide_secrets,
            structlog.processors.format_exc_info,
            renderer,
            *([_add_priority] if journal else []),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one part; ``name`` is shown as ``part``."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger
