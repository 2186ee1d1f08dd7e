"""What instructions do to an image's config, and the words Docker's history has for it. Pure.

Used by the builder (one step, one image) and by --change of commit and import.
"""

from __future__ import annotations

import ipaddress
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trine.image.build import instructions as ins
from trine.image.build.gotext import join_path, list_text, quote_list
from trine.image.build.instructions import InstructionError
from trine.image.build.run_config import RunConfig
from trine.image.build.shell_words import expand, expand_words

_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})
_HEALTH_TIMES = ("Interval", "Timeout", "StartPeriod", "Retries")
# Signals Docker knows by name on Linux (pkg/signal): those of signal(7) and the real-time ones.
_SIGNALS = {s.name.removeprefix("SIG") for s in signal.Signals} | {"CLD", "POLL", "IOT", "STKFLT"}
_SIGNALS |= {f"RTMIN+{n}" for n in range(1, 16)} | {f"RTMAX-{n}" for n in range(1, 15)}


@dataclass
class ConfigState:
    """A config on its way through the instructions of a stage."""

    config: RunConfig
    author: str = ""
    command_set: bool = False  # CMD was given in this stage, so ENTRYPOINT keeps it
    # In a build Docker merges a new HEALTHCHECK with the image's: what it leaves out stays as it was.
    inherits_health_times: bool = False
    notes: list[str] = field(default_factory=list)  # lines for the user


def expand_variables(step: ins.Instruction, variables: Mapping[str, str], escape: str) -> ins.Instruction:
    """Return the step with variables replaced where Docker replaces them. Raises ExpansionError."""

    def one(word: str) -> str:
        return expand(word, variables, escape)

    if isinstance(step, ins.Env):
        return replace(step, pairs=tuple((one(n), one(v)) for n, v in step.pairs))
    if isinstance(step, ins.Label):
        if step.is_literal:
            return step
        return replace(step, pairs=tuple((one(n), one(v)) for n, v in step.pairs))
    if isinstance(step, ins.Copy):
        chown, sources = one(step.chown), tuple(one(s) for s in step.sources)
        return replace(step, chown=chown, sources=sources, destination=one(step.destination))
    if isinstance(step, ins.Workdir):
        return replace(step, path=one(step.path))
    if isinstance(step, ins.User):
        return replace(step, user=one(step.user))
    if isinstance(step, ins.Volume):
        return replace(step, paths=tuple(one(p) for p in step.paths))
    if isinstance(step, ins.StopSignal):
        return replace(step, signal=one(step.signal))
    if isinstance(step, ins.Expose):
        return replace(step, ports=tuple(w for p in step.ports for w in expand_words(p, variables, escape)))
    if isinstance(step, ins.Arg):
        pairs = tuple((one(n), None if v is None else one(v)) for n, v in step.pairs)
        return replace(step, pairs=pairs)
    return step


def apply(step: ins.Instruction, state: ConfigState) -> str:
    """Change the config as the (expanded) step says; return its comment for the history.

    For all but RUN, COPY and ADD. WORKDIR's directory is made by the caller. Raises InstructionError.
    """
    config = state.config
    if isinstance(step, ins.Env):
        for name, value in step.pairs:
            config.set_env(name, value)
        return "ENV" + "".join(f" {n}={v}" for n, v in step.pairs)
    if isinstance(step, ins.Label):
        config.labels = {**(config.labels or {}), **dict(step.pairs)}
        return "LABEL" + "".join(f" {n}={v}" for n, v in step.pairs)
    if isinstance(step, ins.Maintainer):
        state.author = step.text
        return f"MAINTAINER {step.text}"
    if isinstance(step, ins.Workdir):
        config.working_dir = _workdir(config.working_dir, step.path)
        return f"WORKDIR {config.working_dir}"
    if isinstance(step, ins.CommandLine):
        return _command(step, state)
    if isinstance(step, ins.HealthCheck):
        return _health_check(step, state)
    if isinstance(step, ins.Expose):
        config.exposed_ports |= exposed_ports(step.ports)
        return f"EXPOSE {' '.join(step.ports)}"
    if isinstance(step, ins.User):
        config.user = step.user
        return f"USER {step.user}"
    if isinstance(step, ins.Volume):
        if not all(step.paths):
            raise InstructionError("VOLUME specified can not be an empty string")
        config.volumes |= set(step.paths)
        return f"VOLUME {list_text(step.paths)}"
    if isinstance(step, ins.StopSignal):
        _check_signal(step.signal)
        config.stop_signal = step.signal
        return f"STOPSIGNAL {step.signal}"
    if isinstance(step, ins.Shell):
        config.shell = list(step.arguments)
        return f"SHELL {list_text(step.arguments)}"
    if isinstance(step, ins.OnBuild):
        config.on_build = [*(config.on_build or []), step.expression]
        return f"ONBUILD {step.expression}"
    if isinstance(step, ins.Arg):
        return "ARG " + " ".join(n if v is None else f"{n}={v}" for n, v in step.pairs)
    raise InstructionError(f"unsupported command type: {type(step).__name__}")


def command_words(step: ins.CommandLine, config: RunConfig) -> list[str]:
    """Return the argv of RUN, CMD or ENTRYPOINT: after the shell unless it has the JSON form."""
    return [*config.shell_words(), *step.arguments] if step.in_shell else list(step.arguments)


def _command(step: ins.CommandLine, state: ConfigState) -> str:
    config = state.config
    if isinstance(step, ins.Cmd):
        config.cmd = command_words(step, config)
        state.command_set = state.command_set or bool(step.arguments)
        return f"CMD {quote_list(config.cmd)}"
    if isinstance(step, ins.Entrypoint):
        config.entrypoint = command_words(step, config) if step.arguments else None
        if not state.command_set:
            config.cmd = None
        return f"ENTRYPOINT {quote_list(config.entrypoint or [])}"
    raise InstructionError("RUN is not a change of the config")


def _workdir(current: str, path: str) -> str:
    if not path:
        raise InstructionError("cannot normalize nothing")
    return path if path.startswith("/") else join_path("/", current, path)


def _health_check(step: ins.HealthCheck, state: ConfigState) -> str:
    previous = (state.config.health_check or {}).get("Test") or []
    if previous and previous[0] != "NONE":
        state.notes.append(f"Note: overriding previous HEALTHCHECK: {list_text(previous)}")
    settings = step.settings
    value: dict[str, Any] = {"Test": list(settings.test)}
    if state.inherits_health_times:
        before = state.config.health_check or {}
        value |= {key: before[key] for key in _HEALTH_TIMES if before.get(key)}
    numbers = (settings.interval, settings.timeout, settings.start_period, settings.retries)
    for key, number in zip(_HEALTH_TIMES, numbers, strict=True):
        if number:
            value[key] = number
    state.config.health_check = value
    return f"HEALTHCHECK {settings.go_text()}"


def _check_signal(text: str) -> None:
    if re.fullmatch(r"[+-]?[0-9]+", text):
        if int(text) == 0:
            raise InstructionError(f"Invalid signal: {text}")
        return
    if text.upper().removeprefix("SIG") not in _SIGNALS:
        raise InstructionError(f"Invalid signal: {text}")


def exposed_ports(specs: Iterable[str]) -> set[str]:
    """Return "80/tcp" for each port of [[ip:]host:]port[-port][/protocol]. Raises InstructionError."""
    found: set[str] = set()
    for spec in specs:
        found |= _ports_of(spec)
    return found


def _ports_of(spec: str) -> set[str]:
    parts = spec.split(":")
    address = ":".join(parts[:-2])
    host = parts[-2] if len(parts) > 1 else ""
    words = parts[-1].split("/")
    container = words[0]
    protocol = words[1] if len(words) > 1 and words[1] else "tcp"
    if address:
        bracketed = address.startswith("[") and address.endswith("]")
        if ":" in address and not bracketed:
            raise InstructionError(
                f"Invalid ip address {address}: address {address}:: too many colons in address"
            )
        try:
            ipaddress.ip_address(address[1:-1] if bracketed else address)
        except ValueError:
            raise InstructionError(f"Invalid ip address: {address}") from None
    if not container:
        raise InstructionError(f"No port specified: {spec}<empty>")
    ports = _port_range(container, "containerPort")
    if host:
        hosts = _port_range(host, "hostPort")
        if len(hosts) != len(ports) and len(ports) != 1:
            raise InstructionError(
                f"Invalid ranges specified for container and host Ports: {container} and {host}"
            )
    if protocol.lower() not in _PROTOCOLS:
        raise InstructionError(f"Invalid proto: {protocol}")
    return {f"{port}/{protocol.lower()}" for port in ports}


def _port_range(text: str, what: str) -> range:
    first, dash, last = text.partition("-")
    ends = [first, last if dash else first]
    if not all(re.fullmatch(r"[0-9]+", e) and int(e) <= 65535 for e in ends) or int(ends[0]) > int(ends[1]):
        raise InstructionError(f"Invalid {what}: {text}")
    return range(int(ends[0]), int(ends[1]) + 1)
