"""From which commit the services were built, and when: a wheel has it (tools/stamp.py), sources do not."""

COMMIT = "unknown"
TIME = "unknown"
