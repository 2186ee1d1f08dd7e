"""For all tests: children get the default SIGINT, also where CI runs in the background."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
