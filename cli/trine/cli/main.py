"""The program ``trine``: global flags, finding the command, and what becomes of failures.

Kept lean on purpose: ``trine ps`` imports this, ``catalog``, ``flags``, its command and the client, and
nothing that costs more than a millisecond (docs/cli.md has the figures).
"""

from __future__ import annotations

import os
import sys

from trine.cli import flags
from trine.cli.catalog import COMMANDS, GROUPS, SECTIONS
from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from trine.cli.app import App

VERSION = "0.1.0"


def _global_flags() -> tuple[flags.Row, ...]:
    directory = _default_config_directory()
    return (
        ("", "config", "string", f'Location of client config files (default "{directory}")'),
        ("D", "debug", "", "Enable debug mode"),
        ("H", "host", "list", "Daemon socket to connect to"),
        (
            *("l", "log-level", "string"),
            'Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")',
        ),
        ("", "tls", "", "Use TLS; implied by --tlsverify"),
        ("", "tlscacert", "string", f'Trust certs signed only by this CA (default "{directory}/ca.pem")'),
        ("", "tlscert", "string", f'Path to TLS certificate file (default "{directory}/cert.pem")'),
        ("", "tlskey", "string", f'Path to TLS key file (default "{directory}/key.pem")'),
        ("", "tlsverify", "", "Use TLS and verify the remote"),
        ("v", "version", "", "Print version information and quit"),
    )


def _default_config_directory() -> str:
    given = os.environ.get("TRINE_CONFIG")
    return given or os.path.join(os.path.expanduser("~"), ".config", "trine")


def _app(values: flags.Values) -> App:
    """Return the App the global flags ask for; raises Failure when they make no sense."""
    from trine.cli.app import App

    hosts = values["host"]
    if len(hosts) > 1:
        raise Failure("specify only one -H")
    host = hosts[0] if hosts else os.environ.get("TRINE_HOST", "")
    if not host:
        host = "unix:///run/trine/trine.sock"
    elif not host.startswith("unix:///"):
        from trine.cli.transport.address import parse_host

        host = parse_host(host)
    verify = values["tlsverify"] or (
        not values.changed("tlsverify") and bool(os.environ.get("TRINE_TLS_VERIFY"))
    )
    tls = None
    if verify or values["tls"]:
        directory = os.environ.get("TRINE_CERT_PATH", "")

        def path(name: str, file: str) -> str:
            return (
                os.path.join(directory, file) if directory and not values.changed(name) else str(values[name])
            )

        tls = {
            "verify": "true" if verify else "",
            "ca": path("tlscacert", "ca.pem"),
            "certificate": path("tlscert", "cert.pem"),
            "key": path("tlskey", "key.pem"),
        }
    return App(host, tls, str(values["config"]))


def _top_help() -> str:
    from trine.cli import helptext

    return helptext.top_help(SECTIONS, _global_flags())


def _load(module: str) -> ModuleType:
    name = f"trine.cli.commands.{module}"
    __import__(name)
    return sys.modules[name]


def _group(group: str, rest: list[str]) -> tuple[str, list[str]] | None:
    """Return path and arguments of a command of a group; None when its help was printed."""
    from trine.cli import helptext

    short, commands = GROUPS[group]
    for at, word in enumerate(rest):
        if word in ("--help", "-h"):
            sys.stdout.write(helptext.group_help(group, short, commands))
            return None
        if word.startswith("-"):
            shown = (
                f"unknown flag: {word}"
                if word.startswith("--")
                else f"unknown shorthand flag: '{word[1]}' in {word}"
            )
            raise flags.usage_failure(shown, f"trine {group}", group, 125)
        path = f"{group} {word}"
        if path in COMMANDS:
            return path, rest[at + 1 :]
        raise Failure(
            f"trine: unknown command: trine {path}\n\n"
            f"Usage:  trine {group}{' COMMAND' if group == 'volume' else ''}\n\n"  # as Docker has it
            f"Run 'trine {group} --help' for more information"
        )
    sys.stderr.write(helptext.group_help(group, short, commands))
    return None


def _help(words: list[str]) -> int:
    """Do ``trine help [COMMAND…]``."""
    words = [word for word in words if not word.startswith("-")]
    from trine.cli import helptext

    if not words:
        sys.stdout.write(_top_help())
        return 0
    path = " ".join(words)
    if path in COMMANDS:
        sys.stdout.write(helptext.command_help(_load(COMMANDS[path]).SPEC, path))
    elif path in GROUPS:
        sys.stdout.write(helptext.group_help(path, *GROUPS[path]))
    else:
        known = words[0] in COMMANDS or words[0] in GROUPS
        raise Failure(f"unknown help topic: {' '.join(words[1:]) if known else path}")
    return 0


def run(arguments: list[str]) -> int:
    """Run one command line (without the program's name); return the exit status.

    Raises Failure for what the user is to be told.
    """
    spec = flags.Spec("", "[OPTIONS] COMMAND [ARG...]", _global_flags(), interspersed=False)
    try:
        values = flags.parse(spec, "", arguments)
    except flags.HelpWanted:
        sys.stdout.write(_top_help())
        return 0
    except Failure as failure:
        raise Failure(str(failure).replace("'trine  --help'", "'trine --help'"), failure.status) from None
    if values["version"]:
        sys.stdout.write(f"Trine version {VERSION}, build {_build()}\n")
        return 0
    words = values.arguments
    if not words:
        sys.stderr.write(_top_help())
        return 0
    name, rest = words[0], words[1:]
    if name == "help":
        return _help(rest)
    if name == "__complete":
        from trine.cli import completion

        sys.stdout.write("".join(f"{found}\n" for found in completion.candidates(_app(values), rest)))
        return 0
    if name in GROUPS:
        found = _group(name, rest)
        if found is None:
            return 0
        name, rest = found
    elif name not in COMMANDS:
        raise Failure(f"trine: unknown command: trine {name}\n\nRun 'trine --help' for more information")
    return _command(name, rest, values)


def _command(name: str, rest: list[str], given: flags.Values) -> int:
    module = _load(COMMANDS[name])
    try:
        values = flags.parse(module.SPEC, name, rest)
    except flags.HelpWanted:
        from trine.cli import helptext

        sys.stdout.write(helptext.command_help(module.SPEC, name))
        return 0
    app = _app(given)
    app.path = name
    try:
        return int(module.run(app, values))
    finally:
        app.close()


def _build() -> str:
    """Return the commit this was built from, or "unknown"."""
    from trine.cli import build_stamp

    return build_stamp.COMMIT


def _die_of(number: int) -> None:
    """End by a signal, so that a shell sees what happened."""
    import _signal  # type: ignore[import-not-found]  # signal adds 4 ms of enums

    _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _streams() -> None:
    """Write UTF-8 whatever the locale says, and whole: an unbuffered standard output (PYTHONUNBUFFERED)
    takes part of a write for all of it when a signal comes between."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller: else the next socket would become standard input
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    if getattr(sys.stdout, "write_through", False):
        line = os.isatty(1)
        sys.stdout = open(1, "w", 1 if line else -1, "utf-8", "surrogateescape", closefd=False)


def main() -> int:
    """Run the program on sys.argv; return its exit status."""
    _streams()
    try:
        try:
            status = run(sys.argv[1:])
        except Failure as failure:
            sys.stdout.flush()
            if str(failure):
                sys.stderr.write(f"{failure}\n")
            status = failure.status
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader has gone (`trine ps | head -1`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _die_of(13)
        status = 141
    except Exception as error:
        if "-D" in sys.argv or "--debug" in sys.argv:
            raise
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        sys.stderr.write(f"trine: internal error: {text} (trine --debug shows where)\n")
        status = 1
    sys.stderr.flush()
    # Nothing is left to be done, and taking an interpreter apart costs 3 ms.
    os._exit(status)
