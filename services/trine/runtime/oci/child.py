"""What trine-oci's children do in the container: its first process, and execs. Lean.

The steps are those of ``init`` and ``enter``; what differs is that no shim stays: the child does not die
with its parent, its streams are the caller's, and its start gate is a socket in the state directory,
where it waits for whoever runs ``start``, days later if need be.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from trine.linux import namespaces, openat2, process, seccomp, tty
from trine.runtime import cgroup_mounts, copy_up, execution, init, packets, users
from trine.runtime.failure import ContainerError, describe
from trine.runtime.import_guard import forbid_imports
from trine.runtime.oci import hooks

# Needed once the host's tree is gone; nothing can be imported then.
_PRELOADED = (cgroup_mounts, copy_up, fcntl, seccomp, struct)
_PDEATHSIG_OFF = 0
_ALL = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWCGROUP
)


class Start(NamedTuple):
    """All a child needs; descriptors are open in it."""

    config: dict[str, Any]  # OCI configuration; its process is what runs
    container_id: str
    sync: socket.socket  # to the parent
    streams: tuple[int, int, int] | None = None  # to become 0, 1, 2; None with a terminal
    preserved: Sequence[int] = ()  # from 3 on, kept across execve
    joins: Mapping[str, int] = MappingProxyType({})  # namespaces to join, by OCI type
    gate: socket.socket | None = None  # where the first process waits
    first: int = -1  # pidfd of the first process, for an exec
    state: Mapping[str, Any] = MappingProxyType({})  # for hooks


def main(start: Start) -> NoReturn:
    """Run as the child; never returns."""
    listener = [start.sync]  # who hears of errors: the parent, later whoever said go
    code = init.SETUP_FAILED
    try:
        process.set_dumpable(False)
        os.setsid()
        os.umask(0o022)
        if start.gate is not None:
            _first(start, listener)
        else:
            _exec(start)
    except ContainerError as error:
        code = error.exit_code
        init.report(listener[0], error)
    except OSError as error:
        text = describe(error) if not error.filename else f"{error.filename}: {describe(error)}"
        init.report(listener[0], ContainerError(text))
    except BaseException as error:
        init.report(listener[0], ContainerError(f"{type(error).__name__}: {error}"))
    finally:
        os._exit(code)


def _first(start: Start, listener: list[socket.socket]) -> None:
    config, spec = start.config, start.config["process"]
    # Of the host's /proc, which is still ours: our number on the host.
    start = start._replace(state={**start.state, "pid": int(os.readlink("/proc/self"))})
    assert start.gate is not None
    keep = {start.sync.fileno(), start.gate.fileno(), *start.joins.values(), *start.preserved}
    process.close_all_but(keep | set(start.streams or ()))
    program = init.load_filter(config, None)
    hooks.preload(config)
    forbid_imports()
    init.join_namespaces(config, dict(start.joins))
    slave = init.build(config, start.sync, _steps(start))
    _take_streams(start.streams or (slave, slave, slave), bool(spec.get("terminal")))
    execution.set_limits(spec.get("rlimits") or [])
    identity = look_up_user(spec, config.get("annotations") or {})
    variables = execution.environment(spec, identity)
    execution.change_directory(spec.get("cwd") or "/", create=True)
    # Callers tell "no such command" from other failures at create, so look already now.
    execution.find_command(spec["args"][0], variables)
    packets.send(start.sync, {"ready": True})
    listener[0] = _await_start(start.gate)
    start.sync.close()
    start.gate.close()
    hooks.run(config, hooks.START_CONTAINER, start.state, "created")
    execution.prepare_streams(identity, bool(spec.get("terminal")))
    _execute(start, spec, identity, variables, program)


def _steps(start: Start) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name == "mounted" and hooks.wanted(start.config, *hooks.BEFORE_PIVOT):
            packets.send(start.sync, {"mounted": True})
        elif name == "pivoting":
            hooks.run(start.config, hooks.IN_CONTAINER, start.state, "creating")

    return step


def _await_start(gate: socket.socket) -> socket.socket:
    """Return the connection of whoever said go; one that only looked whether we wait is let go."""
    while True:
        connection, _ = gate.accept()
        with contextlib.suppress(OSError, ValueError):
            message, _descriptors = packets.receive(connection)
            if message is not None and message.get("go"):
                return connection
        connection.close()


def _exec(start: Start) -> None:
    spec = start.config["process"]
    terminal = bool(spec.get("terminal"))
    process.close_all_but({start.sync.fileno(), start.first, *start.preserved, *(start.streams or ())})
    program = init.load_filter(start.config, None)
    init.wait_for(start.sync, "joined")
    forbid_imports()
    try:
        namespaces.setns(start.first, _ALL)
    except ProcessLookupError:
        raise ContainerError("container not running", "NOT_RUNNING") from None
    os.close(start.first)
    streams = start.streams
    if streams is None:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        multiplexer = openat2.openat2(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.close(root)
        master, slave = tty.pair_of(multiplexer)
        packets.send(start.sync, {"tty": True}, [master])
        os.close(master)
        streams = (slave, slave, slave)
        init.wait_for(start.sync, "tty")
    _take_streams(streams, terminal)
    execution.set_limits(spec.get("rlimits") or [])
    identity = look_up_user(spec, start.config.get("annotations") or {})
    variables = execution.environment(spec, identity)
    execution.prepare_streams(identity, terminal)
    _execute(start, spec, identity, variables, program)


def _take_streams(streams: tuple[int, int, int], terminal: bool) -> None:
    init.take_streams(streams)
    if not terminal:
        init.reopen_null()


def _execute(
    start: Start,
    spec: dict[str, Any],
    identity: users.Identity,
    variables: list[str],
    program: bytes | None,
) -> None:
    execution.reset_signals()
    _set_label(spec)
    for descriptor in start.preserved:
        os.set_inheritable(descriptor, True)
    execution.become(spec, identity, program, start.container_id)
    with contextlib.suppress(OSError):  # a profile may forbid prctl(2)
        process.prctl(process.PR_SET_PDEATHSIG, _PDEATHSIG_OFF)
    os.umask((spec.get("user") or {}).get("umask", 0o022))
    execution.change_directory(spec.get("cwd") or "/", create=False)
    command = execution.find_command(spec["args"][0], variables)
    execution.run(command, spec["args"], variables)


def _set_label(spec: dict[str, Any]) -> None:
    """Have the AppArmor profile take effect at execve, where the kernel has AppArmor (apparmor(7))."""
    profile = spec.get("apparmorProfile")
    if not profile or profile == "unconfined":
        return
    for path in ("/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"):
        with contextlib.suppress(FileNotFoundError, OSError), open(path, "w") as stream:
            stream.write(f"exec {profile}")
            return
    raise ContainerError(f"apparmor profile {profile} cannot be applied: apparmor is not enabled here")


def look_up_user(spec: dict[str, Any], annotations: dict[str, str]) -> users.Identity:
    """Return who the process runs as, with the home directory its /etc/passwd names."""
    identity = execution.look_up_user(spec, annotations)
    if "trine.user" in annotations:
        return identity
    with contextlib.suppress(ContainerError, OSError):
        identity.home = execution.look_up_user({}, {"trine.user": str(identity.uid)}).home
    return identity
