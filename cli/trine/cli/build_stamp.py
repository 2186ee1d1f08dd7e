"""From which commit this client was built, and when; a packager may write it here."""

from __future__ import annotations

COMMIT = "unknown"
TIME = "unknown"
