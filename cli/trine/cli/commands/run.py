"""``trine run``: create and run a new container."""

from __future__ import annotations

import sys

from trine.cli.app import warn
from trine.cli.container_flags import CONTAINER_FLAGS
from trine.cli.failure import Failure
from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.app import App
    from trine.cli.client import Call
    from trine.cli.flags import Values

SPEC = Spec(
    "Create and run a new container from an image",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    (
        *CONTAINER_FLAGS,
        (
            "",
            "pull",
            "string",
            'Pull image before running ("always", "missing", "never") (default "missing")',
        ),
        ("d", "detach", "", "Run container in background and print container ID"),
        ("", "detach-keys", "string", "Override the key sequence for detaching a container"),
        ("", "sig-proxy", "", "Proxy received signals to the process (default true)"),
    ),
    minimum=1,
    aliases=(
        "container run",
        "run",
    ),
    interspersed=False,
)
_SETTLE_SECONDS = 10.0
_GENERIC, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127


def run(app: App, values: Values) -> int:
    """Create, start and (without -d) attach; returns the container's exit status. Raises Failure."""
    from trine.cli import container_config, creating
    from trine.cli.opts.mounts import DaemonText

    try:
        creating.check_pull(values)
        config = container_config.config_of(values)
    except (container_config.ConfigError, DaemonText) as error:
        raise container_config.fail(error, "run") from None
    _streams(values, config)
    if not values["detach"] and config["tty"]:
        from trine.cli.attach import check_keys

        check_keys(
            values["detach-keys"] or str(app.config.value("detachKeys") or "")
        )  # before anything is made
    try:
        identifier = creating.create(app, values, config)
    except Failure as failure:
        raise _explained(failure) from None
    if values["detach"]:
        return _detached(app, identifier)
    return _attached(app, values, config, identifier)


def _streams(values: Values, config: dict[str, Any]) -> None:
    """Settle what is attached; raises Failure."""
    if values["detach"]:
        if values["attach"]:
            raise Failure("conflicting options: cannot specify both --attach and --detach", 1)
        config.update(attach_stdin=False, attach_stdout=False, attach_stderr=False, stdin_once=False)
        return
    from trine.cli import terminal

    if config["tty"]:
        if config["attach_stdin"] and not terminal.is_terminal(0):
            raise Failure("the input device is not a TTY", 1)
        config["console_rows"], config["console_columns"] = terminal.size(1)


def _explained(failure: Failure) -> Failure:
    """Return a failure of the daemon as run tells it: with the hint, and the status its reason means."""
    from trine.cli.client import DaemonError

    status = _GENERIC
    if isinstance(failure, DaemonError):
        status = {"COMMAND_NOT_FOUND": _NOT_FOUND, "COMMAND_NOT_EXECUTABLE": _NOT_EXECUTABLE}.get(
            failure.reason, _GENERIC
        )
    return Failure(f"trine: {failure}\n\nRun 'trine run --help' for more information", status)


def _detached(app: App, identifier: str) -> int:
    try:
        answer = app.client.call("ContainerService.StartContainer", {"container": identifier})
    except Failure as failure:
        sys.stdout.write(f"{identifier}\n")
        raise _explained(failure) from None
    for warning in answer.warnings:
        warn(f"WARNING: {warning}")
    sys.stdout.write(f"{identifier}\n")
    return 0


def _attached(app: App, values: Values, config: dict[str, Any], identifier: str) -> int:
    from trine.cli.attach import Session

    client = app.client
    removed = "WAIT_CONDITION_REMOVED" if config["auto_remove"] else "WAIT_CONDITION_NEXT_EXIT"
    wait = client.start("ContainerService.WaitContainer", {"container": identifier, "condition": removed})
    session: Session | None = None
    try:
        if config["attach_stdin"] or config["attach_stdout"] or config["attach_stderr"]:
            session = Session(
                client,
                identifier,
                stdin=config["attach_stdin"],
                stdout=config["attach_stdout"],
                stderr=config["attach_stderr"],
                tty=config["tty"],
                detach_keys=values["detach-keys"] or str(app.config.value("detachKeys") or ""),
            )
        wait.receive()  # registered (meanwhile, most likely): the exit cannot be missed from here on
        answer = client.call("ContainerService.StartContainer", {"container": identifier})
        for warning in answer.warnings:
            warn(f"WARNING: {warning}")
    except Failure as failure:
        if session is not None:
            session.close()
        if config["auto_remove"]:
            _settle(wait)
        raise _explained(failure) from None
    except BaseException:
        if session is not None:
            session.close()
        raise
    if session is not None:
        proxy = None
        if values["sig-proxy"] and not config["tty"]:
            proxy = signal_sender(app, identifier)
        try:
            session.run(proxy)
        finally:
            session.close()
        if session.detached:
            return 0
    return result_of(wait, session.exit_code if session is not None else None)


def signal_sender(app: App, identifier: str) -> Any:
    """Return a function that sends a signal to a container and does not wait for the answer."""

    def send(number: int) -> None:
        request = {"container": identifier, "signal": str(number)}
        try:
            app.client.start("ContainerService.KillContainer", request)
        except Failure:
            app.client.close()  # the daemon was restarted meanwhile: once more, on a new connection
            try:
                app.client.start("ContainerService.KillContainer", request)
            except Failure as failure:
                sys.stderr.write(f"{failure}\n")

    return send


def _settle(wait: Call) -> None:
    """Wait until a container that did not start is removed: while the daemon answers, not for ever."""
    try:
        while wait.receive(_SETTLE_SECONDS) is not None:
            pass
    except (Failure, TimeoutError):
        pass


def result_of(wait: Call, told: int | None) -> int:
    """Return the exit status a wait gives; raises Failure.

    When the daemon has gone meanwhile, what the container's shim told is taken.
    """
    from trine.cli.failure import UnreachableError

    try:
        return _waited(wait)
    except UnreachableError:
        if told is None:
            raise
        return told


def _waited(wait: Call) -> int:
    status = _GENERIC
    for answer in wait:
        if answer.registered:
            continue
        if answer.error:
            warn(f"Error waiting for container: {answer.error}")
            return _GENERIC
        status = answer.exit_code
    return int(status)
