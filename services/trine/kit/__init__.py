"""What every service shares: server start, errors, logs, durable state. No features."""
