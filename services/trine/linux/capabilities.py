"""Capabilities: capabilities(7), capset(2), and their names."""

from __future__ import annotations

import contextlib
import ctypes

from trine.linux.syscalls import syscall

NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
NUMBERS = {f"CAP_{name}": number for number, name in enumerate(NAMES)}

_VERSION_3 = 0x20080522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_AMBIENT_RAISE = 2
_AMBIENT_CLEAR_ALL = 4


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint32 * 6)]  # effective, permitted, inheritable; low half, then high half


def mask(names: list[str]) -> int:
    """Return the bit mask of capability names ("CAP_CHOWN"); unknown names are left out."""
    result = 0
    for name in names:
        if name in NUMBERS:
            result |= 1 << NUMBERS[name]
    return result


def get() -> tuple[int, int, int]:
    """Return our (effective, permitted, inheritable) masks (capget(2))."""
    data = _Data()
    syscall("capget", _Header(_VERSION_3, 0), data)
    words = data.words
    return words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32


def bounding() -> int:
    """Return the bounding set: what this process, and so any container, can have at most."""
    result = 0
    for number in range(64):
        try:
            if syscall("prctl", _PR_CAPBSET_READ, number, 0, 0, 0):
                result |= 1 << number
        except OSError:
            break
    return result


def drop_bounding(keep: int) -> None:
    """Drop every capability not in ``keep`` from the bounding set. Needs CAP_SETPCAP; raises OSError."""
    for number in range(64):
        if keep >> number & 1:
            continue
        try:
            syscall("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)
        except OSError as error:
            if error.errno == 22:  # EINVAL: behind the last one this kernel knows
                break
            raise


def set_sets(effective: int, permitted: int, inheritable: int) -> None:
    """Set our three sets (capset(2)); a bit we do not have ourselves is left out. Raises OSError."""
    have = get()[1]
    effective, permitted, inheritable = effective & have, permitted & have, inheritable & have
    low = 0xFFFFFFFF
    data = _Data(
        (ctypes.c_uint32 * 6)(
            effective & low,
            permitted & low,
            inheritable & low,
            effective >> 32,
            permitted >> 32,
            inheritable >> 32,
        )
    )
    syscall("capset", _Header(_VERSION_3, 0), data)


def set_ambient(wanted: int) -> None:
    """Set the ambient set; a capability that is not permitted and inheritable is left out."""
    syscall("prctl", _PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):
        if wanted >> number & 1:
            with contextlib.suppress(OSError):
                syscall("prctl", _PR_CAP_AMBIENT, _AMBIENT_RAISE, number, 0, 0)
