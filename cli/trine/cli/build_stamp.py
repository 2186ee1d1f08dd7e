"""From which commit this client was built, and when: a wheel has it (tools/stamp.py), sources do not."""

from __future__ import annotations

COMMIT = "unknown"
TIME = "unknown"
