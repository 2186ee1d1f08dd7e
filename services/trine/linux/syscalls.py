"""Raw system calls by ctypes, errno turned into OSError; stdlib only.

``syscall(2)`` is called through the C library with a number of our own table, because glibc wraps
none of the newer calls (clone3, openat2, mount_setattr, …). Calls must come from code that may
block: ctypes releases the GIL while one runs.
"""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
_syscall = libc.syscall
_syscall.restype = ctypes.c_long

# Numbers from 424 on are the same on every architecture (asm-generic/unistd.h).
_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "faccessat2": 439,
    "mount_setattr": 442,
}
_X86_64 = {
    "ioctl": 16,
    "prctl": 157,
    "pivot_root": 155,
    "mount": 165,
    "umount2": 166,
    "setresuid": 117,
    "setresgid": 119,
    "setgroups": 116,
    "capget": 125,
    "capset": 126,
    "mknodat": 259,
    "unshare": 272,
    "setns": 308,
    "signalfd4": 289,
    "inotify_init1": 294,
    "inotify_add_watch": 254,
    "inotify_rm_watch": 255,
    "seccomp": 317,
    "bpf": 321,
    "execveat": 322,
    "prlimit64": 302,
    "keyctl": 250,
    "fstatfs": 138,
    "name_to_handle_at": 303,
    "kcmp": 312,
    "rt_sigprocmask": 14,
    "rt_sigaction": 13,
}
_AARCH64 = {
    "ioctl": 29,
    "prctl": 167,
    "pivot_root": 41,
    "mount": 40,
    "umount2": 39,
    "setresuid": 147,
    "setresgid": 149,
    "setgroups": 159,
    "capget": 90,
    "capset": 91,
    "mknodat": 33,
    "unshare": 97,
    "setns": 268,
    "signalfd4": 74,
    "inotify_init1": 26,
    "inotify_add_watch": 27,
    "inotify_rm_watch": 28,
    "seccomp": 277,
    "bpf": 280,
    "execveat": 281,
    "prlimit64": 261,
    "keyctl": 219,
    "fstatfs": 44,
    "name_to_handle_at": 264,
    "kcmp": 272,
    "rt_sigprocmask": 135,
    "rt_sigaction": 134,
}
MACHINE = os.uname().machine
NUMBERS: dict[str, int] = {**_COMMON, **(_AARCH64 if MACHINE == "aarch64" else _X86_64)}


def _convert(value: object) -> object:
    """Return what ctypes passes in one 64-bit register: ints whole, buffers by address, None as 0."""
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, int):
        return ctypes.c_long(value)
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    return ctypes.byref(value)  # type: ignore[arg-type]


def syscall(name: str, *arguments: object, path: str | None = None) -> int:
    """Make one system call and return its result.

    ``arguments`` are ints, bytes (passed as a C string), ctypes structures or arrays (by reference)
    or None. ``path`` goes into the error. Raises OSError (the subclass that fits errno) on failure.
    """
    result: int = _syscall(ctypes.c_long(NUMBERS[name]), *[_convert(a) for a in arguments])
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))
    return result
