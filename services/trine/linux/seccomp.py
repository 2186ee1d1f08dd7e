"""Installing seccomp filters: seccomp(2), and a store of compiled ones."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from typing import Any

from trine.linux.seccomp_filter import FilterError, compile_filter
from trine.linux.syscalls import syscall

__all__ = ["FilterError", "available", "compile", "compile_filter", "flag_bits", "install", "stored_path"]

_SET_MODE_FILTER = 1
_GET_ACTION_AVAIL = 2
_RET_KILL_PROCESS = 0x80000000
_INSTRUCTION_BYTES = 8
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


def compile(profile: Mapping[str, Any]) -> bytes:
    """Return the filter of an OCI linux.seccomp for this machine (about 2.5 ms for the default profile).

    Raises:
        FilterError: as ``compile_filter``.
    """
    return compile_filter(profile, os.uname().machine)


_known: dict[str, str] = {}  # profile → path, of filters this process compiled


def stored_path(profile: Mapping[str, Any], directory: str) -> str:
    """Return the path of a file with the filter of an OCI linux.seccomp: raw struct sock_filter[].

    For a service that starts many containers under few profiles: each is compiled once for the life of
    the process, later calls cost 0.1 ms. A file found from before is not trusted but replaced, whole.

    Args:
        profile: the linux.seccomp of a config.json.
        directory: only root may write to it; made when missing.

    Raises:
        FilterError: as ``compile_filter``; OSError: the directory cannot be written.
    """
    import hashlib  # only services store filters; the zygote, which imports this too, stays small
    import json
    import tempfile

    key = hashlib.sha256(json.dumps([directory, profile], sort_keys=True).encode()).hexdigest()
    path = _known.get(key)
    if path is not None and os.path.exists(path):
        return path
    program = compile(profile)
    path = os.path.join(directory, hashlib.sha256(program).hexdigest() + ".bpf")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(program)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    _known[key] = path
    return path
