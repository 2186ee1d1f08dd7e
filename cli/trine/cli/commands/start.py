"""``trine start``: start stopped containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Start one or more stopped containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        ("a", "attach", "", "Attach STDOUT/STDERR and forward signals"),
        ("", "checkpoint", "string", "Restore from this checkpoint"),
        ("", "checkpoint-dir", "string", "Use a custom checkpoint storage directory"),
        ("", "detach-keys", "string", "Override the key sequence for detaching a container"),
        ("i", "interactive", "", "Attach container's STDIN"),
    ),
    minimum=1,
    aliases=(
        "container start",
        "start",
    ),
)


def run(app: App, values: Values) -> int:
    """Start containers; returns the exit status, raises Failure."""
    import sys

    from trine.cli.failure import Failure
    from trine.cli.many import require_names

    names = values.arguments
    if values["attach"] or values["interactive"]:
        if len(names) > 1:
            raise Failure("you cannot start and attach multiple containers at once")
        require_names(names)
        return _attached(app, values, names[0])
    if values["checkpoint"] or values["checkpoint-dir"]:
        raise Failure('"--checkpoint" is not supported by trine')
    from trine.cli.client import DaemonError

    failed: list[str] = []
    calls = [
        (name, app.client.start("ContainerService.StartContainer", {"container": name})) for name in names
    ]
    for name, call in calls:
        try:
            answer = call.result()
        except DaemonError as error:
            sys.stdout.flush()
            sys.stderr.write(f"{error}\n")
            failed.append(name)
            continue
        sys.stdout.write(f"{name}\n")
        for warning in answer.warnings:
            sys.stderr.write(f"WARNING: {warning}\n")
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _attached(app: App, values: Values, name: str) -> int:
    """Attach, start and stay until the end; return the container's exit status."""
    from trine.cli.app import warn
    from trine.cli.attach import Session
    from trine.cli.commands.run import result_of, signal_sender

    client = app.client
    container = client.call("ContainerService.GetContainer", {"container": name}).container
    config = container.config
    condition = "WAIT_CONDITION_REMOVED" if config.auto_remove else "WAIT_CONDITION_NEXT_EXIT"
    if container.state.status == "CONTAINER_STATUS_RUNNING":
        condition = "WAIT_CONDITION_REMOVED" if config.auto_remove else "WAIT_CONDITION_NOT_RUNNING"
    wait = client.start("ContainerService.WaitContainer", {"container": container.id, "condition": condition})
    wait.receive()
    session = Session(
        client,
        container.id,
        stdin=values["interactive"] and config.open_stdin,
        stdout=True,
        stderr=True,
        tty=config.tty,
        detach_keys=values["detach-keys"] or str(app.config.value("detachKeys") or ""),
    )
    try:
        answer = client.call("ContainerService.StartContainer", {"container": container.id})
        for warning in answer.warnings:
            warn(f"WARNING: {warning}")
        proxy = signal_sender(app, container.id) if not config.tty else None
        session.run(proxy)
    finally:
        session.close()
    if session.detached:
        return 0
    return result_of(wait, session.exit_code)
