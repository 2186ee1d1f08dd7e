"""``trine exec``: execute a command in a running container."""

from __future__ import annotations

import sys

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

_NOT_EXECUTED = 126

SPEC = Spec(
    "Execute a command in a running container",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    (
        ("d", "detach", "", "Detached mode: run command in the background"),
        ("", "detach-keys", "string", "Override the key sequence for detaching a container"),
        ("e", "env", "list", "Set environment variables", "env:check_env"),
        ("", "env-file", "list", "Read in a file of environment variables"),
        ("i", "interactive", "", "Keep STDIN open even if not attached"),
        ("", "privileged", "", "Give extended privileges to the command"),
        ("t", "tty", "", "Allocate a pseudo-TTY"),
        ("u", "user", "string", 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
        ("w", "workdir", "string", "Working directory inside the container"),
    ),
    minimum=2,
    aliases=(
        "container exec",
        "exec",
    ),
    interspersed=False,
)


def run(app: App, values: Values) -> int:
    """Run a command in a container; returns the exit status, raises Failure."""
    from trine.cli import terminal
    from trine.cli.failure import Failure

    name, *command = values.arguments
    detach, tty = values["detach"], values["tty"]
    stdin = values["interactive"] and not detach
    if not detach and tty and stdin and not terminal.is_terminal(0):
        raise Failure("the input device is not a TTY")
    request = {
        "container": name,
        "args": command,
        "env": _environment(values),
        "working_dir": values["workdir"],
        "user": values["user"],
        "tty": tty,
        "attach_stdin": stdin,
        "attach_stdout": not detach,
        "attach_stderr": not detach,
        "privileged": values["privileged"],
        "detach_keys": values["detach-keys"],
    }
    if tty and not detach:
        request["console_rows"], request["console_columns"] = terminal.size(1)
    created = app.client.call("ContainerService.CreateExec", request)
    if detach:
        _start(app, created.exec_id, detach=True)
        return 0
    from trine.cli.attach import Session

    session = Session(
        app.client,
        created.container_id,
        process=created.exec_id,
        stdin=stdin,
        stdout=True,
        stderr=True,
        tty=tty,
        detach_keys=values["detach-keys"] or str(app.config.value("detachKeys") or ""),
    )
    try:
        _start(app, created.exec_id, detach=False)
        session.run()
    finally:
        session.close()
    if session.detached:
        raise Failure("read escape sequence")
    if session.exit_code is not None:
        return session.exit_code
    answer = app.client.call("ContainerService.WaitExec", {"exec_id": created.exec_id})
    return int(answer.exit_code)


def _start(app: App, identifier: str, *, detach: bool) -> None:
    """Run a registered command; raises Failure when the engine does not know it.

    A command that cannot be executed says so on standard output and has the status 126, whatever the
    cause: the text is what Docker's hijacked stream carries.
    """
    from trine.cli.client import DaemonError
    from trine.cli.failure import Failure

    try:
        app.client.call("ContainerService.StartExec", {"exec_id": identifier})
    except DaemonError as error:
        if detach or error.code in ("NOT_FOUND", "FAILED_PRECONDITION", "UNAVAILABLE"):
            raise
        sys.stdout.write(f"{error.daemon_message}\r\n")
        raise Failure("", _NOT_EXECUTED) from None


def _environment(values: Values) -> list[str]:
    if not values.changed("env-file"):
        return list(values["env"])
    from trine.cli.failure import Failure
    from trine.cli.opts.env import read_files

    try:
        return [*read_files(values["env-file"], lookup=True), *values["env"]]
    except ValueError as error:
        raise Failure(str(error)) from None
