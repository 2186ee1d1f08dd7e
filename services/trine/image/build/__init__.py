"""Builds: Dockerfile, context, cache keys and the order of steps."""
