"""One more process in a running container, between clone and execve (docker exec). Lean.

The shim has cloned it into the container's PID namespace; it joins the others by the pidfd of the
container's first process, all in one call, and becomes what the OCI process says. Packets on the
socket are those of init, without a start gate: only "joined" is awaited.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NoReturn

from trine.linux import namespaces, openat2, process, tty
from trine.runtime import execution, init, packets
from trine.runtime.failure import ContainerError, describe
from trine.runtime.import_guard import forbid_imports

_ALL = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWCGROUP
)


def main(
    spec: dict[str, Any],
    container: dict[str, Any],
    sync: socket.socket,
    streams: tuple[int, int, int] | None,
    first: int,
) -> NoReturn:
    """Run as an exec; never returns.

    Args:
        spec: OCI process, with "annotations" for the user.
        container: {"id", "seccomp_filter" (path or None)}.
        sync: our end of the packet socket.
        streams: descriptors to become 0, 1, 2; None with a terminal.
        first: pidfd of the container's first process.
    """
    code = init.SETUP_FAILED
    try:
        _main(spec, container, sync, streams, first)
    except ContainerError as error:
        code = error.exit_code
        init.report(sync, error)
    except OSError as error:
        init.report(sync, ContainerError(describe(error)))
    except BaseException as error:
        init.report(sync, ContainerError(f"{type(error).__name__}: {error}"))
    finally:
        os._exit(code)


def _main(
    spec: dict[str, Any],
    container: dict[str, Any],
    sync: socket.socket,
    streams: tuple[int, int, int] | None,
    first: int,
) -> None:
    process.set_parent_death_signal()
    os.setsid()
    os.umask(0o022)
    process.close_all_but({sync.fileno(), first, *(streams or ())})
    # Read on the host's side, before the container's tree is all there is.
    seccomp_filter = init.load_filter(container, container.get("seccomp_filter"))
    init.wait_for(sync, "joined")
    forbid_imports()
    try:
        namespaces.setns(first, _ALL)
    except ProcessLookupError:
        raise ContainerError(f"Container {container['id']} is not running", "NOT_RUNNING") from None
    os.close(first)
    if streams is None:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        multiplexer = openat2.openat2(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.close(root)
        master, slave = tty.pair_of(multiplexer)
        packets.send(sync, {"tty": True}, [master])
        os.close(master)
        streams = (slave, slave, slave)
        init.wait_for(sync, "tty")
    init.take_streams(streams)
    terminal = bool(spec.get("terminal"))
    if not terminal:
        init.reopen_null()
    execution.set_limits(spec.get("rlimits") or [])
    identity = execution.look_up_user(spec, spec.get("annotations") or {})
    variables = execution.environment(spec, identity)
    execution.prepare_streams(identity, terminal)
    execution.reset_signals()
    working_directory = spec.get("cwd") or "/"
    execution.become(spec, identity, seccomp_filter, container["id"])
    execution.change_directory(working_directory, create=False)
    command = execution.find_command(spec["args"][0], variables)
    packets.send(sync, {"executing": True})
    execution.run(command, spec["args"], variables)
