"""What a Dockerfile says: nodes checked and turned into typed instructions and stages.

Everything that is wrong without running anything is found here, with Docker's words. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from trine.image.build.dockerfile import Dockerfile, Node
from trine.image.build.gotext import duration_text, parse_duration, quote, quote_list, quote_rune

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_MINIMUM_DURATION = 1_000_000
Pair = tuple[str, str]


class InstructionError(ValueError):
    """An instruction is wrong; the message is Docker's."""


@dataclass(frozen=True)
class Instruction:
    """One step; ``code`` is shown in its "Step" line."""

    code: str


@dataclass(frozen=True)
class Env(Instruction):
    """ENV name=value …"""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Label(Instruction):
    """LABEL name=value …"""

    pairs: tuple[Pair, ...]
    is_literal: bool = False  # from --label: no variables in it


@dataclass(frozen=True)
class Maintainer(Instruction):
    """MAINTAINER text."""

    text: str


@dataclass(frozen=True)
class Copy(Instruction):
    """COPY or ADD."""

    command: str  # "COPY" or "ADD"
    sources: tuple[str, ...]
    destination: str
    source_stage: str = ""  # --from
    chown: str = ""
    chmod: str = ""


@dataclass(frozen=True)
class Workdir(Instruction):
    """WORKDIR path."""

    path: str


@dataclass(frozen=True)
class CommandLine(Instruction):
    """RUN, CMD or ENTRYPOINT."""

    arguments: tuple[str, ...]
    in_shell: bool  # not the JSON form
    flags: tuple[str, ...] = ()  # names, RUN only


@dataclass(frozen=True)
class Run(CommandLine):
    """RUN line or ["argv", …]."""


@dataclass(frozen=True)
class Cmd(CommandLine):
    """CMD line or ["argv", …]."""


@dataclass(frozen=True)
class Entrypoint(CommandLine):
    """ENTRYPOINT line or ["argv", …]."""


@dataclass(frozen=True)
class HealthCheckSettings:
    """What HEALTHCHECK sets; times in nanoseconds, 0 for the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    retries: int = 0

    def go_text(self) -> str:
        """Return it as Go's %q prints the structure: Docker's history holds exactly that."""
        times = " ".join(f'"{duration_text(t)}"' for t in (self.interval, self.timeout, self.start_period))
        return f"&{{{quote_list(self.test)} {times} {quote_rune(self.retries)}}}"


@dataclass(frozen=True)
class HealthCheck(Instruction):
    """HEALTHCHECK NONE or [flags] CMD …"""

    settings: HealthCheckSettings


@dataclass(frozen=True)
class Expose(Instruction):
    """EXPOSE port[/protocol] …"""

    ports: tuple[str, ...]


@dataclass(frozen=True)
class User(Instruction):
    """USER name[:group]."""

    user: str


@dataclass(frozen=True)
class Volume(Instruction):
    """VOLUME path …"""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class StopSignal(Instruction):
    """STOPSIGNAL name or number."""

    signal: str


@dataclass(frozen=True)
class Arg(Instruction):
    """ARG name[=default] …"""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Shell(Instruction):
    """SHELL ["argv", …]."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class OnBuild(Instruction):
    """ONBUILD instruction."""

    expression: str


@dataclass(frozen=True)
class Stage:
    """FROM base [AS name] and what follows it."""

    code: str
    base: str
    name: str = ""  # lower case
    platform: str = ""
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Program:
    """A whole Dockerfile."""

    arguments: list[Arg]  # before the first FROM
    stages: list[Stage]
    escape: str
    warnings: list[str]

    def up_to(self, target: str) -> Program:
        """Return the program that ends with the named stage. Raises InstructionError when there is none."""
        for index, stage in enumerate(self.stages):
            if stage.name and stage.name == target.lower():
                return replace(self, stages=self.stages[: index + 1])
        raise InstructionError(f"failed to reach build target {target} in Dockerfile")

    def steps(self) -> int:
        """Return how many "Step" lines there are."""
        return len(self.arguments) + len(self.stages) + sum(len(s.instructions) for s in self.stages)


def read_program(dockerfile: Dockerfile) -> Program:
    """Return the stages of a parsed Dockerfile. Raises InstructionError."""
    arguments: list[Arg] = []
    stages: list[Stage] = []
    for node in dockerfile.nodes:
        try:
            item = _read_any(node)
        except InstructionError as error:
            raise InstructionError(f"dockerfile parse error line {node.line}: {error}") from None
        if isinstance(item, Stage):
            stages.append(item)
        elif stages:
            stages[-1].instructions.append(item)
        elif isinstance(item, Arg):
            arguments.append(item)
        else:
            raise InstructionError("no build stage in current context")
    return Program(arguments, stages, dockerfile.escape, dockerfile.warnings)


def read_instruction(node: Node) -> Instruction:
    """Return one instruction that is not FROM (ONBUILD triggers, --change). Raises InstructionError."""
    item = _read_any(node)
    if isinstance(item, Stage):
        raise InstructionError("FROM isn't allowed here")
    return item


def label_instruction(name: str, value: str) -> Label:
    """Return the LABEL step that --label adds at the end."""
    return Label(f"LABEL {name}={value}", ((name, value),), is_literal=True)


def _read_any(node: Node) -> Instruction | Stage:
    reader = _READERS.get(node.name)
    if reader is None:
        raise InstructionError(f"unknown instruction: {node.name.upper()}")
    return reader(node, node.original.strip())


def _flags(node: Node, *known: str, many: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the flags of a node by name. Raises InstructionError for unknown, doubled and empty ones."""
    found: dict[str, str] = {}
    for flag in node.flags:
        name, equals, value = flag[2:].partition("=")
        if name not in known and name not in many:
            raise InstructionError(f"Unknown flag: {name}")
        if name in found and name not in many:
            raise InstructionError(f"Duplicate flag specified: {name}")
        if not equals:
            raise InstructionError(f"Missing a value on flag: {name}")
        found[name] = value
    return found


def _single(node: Node) -> str:
    if len(node.arguments) != 1:
        raise InstructionError(f"{node.name.upper()} requires exactly one argument")
    return node.arguments[0]


def _some(node: Node) -> list[str]:
    if not node.arguments:
        raise InstructionError(f"{node.name.upper()} requires at least one argument")
    return node.arguments


def _pairs(node: Node) -> tuple[Pair, ...]:
    _flags(node)
    words = _some(node)
    if len(words) % 2:
        raise InstructionError(f"Bad input to {node.name.upper()}, too many arguments")
    pairs = tuple(zip(words[::2], words[1::2], strict=True))
    if any(not name for name, _ in pairs):
        raise InstructionError(f"{node.name.upper()} names can not be blank")
    return pairs


def _env(node: Node, code: str) -> Env:
    return Env(code, _pairs(node))


def _label(node: Node, code: str) -> Label:
    return Label(code, _pairs(node))


def _maintainer(node: Node, code: str) -> Maintainer:
    text = _single(node)
    _flags(node)
    return Maintainer(code, text)


def _copy(node: Node, code: str) -> Copy:
    command = node.name.upper()
    if len(node.arguments) < 2:
        raise InstructionError(
            f"{command} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    flags = _flags(node, "chown", "chmod", *(["from"] if command == "COPY" else []))
    *sources, destination = node.arguments
    return Copy(
        code,
        command,
        tuple(sources),
        destination,
        flags.get("from", ""),
        flags.get("chown", ""),
        flags.get("chmod", ""),
    )


def _from(node: Node, code: str) -> Stage:
    words = node.arguments
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if _STAGE_NAME.fullmatch(name) is None:
            raise InstructionError(
                f"invalid name for build stage: {quote(name)}, "
                "name can't start with a number or contain symbols"
            )
    elif len(words) != 1:
        raise InstructionError("FROM requires either one or three arguments")
    flags = _flags(node, "platform")
    return Stage(code, words[0], name, flags.get("platform", ""))


def _onbuild(node: Node, code: str) -> OnBuild:
    _some(node)
    _flags(node)
    trigger = node.arguments[0].strip().upper()
    if trigger == "ONBUILD":
        raise InstructionError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise InstructionError(f"{trigger} isn't allowed as an ONBUILD trigger")
    return OnBuild(code, re.sub(r"^\s*ONBUILD\s*", "", node.original, count=1, flags=re.IGNORECASE))


def _workdir(node: Node, code: str) -> Workdir:
    path = _single(node)
    _flags(node)
    return Workdir(code, path)


def _run(node: Node, code: str) -> Run:
    flags = _flags(node, many=("mount",))
    return Run(code, tuple(node.arguments), not node.is_json, tuple(flags))


def _cmd(node: Node, code: str) -> Cmd:
    _flags(node)
    return Cmd(code, tuple(node.arguments), not node.is_json)


def _entrypoint(node: Node, code: str) -> Entrypoint:
    _flags(node)
    return Entrypoint(code, tuple(node.arguments), not node.is_json)


def _duration(flags: dict[str, str], name: str) -> int:
    if not flags.get(name):
        return 0
    try:
        value = parse_duration(flags[name])
    except ValueError as error:
        raise InstructionError(str(error)) from None
    if value < _MINIMUM_DURATION:
        raise InstructionError(f"Interval {quote(name)} cannot be less than 1ms")
    return value


def _retries(text: str) -> int:
    if not text:
        return 0
    if re.fullmatch(r"[+-]?[0-9]+", text) is None:
        raise InstructionError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    value = int(text)
    if not -(2**31) <= value < 2**31:
        raise InstructionError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    if value < 1:
        raise InstructionError(f"--retries must be at least 1 (not {value})")
    return value


def _healthcheck(node: Node, code: str) -> HealthCheck:
    kind, *words = _some(node)
    kind = kind.upper()
    if kind == "NONE":
        if words:
            raise InstructionError("HEALTHCHECK NONE takes no arguments")
        return HealthCheck(code, HealthCheckSettings(("NONE",)))
    flags = _flags(node, "interval", "timeout", "start-period", "retries")
    if kind != "CMD":
        raise InstructionError(f"Unknown type {quote(kind)} in HEALTHCHECK (try CMD)")
    if not words:
        raise InstructionError("Missing command after HEALTHCHECK CMD")
    settings = HealthCheckSettings(
        ("CMD" if node.is_json else "CMD-SHELL", *words),
        _duration(flags, "interval"),
        _duration(flags, "timeout"),
        _duration(flags, "start-period"),
        _retries(flags.get("retries", "")),
    )
    return HealthCheck(code, settings)


def _expose(node: Node, code: str) -> Expose:
    ports = sorted(_some(node))
    _flags(node)
    return Expose(code, tuple(ports))


def _user(node: Node, code: str) -> User:
    user = _single(node)
    _flags(node)
    return User(code, user)


def _volume(node: Node, code: str) -> Volume:
    words = [w.strip() for w in _some(node)]
    _flags(node)
    if not all(words):
        raise InstructionError("VOLUME specified can not be an empty string")
    return Volume(code, tuple(words))


def _stopsignal(node: Node, code: str) -> StopSignal:
    return StopSignal(code, _single(node))


def _arg(node: Node, code: str) -> Arg:
    pairs: list[tuple[str, str | None]] = []
    for word in _some(node):
        name, equals, value = word.partition("=")
        if equals and not name:
            raise InstructionError("ARG names can not be blank")
        pairs.append((name, value if equals else None))
    return Arg(code, tuple(pairs))


def _shell(node: Node, code: str) -> Shell:
    _flags(node)
    words = _some(node)
    if not node.is_json:
        raise InstructionError("SHELL requires the arguments to be in JSON form")
    return Shell(code, tuple(words))


_READERS: dict[str, Callable[[Node, str], Instruction | Stage]] = {
    "add": _copy,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
