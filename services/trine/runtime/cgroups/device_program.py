"""Device rules as an eBPF program for version 2 cgroups (kernel cgroup-v2.rst, "Device controller").

Version 1's devices.allow and devices.deny keep a default and exceptions to it; the same is made of
the rules here, then one block of instructions for each exception. Pure; ``trine.linux.bpf`` loads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# enum and struct of linux/bpf.h: bpf_cgroup_dev_ctx.access_type is (access << 16) | type.
_ACCESS_BITS = {"m": 1, "r": 2, "w": 4}
_ALL_ACCESS = 7
_TYPES = {"b": 1, "c": 2, "u": 2}

_LDX_W = 0x61
_MOV32_REG = 0xBC
_MOV64_IMM = 0xB7
_AND32_IMM = 0x54
_RSH32_IMM = 0x74
_JNE_IMM = 0x55
_JEQ_IMM = 0x15
_JNE_REG = 0x5D
_EXIT = 0x95


class _Exception(NamedTuple):
    kind: int  # 0: both
    major: int | None
    minor: int | None
    access: int


def build(rules: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the program (8-byte instructions) for entries of linux.resources.devices in order."""
    allow_by_default, exceptions = _digest(rules)
    program = [
        _instruction(_LDX_W, 2, 1, 0),  # r2 = access_type
        _instruction(_MOV32_REG, 3, 2),
        _instruction(_AND32_IMM, 2, immediate=0xFFFF),  # r2 = type
        _instruction(_RSH32_IMM, 3, immediate=16),  # r3 = access asked
        _instruction(_LDX_W, 4, 1, 4),  # r4 = major
        _instruction(_LDX_W, 5, 1, 8),  # r5 = minor
    ]
    for exception in exceptions:
        program += _block(exception, allow_by_default)
    program += [
        _instruction(_MOV64_IMM, 0, immediate=int(allow_by_default)),
        _instruction(_EXIT),
    ]
    return b"".join(program)


def allows(rules: Iterable[Mapping[str, Any]], kind: str, major: int, minor: int, access: str) -> bool:
    """Tell what the program built from ``rules`` answers: for tests, and to explain a refusal."""
    allow_by_default, exceptions = _digest(rules)
    asked = _access(access)
    for entry in exceptions:
        if entry.kind not in (0, _TYPES[kind]):
            continue
        if entry.major not in (None, major) or entry.minor not in (None, minor):
            continue
        if asked & entry.access if allow_by_default else not asked & ~entry.access:
            return not allow_by_default
    return allow_by_default


def _digest(rules: Iterable[Mapping[str, Any]]) -> tuple[bool, list[_Exception]]:
    allow_by_default = True
    exceptions: dict[tuple[int, int | None, int | None], int] = {}
    for entry in rules:
        allow = bool(entry.get("allow"))
        kind = entry.get("type") or "a"
        if kind == "a":
            allow_by_default, exceptions = allow, {}  # as v1: "a" ignores numbers and starts anew
            continue
        place = (_TYPES[kind], _number(entry.get("major")), _number(entry.get("minor")))
        access = _access(entry.get("access") or "rwm")
        if allow == allow_by_default:
            if place in exceptions:
                exceptions[place] &= ~access
        else:
            exceptions[place] = exceptions.get(place, 0) | access
    return allow_by_default, [_Exception(*place, access) for place, access in exceptions.items() if access]


def _number(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def _access(text: str) -> int:
    bits = 0
    for letter in text:
        bits |= _ACCESS_BITS[letter]
    return bits


def _block(exception: _Exception, allow_by_default: bool) -> list[bytes]:
    """Return instructions that answer when the exception matches and else go on behind them."""
    tests: list[tuple[int, int, int, int]] = []  # opcode, dst, src, immediate; true: no match
    before: list[bytes] = []
    if exception.access != _ALL_ACCESS:
        before = [
            _instruction(_MOV32_REG, 1, 3),
            _instruction(_AND32_IMM, 1, immediate=exception.access),
        ]
        tests.append((_JEQ_IMM, 1, 0, 0) if allow_by_default else (_JNE_REG, 1, 3, 0))
    if exception.kind:
        tests.append((_JNE_IMM, 2, 0, exception.kind))
    if exception.major is not None:
        tests.append((_JNE_IMM, 4, 0, exception.major))
    if exception.minor is not None:
        tests.append((_JNE_IMM, 5, 0, exception.minor))
    answer = [_instruction(_MOV64_IMM, 0, immediate=int(not allow_by_default)), _instruction(_EXIT)]
    jumps = [
        _instruction(opcode, dst, src, len(tests) - 1 - place + len(answer), immediate)
        for place, (opcode, dst, src, immediate) in enumerate(tests)
    ]
    return before + jumps + answer


def _instruction(opcode: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, dst | src << 4, offset, immediate)
