"""The last steps of a process in a container: identity, limits, capabilities, seccomp, execve. Lean.

The same for a container's first process (init) and for an exec (enter). The caller is in all
namespaces and has the container's root as its root.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from typing import Any, NoReturn

from trine.linux import capabilities, openat2, process, tty
from trine.linux.syscalls import syscall
from trine.runtime import users
from trine.runtime.failure import ContainerError, describe, quote

_KEYCTL_JOIN_SESSION_KEYRING = 1
_MAXIMUM_LIMIT = (1 << 63) - 1
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def look_up_user(spec: dict[str, Any], annotations: dict[str, str]) -> users.Identity:
    """Return who the process runs as: annotations "trine.user" and "trine.groups", else process.user.

    Raises ContainerError.
    """
    if "trine.user" in annotations:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return users.resolve(
                annotations["trine.user"],
                [g for g in annotations.get("trine.groups", "").split(",") if g],
                openat2.read_file(root, "/etc/passwd", users.FILE_LIMIT),
                openat2.read_file(root, "/etc/group", users.FILE_LIMIT),
            )
        finally:
            os.close(root)
    user = spec.get("user") or {}
    result = users.Identity(user.get("uid", 0), user.get("gid", 0))
    result.groups = list(user.get("additionalGids") or [])
    return result


def prepare_streams(identity: users.Identity, terminal: bool) -> None:
    """Give the standard streams to the process's user and, with a terminal, make it the controlling one."""
    null = os.makedev(1, 3)
    for descriptor in (0, 1, 2):
        status = os.fstat(descriptor)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == null:
            continue
        try:
            os.fchown(descriptor, identity.uid, status.st_gid if terminal else identity.gid)
        except OSError:
            pass  # a read-only or foreign file system: then it stays as it is
    if terminal:
        tty.take_control(0)


def reset_signals() -> None:
    """Undo what the interpreter did: default actions, nothing blocked (execve keeps "ignored")."""
    process.default_actions()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def set_limits(limits: list[dict[str, Any]]) -> None:
    """Set OCI process.rlimits; what the host forbids is clamped (no CAP_SYS_RESOURCE)."""
    for limit in limits:
        name = getattr(resource, limit["type"], None)
        if name is None:
            continue
        soft, hard = (
            resource.RLIM_INFINITY if value > _MAXIMUM_LIMIT or value < 0 else value
            for value in (limit["soft"], limit["hard"])
        )
        process.set_limit(name, soft, hard)


def change_directory(path: str, create: bool) -> None:
    """Go to the working directory, made when missing for the first process.

    It must be reachable from the root: a leaked descriptor of the host's tree would show as
    "(unreachable)" (CVE-2024-21626). Raises ContainerError.
    """
    try:
        if create:
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.close(openat2.make_directories(root, path))
            finally:
                os.close(root)
        os.chdir(path)
        if not os.getcwd().startswith("/"):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    except OSError as error:
        if create and error.errno == errno.ENOTDIR and not os.path.isdir(path):
            raise ContainerError(f"Cannot mkdir: {path} is not a directory", "NOT_A_DIRECTORY") from None
        what = "mkdir" if create else "chdir to cwd"
        text = f"{what} {path}: {describe(error)}"
        if not create:
            text = f"chdir to cwd ({quote(path)}) set in config.json failed: {describe(error)}"
        raise ContainerError(text, "WORKING_DIRECTORY", 126) from None


def become(
    spec: dict[str, Any], identity: users.Identity, seccomp_filter: bytes | None, keyring: str
) -> None:
    """Give up everything the process shall not have: keys, bounding set, ids, capabilities, system calls.

    Raises OSError.
    """
    try:
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, f"_ses.{keyring}".encode()[:200])
    except OSError:
        pass  # no keyrings here, or a quota: then there is none to share
    lists = spec.get("capabilities") or {}
    masks = {kind: capabilities.mask(lists.get(kind) or []) for kind in _SETS}
    capabilities.drop_bounding(masks["bounding"])
    process.prctl(process.PR_SET_KEEPCAPS, 1)
    # The primary group is among the supplementary ones, as in runc (CVE-2022-36109).
    syscall("setgroups", *_groups(list(dict.fromkeys([identity.gid, *identity.groups]))))
    syscall("setresgid", identity.gid, identity.gid, identity.gid)
    syscall("setresuid", identity.uid, identity.uid, identity.uid)
    process.prctl(process.PR_SET_KEEPCAPS, 0)
    # A change of user clears the parent death signal.
    process.set_parent_death_signal()
    effective, permitted = masks["effective"], masks["permitted"]
    if identity.uid:
        # What execve(2) would do to a user without ambient capabilities: none are effective.
        effective = permitted = masks["ambient"]
    if spec.get("noNewPrivileges"):
        process.set_no_new_privileges()
    if seccomp_filter:
        # Without no_new_privs a filter needs CAP_SYS_ADMIN, so it goes in before that is given up.
        have = capabilities.get()[1]
        capabilities.set_sets(have, have, 0)
        from trine.linux.seccomp import install

        install(seccomp_filter)
    capabilities.set_sets(effective, permitted, masks["inheritable"])
    if masks["ambient"]:
        capabilities.set_ambient(masks["ambient"])


_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


def _groups(groups: list[int]) -> tuple[int, Any]:
    import ctypes

    return len(groups), (ctypes.c_uint32 * max(1, len(groups)))(*groups)


def environment(spec: dict[str, Any], identity: users.Identity) -> list[str]:
    """Return the process's environment, HOME added from passwd when it has none."""
    entries = list(spec.get("env") or [])
    if not any(entry.startswith("HOME=") for entry in entries):
        entries.append(f"HOME={identity.home}")
    return entries


def find_command(name: str, variables: list[str]) -> str:
    """Return the file that a command name means (PATH of ``variables``), as the process's user may run it.

    Raises ContainerError in runc's words with reason COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
    """
    if "/" in name:
        try:
            _check_executable(name)
        except OSError as error:
            text = describe(error)
            if isinstance(error, PermissionError):
                text = text if error.filename is None else f"stat {name}: {text}"
                raise ContainerError(f"exec: {quote(name)}: {text}", "COMMAND_NOT_EXECUTABLE", 126) from None
            if error.errno == errno.ENOENT:
                raise _not_found(name, f"stat {name}: {text}") from None
            # A link to itself, a file where a directory should be: status 125, as Docker's client has it.
            raise ContainerError(
                f"exec: {quote(name)}: stat {name}: {text}", "COMMAND_OUT_OF_REACH"
            ) from None
        return name
    path = next((v[5:] for v in reversed(variables) if v.startswith("PATH=")), DEFAULT_PATH)
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check_executable(candidate)
        except OSError:
            continue
        return candidate
    raise _not_found(name, "executable file not found in $PATH")


def _check_executable(path: str) -> None:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode) or not status.st_mode & 0o111:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # no name: stat itself was allowed


def _not_found(name: str, text: str) -> ContainerError:
    return ContainerError(f"exec: {quote(name)}: {text}", "COMMAND_NOT_FOUND", 127)


def run(path: str, arguments: list[str], variables: list[str]) -> NoReturn:
    """Execute. What the kernel refuses now is the process's own end, as in runc: a line, status 1.

    An interpreter that is not there or a file of a wrong format cannot be seen before: the container has
    started then, and the line is in its log.
    """
    try:
        process.execute(path, arguments, variables)
    except OSError as error:
        try:
            os.write(2, f"exec {path}: {describe(error)}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # nobody listens
    os._exit(1)
