"""When a container that ended is started again, and how long after. Pure.

The rules of Docker's restart manager: 100 ms, doubled for each try, at most a minute; back to
100 ms after a run of ten seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 60.0
HEALTHY_RUN_SECONDS = 10.0


@dataclass(frozen=True)
class Policy:
    """A restart policy: name and, for on-failure, how many times (0: no bound)."""

    name: str
    maximum_retry_count: int = 0


def wants_restart(policy: Policy, exit_code: int, restart_count: int, manually_stopped: bool) -> bool:
    """Tell whether a container that ended with ``exit_code`` is to be started again."""
    if policy.name == "always":
        return True
    if policy.name == "unless-stopped":
        return not manually_stopped
    if policy.name == "on-failure":
        within = policy.maximum_retry_count == 0 or restart_count < policy.maximum_retry_count
        return exit_code != 0 and within
    return False


def next_delay(previous_seconds: float, run_seconds: float) -> float:
    """Return how long to wait before the next try; ``previous_seconds`` is 0 for the first."""
    if previous_seconds <= 0 or run_seconds >= HEALTHY_RUN_SECONDS:
        return FIRST_DELAY_SECONDS
    return min(previous_seconds * 2, LONGEST_DELAY_SECONDS)


def check(policy: Policy) -> str:
    """Return Docker's text for what is wrong with a policy, or ""."""
    if policy.name in ("", "no", "always", "unless-stopped"):
        if policy.maximum_retry_count:
            return f"maximum retry count cannot be used with restart policy '{policy.name or 'no'}'"
        return ""
    if policy.name == "on-failure":
        return "maximum retry count cannot be negative" if policy.maximum_retry_count < 0 else ""
    return f"invalid restart policy '{policy.name}'"
