"""Flags as data, and their parser: what pflag and cobra do for Docker, in 5 ms less than argparse.

A command's ``Spec`` lists rows ``(short, long, kind, usage)`` or ``(short, long, kind, usage, check)``:

* ``kind`` is pflag's type name as help shows it; "" is a switch. How a kind is read is in ``_KINDS``.
* ``usage`` is the help text with its "(default …)", which is also where a default comes from. A row
  whose usage is "" is hidden; "=other" makes it another name of ``--other``, "!other" a deprecated one.
* ``check`` names a function "module:function" of ``trine.cli.opts`` that gets each value and returns what
  is kept (instead of what the kind does); it raises ValueError with Docker's text.
"""

from __future__ import annotations

import sys

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Row = tuple[str, ...]

PROGRAM = "trine"
# Usage of --format where a list is shown, and where one object is.
OBJECT_FORMAT = (
    "Format output using a custom template:\n"
    "'json':             Print in JSON format\n"
    "'TEMPLATE':         Print output using the given Go template.\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about "
    "formatting output with templates"
)
LISTING_FORMAT = (
    "Format output using a custom template:\n"
    "'table':            Print output in table format with column headers (default)\n"
    "'table TEMPLATE':   Print output in table format using the given Go template\n"
    "'json':             Print in JSON format\n"
    "'TEMPLATE':         Print output using the given Go template.\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about "
    "formatting output with templates"
)
_LISTS = {"list", "strings", "filter", "map", "ulimit", "mount", "network", "gpu-request"}
_NUMBERS = {"int", "uint", "uint16"}
# Kinds that need more than this module, loaded when a value of theirs is given.
_KINDS = {
    "bytes": "sizes:flag_bytes",
    "duration": "durations:parse_duration",
    "decimal": "sizes:flag_nano_cpus",
    "ulimit": "ulimits:parse_ulimit",
    "mount": "mounts:parse_mount",
    "network": "networks:parse_network",
    "filter": "filters:parse_filter",
    "map": "labels:parse_map",
}


class Spec:
    """What a command is called, takes and does."""

    __slots__ = ("aliases", "arguments", "flags", "interspersed", "maximum", "minimum", "short")

    def __init__(
        self,
        short: str,
        arguments: str,
        flags: tuple[Row, ...] = (),
        *,
        minimum: int = 0,
        maximum: int | None = None,
        aliases: tuple[str, ...] = (),
        interspersed: bool = True,
    ) -> None:
        """Describe a command.

        Args:
            short: one line for the list of commands.
            arguments: what follows the name in the usage line.
            flags: rows as the module says.
            minimum: least number of arguments.
            maximum: greatest number, None: no bound.
            aliases: full names of the same command, as help lists them.
            interspersed: whether flags may follow the first argument.
        """
        self.short = short
        self.arguments = arguments
        self.flags = flags
        self.minimum = minimum
        self.maximum = maximum
        self.aliases = aliases
        self.interspersed = interspersed

    def use_line(self, path: str) -> str:
        """Return the usage line, "trine run [OPTIONS] IMAGE …", for the name it was called by."""
        return " ".join(part for part in (PROGRAM, path, self.arguments) if part)


class Values:
    """What was given on the command line: flags by long name, and arguments."""

    __slots__ = ("_given", "_rows", "arguments")

    def __init__(self, rows: dict[str, Row]) -> None:
        """Begin with nothing given."""
        self._rows = rows
        self._given: dict[str, Any] = {}
        self.arguments: list[str] = []

    def __getitem__(self, name: str) -> Any:
        """Return the value of a flag, its default when it was not given; KeyError for an unknown name."""
        if name in self._given:
            return self._given[name]
        return default(self._rows[name])

    def get(self, name: str, other: Any) -> Any:
        """Return the value of a flag, ``other`` when the command has none of that name."""
        return self[name] if name in self._rows else other

    def changed(self, name: str) -> bool:
        """Tell whether a flag was given."""
        return name in self._given

    def put(self, row: Row, value: Any) -> None:
        """Keep a value, appended when the flag is a list."""
        if row[2] in _LISTS:
            kept = self._given.setdefault(row[1], [])
            kept.extend(value) if row[2] == "strings" else kept.append(value)
        else:
            self._given[row[1]] = value


def default(row: Row) -> Any:
    """Return the default of a flag, as its usage tells."""
    kind, usage = row[2], row[3]
    text = ""
    at = usage.rfind("(default ")
    if at >= 0 and usage.endswith(")"):
        text = usage[at + len("(default ") : -1].strip('"')
    if kind == "":
        return text == "true"
    if kind in _LISTS:
        return []
    if kind in _NUMBERS:
        return int(text) if text.lstrip("-").isdigit() else 0
    if kind in ("bytes", "duration", "decimal"):
        return 0
    return text


def parse(spec: Spec, path: str, given: Sequence[str]) -> Values:
    """Read a command's part of the command line.

    Raises Failure with Docker's text and status: 125 for flags, 1 for the number of arguments; HelpWanted
    when --help is among the flags.
    """
    rows: dict[str, Row] = {}
    shorts: dict[str, Row] = {}
    for row in spec.flags:
        rows[row[1]] = row
        if row[0]:
            shorts[row[0]] = row
    values = Values(rows)
    try:
        _scan(spec, rows, shorts, values, list(given))
    except ValueError as error:
        raise usage_failure(str(error), spec.use_line(path), path, 125) from None
    _count(spec, path, len(values.arguments))
    return values


class HelpWanted(Exception):
    """--help was given."""


def _scan(spec: Spec, rows: dict[str, Row], shorts: dict[str, Row], values: Values, given: list[str]) -> None:
    at = 0
    while at < len(given):
        word = given[at]
        at += 1
        if word == "--":
            values.arguments += given[at:]
            return
        if len(word) < 2 or word[0] != "-":
            values.arguments.append(word)
            if not spec.interspersed:
                values.arguments += given[at:]
                return
            continue
        if word.startswith("--"):
            at = _long(rows, values, word, given, at)
        else:
            at = _short(rows, shorts, values, word, given, at)


def _long(rows: dict[str, Row], values: Values, word: str, given: list[str], at: int) -> int:
    name, equals, text = word[2:].partition("=")
    if not name or name[0] == "-":
        raise ValueError(f"bad flag syntax: {word}")
    if name == "help":
        raise HelpWanted
    row = rows.get(name)
    if row is None:
        raise ValueError(f"unknown flag: --{name}")
    if not equals:
        if row[2] == "":
            text = "true"
        elif at < len(given):
            text = given[at]
            at += 1
        else:
            raise ValueError(f"flag needs an argument: --{name}")
    _set(rows, values, row, text)
    return at


def _short(
    rows: dict[str, Row], shorts: dict[str, Row], values: Values, word: str, given: list[str], at: int
) -> int:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        row = shorts.get(letter)
        if row is None:
            if letter == "h":
                sys.stderr.write("Flag shorthand -h has been deprecated, use --help\n")
                raise HelpWanted
            raise ValueError(f"unknown shorthand flag: {letter!r} in -{letter}{letters}")
        if letters.startswith("="):
            text, letters = letters[1:], ""
        elif row[2] == "":
            text = "true"
        elif letters:
            text, letters = letters, ""
        elif at < len(given):
            text = given[at]
            at += 1
        else:
            raise ValueError(f"flag needs an argument: {letter!r} in -{letter}")
        _set(rows, values, row, text)
    return at


def _set(rows: dict[str, Row], values: Values, row: Row, text: str) -> None:
    usage = row[3]
    if usage[:1] in ("=", "!"):
        if usage[0] == "!":
            # pflag says it where help would go, which cobra has set to standard output.
            sys.stdout.write(f"Flag --{row[1]} has been deprecated, use --{usage[1:]} instead\n")
        row = rows[usage[1:]]
    try:
        values.put(row, _value(row, text))
    except ValueError as error:
        name = f"-{row[0]}, --{row[1]}" if row[0] else f"--{row[1]}"
        raise ValueError(f"invalid argument {quoted(text)} for {quoted(name)} flag: {error}") from None


def _value(row: Row, text: str) -> Any:
    kind = row[2]
    value: Any = text
    if kind == "":
        value = _boolean(text)
    elif kind in _NUMBERS:
        value = _number(kind, text)
    elif kind == "strings":
        value = text.split(",") if text else []
    elif len(row) > 4:
        value = _function(row[4])(text)
    elif kind in _KINDS:
        value = _function(_KINDS[kind])(text)
    return value


def _function(name: str) -> Callable[[Any], Any]:
    module, _, function = name.partition(":")
    full = f"trine.cli.opts.{module}"
    __import__(full)
    found: Callable[[Any], Any] = getattr(sys.modules[full], function)
    return found


def quoted(text: str) -> str:
    """Return text in double quotes, as Go's %q for what people type."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _boolean(text: str) -> bool:
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")


def _number(kind: str, text: str) -> int:
    call = "ParseInt" if kind == "int" else "ParseUint"
    try:
        value = int(text, 0)
    except ValueError:
        if not text.lstrip("+-").isdigit():
            raise ValueError(f"strconv.{call}: parsing {quoted(text)}: invalid syntax") from None
        value = int(text, 8)  # Go reads 010 as octal
    if kind != "int" and text.startswith("-"):
        raise ValueError(f"strconv.{call}: parsing {quoted(text)}: invalid syntax")
    low, high = {"int": (-(2**63), 2**63 - 1), "uint": (0, 2**64 - 1)}.get(kind, (0, 65535))
    if not low <= value <= high:
        raise ValueError(f"strconv.{call}: parsing {quoted(text)}: value out of range")
    return value


def usage_failure(message: str, use_line: str, path: str, status: int, hint: str = "Run") -> Failure:
    """Return the failure of a wrong command line, with the usage line and where to read on."""
    name = f"{PROGRAM} {path}".rstrip()
    return Failure(f"{message}\n\nUsage:  {use_line}\n\n{hint} '{name} --help' for more information", status)


def _count(spec: Spec, path: str, count: int) -> None:
    least, most = spec.minimum, spec.maximum
    if count >= least and (most is None or count <= most):
        return
    hint = "Run"
    if most == 0:
        text = "accepts no arguments"
    elif least == most:
        text = f"requires {least} {_arguments(least)}"
    elif most is None:
        text = f"requires at least {least} {_arguments(least)}"
        hint = "See"
    elif least == 0:
        text = f"requires at most {most} {_arguments(most)}"
    else:
        text = f"requires at least {least} and at most {most} {_arguments(most)}"
    message = f"{PROGRAM}: '{PROGRAM} {path}' {text}"
    raise usage_failure(message, spec.use_line(path), path, 1, hint)


def _arguments(count: int) -> str:
    return "argument" if count == 1 else "arguments"
