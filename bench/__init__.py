"""Measurements against docker, podman and crun; `python -m bench.run --help`."""
