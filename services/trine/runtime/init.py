"""A container's first process, between clone and execve. Lean: stdlib, ctypes and trine.linux only.

The shim clones it into fresh namespaces; it mounts, masks, names and then waits at the start gate.
What it says to the shim (packets on one socket): ``{"tty": true}`` with the PTY's master,
``{"ready": true}``, ``{"error": {…}}``. What it hears: ``{"joined": true}`` (it is in its cgroups) and
``{"go": true}``. The socket is close-on-exec: its end without an error means the command runs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from trine.linux import namespaces, process
from trine.runtime import execution, packets, rootfs, users
from trine.runtime.failure import ContainerError, describe
from trine.runtime.import_guard import forbid_imports

SETUP_FAILED = 128


def main(
    config: dict[str, Any],
    sync: socket.socket,
    streams: tuple[int, int, int] | None,
    joins: dict[str, int],
    container_id: str,
) -> NoReturn:
    """Run as process 1 of a container; never returns.

    Args:
        config: OCI configuration with the key "trine".
        sync: our end of the packet socket to the shim.
        streams: descriptors to become 0, 1, 2; None with a terminal.
        joins: descriptors of namespaces to join, by OCI type.
        container_id: for the keyring's name.
    """
    code = SETUP_FAILED
    try:
        _main(config, sync, streams, joins, container_id)
    except ContainerError as error:
        code = error.exit_code
        report(sync, error)
    except OSError as error:
        text = describe(error) if not error.filename else f"{error.filename}: {describe(error)}"
        report(sync, ContainerError(text))
    except BaseException as error:
        report(sync, ContainerError(f"{type(error).__name__}: {error}"))
    finally:
        os._exit(code)


def report(sync: socket.socket, error: ContainerError) -> None:
    """Tell the shim why we failed, if it still listens."""
    try:
        packets.send(sync, {"error": error.as_dict()})
    except OSError:
        pass


def _main(
    config: dict[str, Any],
    sync: socket.socket,
    streams: tuple[int, int, int] | None,
    joins: dict[str, int],
    container_id: str,
) -> None:
    process.set_parent_death_signal()
    spec = config["process"]
    os.setsid()
    os.umask(0o022)
    kept = {sync.fileno(), *joins.values(), *(streams or ())}
    process.close_all_but(kept)
    private = config.get("trine") or {}
    # Read while the host's tree is still there.
    seccomp_filter = load_filter(config, private.get("seccomp_filter"))
    forbid_imports()
    join_namespaces(config, joins)
    slave = build(config, sync)
    if streams is None:
        streams = (slave, slave, slave)
    take_streams(streams)
    if not spec.get("terminal"):
        reopen_null()
    execution.set_limits(spec.get("rlimits") or [])
    identity = execution.look_up_user(spec, config.get("annotations") or {})
    variables = execution.environment(spec, identity)
    packets.send(sync, {"ready": True})
    wait_for(sync, "go")
    execution.prepare_streams(identity, bool(spec.get("terminal")))
    if private.get("init"):
        from trine.runtime import pid1

        pid1.split(sync)  # returns in the child only
    _execute(spec, identity, variables, seccomp_filter, container_id, sync)


def _execute(
    spec: dict[str, Any],
    identity: users.Identity,
    variables: list[str],
    seccomp_filter: bytes | None,
    container_id: str,
    sync: socket.socket,
) -> None:
    execution.reset_signals()
    execution.change_directory(spec.get("cwd") or "/", create=True)
    execution.become(spec, identity, seccomp_filter, container_id)
    execution.change_directory(spec.get("cwd") or "/", create=False)
    command = execution.find_command(spec["args"][0], variables)
    packets.send(sync, {"executing": True})
    execution.run(command, spec["args"], variables)


def join_namespaces(config: dict[str, Any], joins: dict[str, int]) -> None:
    """Join the namespaces that others made (all but pid, which the parent chose, and mount).

    Raises OSError.
    """
    for kind in ("user", "network", "uts", "ipc"):
        if kind in joins:
            namespaces.setns(joins[kind], namespaces.FLAGS[kind])
    wanted = {entry["type"]: entry.get("path") for entry in config["linux"]["namespaces"]}
    if "network" in wanted and not wanted["network"]:
        bring_loopback_up()


def bring_loopback_up() -> None:
    """Set IFF_UP on lo of a fresh network namespace (netdevice(7)). Raises OSError."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sH14x", b"lo", 0x1)
        fcntl.ioctl(control.fileno(), 0x8914, request)  # SIOCSIFFLAGS


def _no_step(_name: str) -> None:
    """Do nothing between the steps of ``build``."""


def build(config: dict[str, Any], sync: socket.socket, step: Callable[[str], None] = _no_step) -> int:
    """Make the whole file system and enter it; return the terminal's slave or -1. Raises ContainerError.

    ``step`` is called with "mounted" before we wait to be in our cgroups, and with "pivoting" before the
    host's tree goes out of sight (hooks of an OCI runtime).
    """
    private = config.get("trine") or {}
    linux = config["linux"]
    entries = list(config.get("mounts") or [])
    copy_up = set(private.get("copy_up") or [])
    sources = rootfs.open_sources(entries)
    shared_shm = _shared_shm(private.get("shared_shm"))
    root = rootfs.mount_root(config)
    late = [number for number, entry in enumerate(entries) if rootfs.is_cgroup(entry)]
    for number, entry in enumerate(entries):
        if number not in late:
            copy = entry["destination"] in copy_up
            rootfs.mount_one(root, entry, sources.get(number), copy)
    if shared_shm >= 0:
        entry = {"destination": "/dev/shm", "source": "shm", "options": ["rbind"]}
        rootfs.mount_one(root, entry, shared_shm)
    if not _user_owns_dev(entries):
        rootfs.make_devices(root, linux.get("devices") or [])
    if "managed_files" in private:  # a container of the engine's, not a bundle of someone else's
        rootfs.leave_mark(root)
    slave = -1
    if config["process"].get("terminal"):
        master, slave = rootfs.open_terminal(root)
        packets.send(sync, {"tty": True}, [master])
        os.close(master)
    for path in linux.get("maskedPaths") or []:
        rootfs.mask(root, path)
    for name, value in (linux.get("sysctl") or {}).items():
        rootfs.write_sysctl(root, name, value)
    for path in linux.get("readonlyPaths") or []:
        rootfs.make_read_only(root, path)
    if any(entry["type"] == "uts" and not entry.get("path") for entry in linux["namespaces"]):
        rootfs.set_names(config.get("hostname") or "", config.get("domainname") or "")
    step("mounted")
    wait_for(sync, "joined")
    _enter_cgroup_namespace(linux)
    for number in late:
        if entries[number].get("type") == "cgroup":
            from trine.runtime import cgroup_mounts

            cgroup_mounts.mount(root, entries[number])
        else:
            rootfs.mount_one(root, entries[number], sources.get(number))
    step("pivoting")
    rootfs.pivot(root)
    os.close(root)
    rootfs.finish_root(bool(config["root"].get("readonly")), linux.get("rootfsPropagation") or "rprivate")
    return slave


def _enter_cgroup_namespace(linux: dict[str, Any]) -> None:
    for entry in linux["namespaces"]:
        if entry["type"] != "cgroup":
            continue
        if path := entry.get("path"):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            namespaces.setns(descriptor, namespaces.CLONE_NEWCGROUP)
            os.close(descriptor)
        else:
            namespaces.unshare(namespaces.CLONE_NEWCGROUP)


def _shared_shm(path: str | None) -> int:
    """Return a detached copy of /dev/shm in another mount namespace, -1 when none is asked for.

    A child goes there, takes it and passes it back: the kernel copies mounts only of one's own namespace.
    """
    if not path:
        return -1
    mine, theirs = packets.pair()
    child = os.fork()
    if not child:
        try:
            from trine.linux import mount

            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            namespaces.setns(descriptor, namespaces.CLONE_NEWNS)
            tree = mount.open_tree(mount.AT_FDCWD, "/dev/shm", recursive=False)
            packets.send(theirs, {}, [tree])
        finally:
            os._exit(0)
    theirs.close()
    _, descriptors = packets.receive(mine)
    os.waitpid(child, 0)
    mine.close()
    if not descriptors:
        raise ContainerError("cannot share /dev/shm of the other container", "MOUNT_FAILED")
    return descriptors[0]


def _user_owns_dev(entries: list[dict[str, Any]]) -> bool:
    return any(
        os.path.normpath(entry["destination"]) == "/dev" and rootfs.is_bind(entry) for entry in entries
    )


def take_streams(streams: tuple[int, int, int]) -> None:
    """Make the three descriptors 0, 1 and 2; the originals are close-on-exec."""
    lifted = [os.dup(d) if d < 3 else d for d in streams]
    for number, descriptor in enumerate(lifted):
        os.dup2(descriptor, number, inheritable=True)


def reopen_null() -> None:
    """Replace a host's /dev/null among 0 to 2 by the container's, so that no host mount is reachable."""
    null = os.makedev(1, 3)
    for number in (0, 1, 2):
        if os.fstat(number).st_rdev != null:
            continue
        try:
            own = os.open("/dev/null", os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return
        if os.fstat(own).st_rdev == null:
            os.dup2(own, number, inheritable=True)
        os.close(own)


def load_filter(config: dict[str, Any], path: str | None) -> bytes | None:
    """Return the seccomp filter: compiled before by the service, or now; None for none. Raises OSError."""
    if path:
        with open(path, "rb") as file:
            return file.read()
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile:
        return None
    from trine.linux import seccomp

    return seccomp.compile(profile)


def wait_for(sync: socket.socket, key: str) -> None:
    """Wait for one word of the shim; its end means that it died, then so do we."""
    message, _ = packets.receive(sync)
    if message is None or key not in message:
        os._exit(SETUP_FAILED)
