"""The command line of trine-oci: runc's flags, read without argparse (its import alone costs 18 ms)."""

from __future__ import annotations

from typing import Any, NamedTuple

from trine.runtime.failure import ContainerError


class Flag(NamedTuple):
    """One flag: its names without dashes, whether it takes a value, whether it may be repeated."""

    names: str  # "env e": the first is the key
    value: bool = True
    repeated: bool = False


class Command(NamedTuple):
    """One command: its flags, and whether words after the first argument are not ours ("exec ID ls -l")."""

    usage: str
    help: str
    flags: tuple[Flag, ...] = ()
    stops: bool = False
    least: int = 0
    most: int = 1 << 30


class Parsed:
    """Values by the first name of their flag, and the other words."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.words: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Return the value of a flag."""
        return str(self.values.get(name, default))

    def given(self, name: str) -> bool:
        """Tell whether a flag was there."""
        return bool(self.values.get(name))

    def number(self, name: str, default: int = 0) -> int:
        """Return the value of a flag as a number. Raises ContainerError."""
        text = self.text(name, str(default))
        try:
            return int(text)
        except ValueError:
            raise ContainerError(f'invalid value "{text}" for flag -{name}: parse error', "USAGE") from None

    def all(self, name: str) -> list[str]:
        """Return the values of a repeated flag."""
        return list(self.values.get(name, ()))


def parse(arguments: list[str], flags: tuple[Flag, ...], stops: bool) -> Parsed:
    """Return what a command line says; one dash and two are the same, as in Go.

    Args:
        arguments: words behind the command.
        flags: those there are.
        stops: everything from the first word that is no flag belongs to somebody else.

    Raises:
        ContainerError: an unknown flag or one without its value, in runc's words.
    """
    known = {name: flag for flag in flags for name in flag.names.split()}
    result = Parsed()
    place = 0
    while place < len(arguments):
        word = arguments[place]
        place += 1
        if word == "--":
            result.words += arguments[place:]
            break
        if not word.startswith("-") or word == "-":
            result.words.append(word)
            if stops:
                result.words += arguments[place:]
                break
            continue
        name, equals, value = word.lstrip("-").partition("=")
        flag = known.get(name)
        if flag is None:
            raise ContainerError(f"flag provided but not defined: -{name}", "USAGE")
        key = flag.names.split()[0]
        if not flag.value:
            result.values[key] = not equals or value.lower() in ("1", "t", "true")
            continue
        if not equals:
            if place == len(arguments):
                raise ContainerError(f"flag needs an argument: -{name}", "USAGE")
            value = arguments[place]
            place += 1
        if flag.repeated:
            result.values.setdefault(key, []).append(value)
        else:
            result.values[key] = value
    return result


def _switch(names: str) -> Flag:
    return Flag(names, value=False)


GLOBAL = (
    Flag("root"),
    Flag("log"),
    Flag("log-format"),
    Flag("log-level"),
    Flag("cgroup-manager"),
    Flag("criu"),
    Flag("rootless"),
    _switch("debug"),
    _switch("systemd-cgroup"),
    _switch("help h"),
    _switch("version v"),
)

_BUNDLE = (
    Flag("bundle b"),
    Flag("console-socket"),
    Flag("pid-file"),
    Flag("preserve-fds"),
    _switch("no-pivot"),
    _switch("no-new-keyring"),
    _switch("no-subreaper"),
)
COMMANDS: dict[str, Command] = {
    "create": Command("create [options] ID", "create a container", _BUNDLE, True, 1, 1),
    "start": Command("start ID", "execute the process of a created container", (), False, 1, 1),
    "run": Command(
        "run [options] ID",
        "create and start a container",
        (*_BUNDLE, _switch("detach d"), _switch("keep")),
        True,
        1,
        1,
    ),
    "exec": Command(
        "exec [options] ID COMMAND [ARG...]",
        "execute one more process in a container",
        (
            Flag("console-socket"),
            Flag("cwd"),
            Flag("env e", repeated=True),
            _switch("tty t"),
            Flag("user u"),
            Flag("additional-gids g", repeated=True),
            Flag("process p"),
            _switch("detach d"),
            Flag("pid-file"),
            Flag("process-label"),
            Flag("apparmor"),
            _switch("no-new-privs"),
            Flag("cap c", repeated=True),
            Flag("preserve-fds"),
            Flag("cgroup", repeated=True),
            _switch("ignore-paused"),
        ),
        True,
        1,
    ),
    "state": Command("state ID", "print the state of a container as JSON", (), False, 1, 1),
    "kill": Command("kill [--all] ID [SIGNAL]", "send a signal", (_switch("all a"),), False, 1, 2),
    "delete": Command(
        "delete [--force] ID", "remove what is left of a container", (_switch("force f"),), False, 1
    ),
    "list": Command("list", "list containers", (Flag("format f"), _switch("quiet q")), False, 0, 0),
    "ps": Command("ps ID [ps options]", "list the processes of a container", (Flag("format f"),), True, 1),
    "pause": Command("pause ID", "freeze all processes", (), False, 1, 1),
    "resume": Command("resume ID", "let them go on", (), False, 1, 1),
    "update": Command(
        "update [options] ID",
        "change limits",
        (
            Flag("resources r"),
            Flag("blkio-weight"),
            Flag("cpu-period"),
            Flag("cpu-quota"),
            Flag("cpu-share"),
            Flag("cpuset-cpus"),
            Flag("cpuset-mems"),
            Flag("memory"),
            Flag("memory-reservation"),
            Flag("memory-swap"),
            Flag("pids-limit"),
        ),
        False,
        1,
        1,
    ),
    "events": Command(
        "events [--stats] ID", "print resource usage", (_switch("stats"), Flag("interval")), False, 1, 1
    ),
    "spec": Command(
        "spec [--bundle DIR]", "write a config.json to begin with", (Flag("bundle b"), _switch("rootless"))
    ),
    "features": Command("features", "print what this runtime can do as JSON", (), False, 0, 0),
}


def usage() -> str:
    """Return the text of --help."""
    lines = [
        "Usage: trine-oci [global options] COMMAND [options]",
        "",
        "Runs containers from OCI bundles (runtime-spec 1.1).",
        "",
        "Commands:",
        *(f"  {name:<10} {command.help}" for name, command in COMMANDS.items()),
        "",
        "Global options:",
        "  --root DIR           where state is kept (default /run/trine-oci)",
        "  --log FILE           where errors are logged (default: standard error)",
        "  --log-format FORMAT  text (default) or json",
        "  --debug              log more",
        "  --systemd-cgroup     accepted, but cgroups are always made by hand (cgroupfs)",
        "  --version, --help",
    ]
    return "\n".join(lines)
