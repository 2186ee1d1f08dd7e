"""Help pages in Docker's (cobra's and pflag's) layout."""

from __future__ import annotations

import os

from trine.cli.flags import PROGRAM, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def width() -> int:
    """Return the columns help is wrapped to: of the terminal at standard input, else 80."""
    try:
        return (os.get_terminal_size(0).columns or 80) - 1
    except OSError:
        return 79


def _cut(limit: int, slop: int, text: str) -> tuple[str, str]:
    """Split text at a blank near ``limit`` (pflag's wrapN)."""
    if limit + slop > len(text):
        return text, ""
    head = text[:limit]
    at = max(head.rfind(" "), head.rfind("\t"), head.rfind("\n"))
    if at <= 0:
        return text, ""
    line = head.rfind("\n")
    if 0 < line < at:
        return text[:line], text[line + 1 :]
    return text[:at], text[at + 1 :]


def _wrap(indent: int, columns: int, text: str) -> str:
    """Wrap text to a width, later lines indented (pflag's wrap)."""
    out = ""
    room = columns - indent
    if room < 24:
        indent = 16
        room = columns - indent
        out = "\n" + " " * indent
    pad = "\n" + " " * indent
    if room < 24:
        return text.replace("\n", out)
    slop = 5  # rather than a short word alone on the last line
    line, rest = _cut(room - slop, slop, text)
    out += line.replace("\n", pad)
    while rest:
        line, rest = _cut(room - slop, slop, rest)
        out += pad + line.replace("\n", pad)
    return out


def flag_lines(rows: Iterable[Sequence[str]], columns: int) -> str:
    """Return the table of flags, without hidden ones."""
    shown: list[tuple[str, str]] = []
    for row in rows:
        short, name, kind, usage = row[:4]
        if usage and usage[0] not in "=!":
            head = f"  -{short}, --{name}" if short else f"      --{name}"
            shown.append((f"{head} {kind}" if kind else head, usage))
    shown.sort(key=lambda pair: pair[0].split("--", 1)[1].split(" ")[0])
    longest = max((len(head) for head, _ in shown), default=0) + 1
    return "".join(
        f"{head}{' ' * (longest - len(head) + 2)}{_wrap(longest + 2, columns, usage)}\n"
        for head, usage in shown
    )


def command_help(spec: Spec, path: str) -> str:
    """Return the page of one command."""
    parts = [f"Usage:  {spec.use_line(path)}\n\n{spec.short}\n"]
    if spec.aliases:
        parts.append("\nAliases:\n  " + ", ".join(f"{PROGRAM} {name}" for name in spec.aliases) + "\n")
    table = flag_lines(spec.flags, width())
    if table:
        parts.append(f"\nOptions:\n{table}")
    return "".join(parts)


def _command_lines(commands: Iterable[tuple[str, str]]) -> str:
    rows = list(commands)
    longest = max([11, *(len(name) for name, _ in rows)])
    return "".join(f"  {name.ljust(longest)} {short}\n" for name, short in rows)


def group_help(group: str, short: str, commands: Iterable[tuple[str, str]]) -> str:
    """Return the page of a management command."""
    return (
        f"Usage:  {PROGRAM} {group} COMMAND\n\n{short}\n\nCommands:\n{_command_lines(commands)}\n"
        f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command.\n"
    )


def top_help(
    sections: Iterable[tuple[str, Iterable[tuple[str, str]]]], flags: Iterable[Sequence[str]]
) -> str:
    """Return the page of the program itself."""
    parts = [f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n"]
    parts += [f"\n{title}:\n{_command_lines(commands)}" for title, commands in sections]
    parts.append(f"\nGlobal Options:\n{flag_lines(flags, width())}")
    parts.append(f"\nRun '{PROGRAM} COMMAND --help' for more information on a command.\n")
    return "".join(parts)
