"""``trine attach``: attach to a running container."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Attach local standard input, output, and error streams to a running container",
    "[OPTIONS] CONTAINER",
    (
        ("", "detach-keys", "string", "Override the key sequence for detaching a container"),
        ("", "no-stdin", "", "Do not attach STDIN"),
        ("", "sig-proxy", "", "Proxy all received signals to the process (default true)"),
    ),
    minimum=1,
    maximum=1,
    aliases=(
        "container attach",
        "attach",
    ),
)


def run(app: App, values: Values) -> int:
    """Attach to a running container; returns the exit status, raises Failure."""
    from trine.cli import terminal
    from trine.cli.attach import Session
    from trine.cli.commands.run import result_of, signal_sender
    from trine.cli.failure import Failure

    client = app.client
    container = client.call("ContainerService.GetContainer", {"container": values.arguments[0]}).container
    status = container.state.status
    if status == "CONTAINER_STATUS_PAUSED":
        raise Failure("You cannot attach to a paused container, unpause it first")
    if status == "CONTAINER_STATUS_RESTARTING":
        raise Failure("You cannot attach to a restarting container, wait until it is running")
    if status != "CONTAINER_STATUS_RUNNING":
        raise Failure("You cannot attach to a stopped container, start it first")
    config = container.config
    stdin = not values["no-stdin"] and config.open_stdin
    if stdin and config.tty and not terminal.is_terminal(0):
        raise Failure("the input device is not a TTY")
    condition = "WAIT_CONDITION_REMOVED" if config.auto_remove else "WAIT_CONDITION_NOT_RUNNING"
    wait = client.start("ContainerService.WaitContainer", {"container": container.id, "condition": condition})
    wait.receive()
    session = Session(
        client,
        container.id,
        stdin=stdin,
        stdout=True,
        stderr=True,
        tty=config.tty,
        redraw=True,
        detach_keys=values["detach-keys"] or str(app.config.value("detachKeys") or ""),
    )
    proxy = signal_sender(app, container.id) if values["sig-proxy"] and not config.tty else None
    try:
        session.run(proxy)
    finally:
        session.close()
    if session.detached:
        raise Failure("read escape sequence")
    return result_of(wait, session.exit_code)
