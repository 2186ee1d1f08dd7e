"""Processes: clone3(2), pidfd_open(2), prctl(2), close_range(2), execveat(2) and the like."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal

from trine.linux.syscalls import libc, syscall

CLONE_PIDFD = 0x1000
CLONE_PARENT = 0x8000
CLONE_INTO_CGROUP = 0x200000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38


class _CloneArguments(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def clone(flags: int, *, cgroup: int = -1, sibling: bool = False) -> tuple[int, int]:
    """Fork with clone3(2): return (pid, pidfd) in the parent and (0, -1) in the child.

    ``flags`` are CLONE_NEW*; ``cgroup`` is a descriptor of a cgroup v2 directory to be born in;
    with ``sibling`` our parent becomes the parent (CLONE_PARENT).
    Like os.fork, but without the interpreter's fork hooks: only for a process with one thread.
    Raises OSError.
    """
    descriptor = ctypes.c_int(-1)
    arguments = _CloneArguments(
        flags=flags | CLONE_PIDFD,
        pidfd=ctypes.addressof(descriptor),
        exit_signal=0 if sibling else int(signal.SIGCHLD),  # CLONE_PARENT: as our own
    )
    if sibling:
        arguments.flags |= CLONE_PARENT
    if cgroup >= 0:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    pid = syscall("clone3", arguments, ctypes.sizeof(arguments))
    return (pid, descriptor.value) if pid else (0, -1)


def pidfd_open(pid: int) -> int:
    """Return a pidfd (close-on-exec) of a process (pidfd_open(2)). Raises OSError."""
    return os.pidfd_open(pid)


def pidfd_send_signal(descriptor: int, number: int) -> None:
    """Send a signal to the process of a pidfd: never to another that got its pid. Raises OSError."""
    signal.pidfd_send_signal(descriptor, number)


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close all descriptors from first to last (close_range(2)). Raises OSError."""
    syscall("close_range", first, last, 0)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor above 2 that is not in ``kept``."""
    first = 3
    for descriptor in sorted(d for d in kept if d > 2):
        if descriptor > first:
            close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first)


def prctl(option: int, value: int = 0) -> None:
    """prctl(2) with one number. Raises OSError."""
    syscall("prctl", option, value, 0, 0, 0)


def set_parent_death_signal(number: int = signal.SIGKILL) -> None:
    """Have the kernel send us a signal when our parent ends (cleared by a change of user id)."""
    prctl(PR_SET_PDEATHSIG, number)


def set_dumpable(allowed: bool) -> None:
    """Let or forbid others of our user to ptrace us and open our /proc files (PR_SET_DUMPABLE)."""
    prctl(PR_SET_DUMPABLE, int(allowed))


def set_child_subreaper() -> None:
    """Become the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER)."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def set_no_new_privileges() -> None:
    """Give up set-user-ID and file capabilities for good (PR_SET_NO_NEW_PRIVS)."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_name(name: str) -> None:
    """Set the 15-character name shown by ps -o comm (PR_SET_NAME)."""
    syscall("prctl", PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def default_actions() -> None:
    """Give every signal its default action, also the two that glibc hides (rt_sigaction(2)).

    execve(2) keeps "ignored", and whoever started us may have ignored anything.
    """
    for number in range(1, 65):
        if number not in (9, 19):  # SIGKILL, SIGSTOP
            default_action(number)


def default_action(number: int) -> None:
    """Give one signal its default action, behind the interpreter's back."""
    default = ctypes.create_string_buffer(64)  # struct sigaction of zeros: SIG_DFL, nothing masked
    syscall("rt_sigaction", number, default, None, 8)


def argument_area() -> ctypes.Array[ctypes.c_char]:
    """Return the memory of our argv (proc(5), stat fields 48 and 49)."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    first, end = int(fields[45]), int(fields[46])
    return (ctypes.c_char * (end - first)).from_address(first)


def set_title(area: ctypes.Array[ctypes.c_char], title: list[str]) -> None:
    """Overwrite argv in place, so that ps shows ``title``; cut when the area is too small."""
    room = len(area)
    text = b"\0".join([part.encode() for part in title])[: room - 1]
    area.raw = text.ljust(room, b"\0")


def set_limit(name: int, soft: int, hard: int) -> None:
    """Set an rlimit; where raising is forbidden (no CAP_SYS_RESOURCE) go as far as allowed (setrlimit(2))."""
    try:
        resource.setrlimit(name, (soft, hard))
        return
    except (ValueError, OSError):
        pass
    most = resource.getrlimit(name)[1]

    def clamp(value: int) -> int:
        if most == resource.RLIM_INFINITY:
            return value
        return most if value == resource.RLIM_INFINITY else min(value, most)

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(name, (clamp(soft), clamp(hard)))


def execute(path: str, arguments: list[str], environment: dict[str, str] | list[str]) -> None:
    """execve(2) with the environment as NAME=VALUE strings in order (duplicates kept). Raises OSError.

    Returns only by an exception.
    """
    entries = environment if isinstance(environment, list) else [f"{k}={v}" for k, v in environment.items()]
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*[os.fsencode(a) for a in arguments], None)
    envp = (ctypes.c_char_p * (len(entries) + 1))(*[os.fsencode(e) for e in entries], None)
    libc.execve(os.fsencode(path), argv, envp)
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)


def execute_descriptor(descriptor: int, arguments: list[str], environment: list[str]) -> None:
    """execveat(2) of an open file. Raises OSError; returns only by an exception."""
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*[os.fsencode(a) for a in arguments], None)
    envp = (ctypes.c_char_p * (len(environment) + 1))(*[os.fsencode(e) for e in environment], None)
    syscall("execveat", descriptor, b"", argv, envp, 0x1000)
