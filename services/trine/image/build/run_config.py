"""The part of an image that says how to run it, as the builder changes it step by step.

``RunConfig`` is the "config" object of the image JSON (OCI image-spec config.md; Docker adds
Healthcheck, Shell, OnBuild, ArgsEscaped). Pure.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ["/bin/sh", "-c"]

# Docker's image JSON holds these for every image, so images compare equal with its own.
_CONSTANT = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
}


@dataclass
class RunConfig:
    """How a container of an image runs; None is JSON's null."""

    user: str = ""
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    exposed_ports: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    stop_signal: str = ""
    health_check: dict[str, Any] | None = None
    shell: list[str] | None = None
    on_build: list[str] | None = None
    args_escaped: bool = False
    image: str = ""  # id of the image it belongs to

    def copy(self) -> RunConfig:
        """Return one that shares nothing with this."""
        return copy.deepcopy(self)

    def shell_words(self) -> list[str]:
        """Return what the shell form of RUN, CMD and ENTRYPOINT is appended to."""
        return list(self.shell or DEFAULT_SHELL)

    def set_env(self, name: str, value: str) -> None:
        """Set a variable in its place, or at the end."""
        entries = self.env if self.env is not None else []
        self.env = entries
        for index, entry in enumerate(entries):
            if entry.partition("=")[0] == name:
                entries[index] = f"{name}={value}"
                return
        entries.append(f"{name}={value}")

    def variables(self) -> dict[str, str]:
        """Return the environment; the first entry of a name counts, as in Docker's expansion."""
        found: dict[str, str] = {}
        for entry in self.env or []:
            name, _, value = entry.partition("=")
            found.setdefault(name, value)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the "config" object, with the keys Docker writes."""
        result: dict[str, Any] = {**_CONSTANT, "User": self.user}
        if self.exposed_ports:
            result["ExposedPorts"] = {p: {} for p in sorted(self.exposed_ports)}
        result["Env"] = self.env
        result["Cmd"] = self.cmd
        if self.health_check is not None:
            result["Healthcheck"] = self.health_check
        if self.args_escaped:
            result["ArgsEscaped"] = True
        result["Image"] = self.image
        result["Volumes"] = {v: {} for v in sorted(self.volumes)} or None
        result["WorkingDir"] = self.working_dir
        result["Entrypoint"] = self.entrypoint
        result["OnBuild"] = self.on_build
        result["Labels"] = self.labels
        if self.stop_signal:
            result["StopSignal"] = self.stop_signal
        if self.shell:
            result["Shell"] = self.shell
        return result


def from_json(config: dict[str, Any] | None) -> RunConfig:
    """Return the RunConfig of a "config" object; what is missing or null is empty."""
    data = config or {}
    return RunConfig(
        user=data.get("User") or "",
        env=_strings(data.get("Env")),
        entrypoint=_strings(data.get("Entrypoint")),
        cmd=_strings(data.get("Cmd")),
        working_dir=data.get("WorkingDir") or "",
        labels=dict(data["Labels"]) if data.get("Labels") else None,
        exposed_ports=set(data.get("ExposedPorts") or {}),
        volumes=set(data.get("Volumes") or {}),
        stop_signal=data.get("StopSignal") or "",
        health_check=copy.deepcopy(data.get("Healthcheck")),
        shell=_strings(data.get("Shell")),
        on_build=_strings(data.get("OnBuild")),
        args_escaped=bool(data.get("ArgsEscaped")),
        image=data.get("Image") or "",
    )


def _strings(value: Any) -> list[str] | None:
    return None if value is None else [str(v) for v in value]
