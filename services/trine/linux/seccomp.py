"""Installing seccomp filters: seccomp(2), and a store of compiled ones."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from trine.linux.seccomp_filter import FilterError, compile_filter
from trine.linux.syscalls import syscall

__all__ = ["FilterError", "available", "compile_filter", "flag_bits", "install", "stored"]

_SET_MODE_FILTER = 1
_GET_ACTION_AVAIL = 2
_RET_KILL_PROCESS = 0x80000000
_INSTRUCTION_BYTES = 8
_COMPILER = b"1"  # change it with the compiler: filters stored by another are not used
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(program: bytes, flags: int = 0) -> None:
    """Put the calling thread, and all it will start, under a filter. It cannot be taken off again.

    Args:
        program: struct sock_filter[].
        flags: SECCOMP_FILTER_FLAG_*.

    Raises:
        OSError: EACCES without CAP_SYS_ADMIN and without no_new_privs; EINVAL for a bad program.
    """
    code = ctypes.create_string_buffer(program, len(program))
    syscall(
        "seccomp",
        _SET_MODE_FILTER,
        flags,
        _Program(len(program) // _INSTRUCTION_BYTES, ctypes.addressof(code)),
    )


def available() -> bool:
    """Tell whether this kernel has seccomp filters."""
    try:
        syscall("seccomp", _GET_ACTION_AVAIL, 0, ctypes.c_uint32(_RET_KILL_PROCESS))
    except OSError:
        return False
    return True


def flag_bits(names: Iterable[str]) -> int:
    """Return the flags of an OCI linux.seccomp ("flags") as bits.

    Raises:
        FilterError: one we do not know.
    """
    bits = 0
    for name in names:
        if name not in _FLAGS:
            raise FilterError(f"seccomp flag {name} not known")
        bits |= _FLAGS[name]
    return bits


def stored(profile: Mapping[str, Any], directory: str, machine: str | None = None) -> bytes:
    """Return the compiled filter of an OCI linux.seccomp, from a directory where it is kept.

    A file that is damaged is made again; a directory that cannot be written costs time only.

    Raises:
        FilterError: as ``compile_filter``.
    """
    machine = machine or os.uname().machine
    text = json.dumps([machine, profile], sort_keys=True).encode()
    path = os.path.join(directory, hashlib.sha256(_COMPILER + text).hexdigest() + ".bpf")
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        digest, program = stream.read(32), stream.read()
        if hashlib.sha256(program).digest() == digest:
            return program
    program = compile_filter(profile, machine)
    with contextlib.suppress(OSError):
        _keep(path, hashlib.sha256(program).digest() + program)
    return program


def _keep(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
