"""eBPF programs of type BPF_PROG_TYPE_CGROUP_DEVICE, by bpf(2) through ctypes: no libbpf, no compiler."""

from __future__ import annotations

import ctypes
import os

from trine.linux.syscalls import syscall

_BPF_PROG_LOAD = 5
_BPF_PROG_ATTACH = 8
_BPF_PROG_DETACH = 9
_BPF_PROG_GET_FD_BY_ID = 13
_BPF_PROG_QUERY = 16
_PROG_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_F_ALLOW_MULTI = 2
_F_REPLACE = 4
_LOG_BYTES = 16 << 10


class _Load(ctypes.Structure):
    _fields_ = [
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    ]


class _Attach(ctypes.Structure):
    _fields_ = [
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("replace_bpf_fd", ctypes.c_uint32),
    ]


class _Query(ctypes.Structure):
    _fields_ = [
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
    ]


class _GetById(ctypes.Structure):
    _fields_ = [
        ("prog_id", ctypes.c_uint32),
        ("next_id", ctypes.c_uint32),
        ("open_flags", ctypes.c_uint32),
    ]


def _bpf(command: int, attributes: ctypes.Structure) -> int:
    return syscall("bpf", command, attributes, ctypes.sizeof(attributes))


def load_device_program(program: bytes) -> int:
    """Load a program of 8-byte instructions and return a descriptor of it (close-on-exec).

    Raises:
        OSError: as bpf(2); when the verifier refuses, its words are in the message.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    license_text = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = _Load(
        prog_type=_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt=len(program) // 8,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(license_text),
    )
    try:
        return _bpf(_BPF_PROG_LOAD, attributes)
    except OSError:
        # Once more with the verifier's log: it costs time only when there is something to tell.
        log = ctypes.create_string_buffer(_LOG_BYTES)
        attributes.log_level, attributes.log_size = 1, _LOG_BYTES
        attributes.log_buf = ctypes.addressof(log)
        try:
            return _bpf(_BPF_PROG_LOAD, attributes)
        except OSError as error:
            words = log.value.decode(errors="replace").strip().replace("\n", "; ")
            raise OSError(error.errno, f"{error.strerror}: {words}" if words else error.strerror) from None


def attached_device_programs(cgroup: int) -> list[int]:
    """Return the ids of the device programs attached to a cgroup directory's descriptor."""
    ids = (ctypes.c_uint32 * 64)()
    query = _Query(
        target_fd=cgroup,
        attach_type=_ATTACH_CGROUP_DEVICE,
        prog_ids=ctypes.addressof(ids),
        prog_cnt=len(ids),
    )
    _bpf(_BPF_PROG_QUERY, query)
    return list(ids[: query.prog_cnt])


def set_device_program(cgroup: int, program: bytes) -> None:
    """Make ``program`` the only device program of a cgroup; there is none without it in between.

    Args:
        cgroup: descriptor of the version 2 directory.
        program: 8-byte instructions.

    Raises:
        OSError: as bpf(2).
    """
    new = load_device_program(program)
    old = []
    try:
        old = [_bpf(_BPF_PROG_GET_FD_BY_ID, _GetById(prog_id=i)) for i in attached_device_programs(cgroup)]
        attach = _Attach(
            target_fd=cgroup,
            attach_bpf_fd=new,
            attach_type=_ATTACH_CGROUP_DEVICE,
            attach_flags=_F_ALLOW_MULTI,
        )
        if len(old) == 1:
            attach.attach_flags |= _F_REPLACE
            attach.replace_bpf_fd = old[0]
        _bpf(_BPF_PROG_ATTACH, attach)
        if len(old) > 1:  # all must agree, so the new one counts already; drop the others
            for descriptor in old:
                _bpf(
                    _BPF_PROG_DETACH,
                    _Attach(
                        target_fd=cgroup,
                        attach_bpf_fd=descriptor,
                        attach_type=_ATTACH_CGROUP_DEVICE,
                    ),
                )
    finally:
        for descriptor in (new, *old):
            os.close(descriptor)
