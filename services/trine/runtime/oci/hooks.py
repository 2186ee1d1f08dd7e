"""Hooks of an OCI configuration (runtime-spec config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trine.runtime.failure import ContainerError

BEFORE_PIVOT = ("prestart", "createRuntime")  # in the runtime's namespaces, once all is mounted
IN_CONTAINER = "createContainer"  # in the container's namespaces, before the host's tree goes
START_CONTAINER = "startContainer"  # in the container, before its process is executed
POST_START = "poststart"
POST_STOP = "poststop"


def wanted(config: Mapping[str, Any], *stages: str) -> bool:
    """Tell whether there is a hook for any of the stages."""
    hooks = config.get("hooks") or {}
    return any(hooks.get(stage) for stage in stages)


def preload(config: Mapping[str, Any]) -> None:
    """Import what hooks inside the container need, while there is something to import from."""
    if wanted(config, IN_CONTAINER, START_CONTAINER):
        import subprocess  # noqa: F401


def run(config: Mapping[str, Any], stage: str, state: Mapping[str, Any], status: str) -> None:
    """Run the hooks of a stage in order, each with the state on its standard input.

    Args:
        config: the container's configuration.
        stage: "prestart", "createRuntime", …
        state: "ociVersion", "id", "pid", "bundle", "annotations".
        status: what the hook is told: creating, created, running, stopped.

    Raises:
        ContainerError: one cannot be run, fails or takes longer than its timeout.
    """
    entries = (config.get("hooks") or {}).get(stage) or []
    if not entries:
        return
    import subprocess  # 8 ms that only hooks are worth

    text = json.dumps({**state, "status": status})
    for number, hook in enumerate(entries):
        where = f"error running {stage} hook #{number}"
        try:
            done = subprocess.run(
                hook.get("args") or [hook["path"]],
                executable=hook["path"],
                env=dict(entry.partition("=")[::2] for entry in hook.get("env") or ()),
                input=text,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                timeout=hook.get("timeout") or None,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ContainerError(f"{where}: timeout of {hook['timeout']} s passed") from None
        except OSError as error:
            raise ContainerError(f"{where}: {hook['path']}: {(error.strerror or '').lower()}") from None
        if done.returncode:
            words = done.stderr.strip().replace("\n", "; ")
            raise ContainerError(f"{where}: exit status {done.returncode}, stderr: {words}")
