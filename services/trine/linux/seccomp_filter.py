"""From an OCI linux.seccomp to classic BPF: our own compiler, stdlib only, no system calls.

One section for each architecture; in it a binary search over ranges of call numbers, so that a call
costs about eight instructions. Code is built of pieces that end in a return and know nothing of their
place: a choice is a jump over its left side, and a jump too far for eight bits becomes a JA.

What differs from libseccomp: numbers above the newest call a profile knows answer ENOSYS and not the
profile's refusal (runc does the same), so that a libc newer than the profile falls back; socketcall(2)
and ipc(2) of 32-bit x86 are calls by themselves and are not taken apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from trine.linux.syscall_tables import numbers

# linux/audit.h
_AUDIT = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}
NATIVE = {
    "x86_64": "SCMP_ARCH_X86_64",
    "i686": "SCMP_ARCH_X86",
    "aarch64": "SCMP_ARCH_AARCH64",
    "armv7l": "SCMP_ARCH_ARM",
}
_X32_BIT = 0x40000000

# linux/filter.h, linux/bpf_common.h
_LD = 0x20
_JEQ, _JGT, _JGE = 0x15, 0x25, 0x35
_JA = 0x05
_AND = 0x54
_RET = 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data

# linux/seccomp.h
_KILL_PROCESS, _KILL_THREAD, _TRAP, _ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
_TRACE, _LOG, _ALLOW = 0x7FF00000, 0x7FFC0000, 0x7FFF0000
_PLAIN_ACTIONS = {
    "SCMP_ACT_KILL": _KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": _KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": _KILL_PROCESS,
    "SCMP_ACT_TRAP": _TRAP,
    "SCMP_ACT_LOG": _LOG,
    "SCMP_ACT_ALLOW": _ALLOW,
}
_EPERM, _ENOSYS = 1, 38
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k
Code = list[Instruction]


class FilterError(ValueError):
    """A profile no filter can be made from; one line for the user."""


def compile_filter(profile: Mapping[str, Any], machine: str) -> bytes:
    """Return the filter (struct sock_filter[]) of an OCI linux.seccomp for a machine (uname -m).

    A call of an architecture the profile does not list kills the process, as with libseccomp. Names no
    table knows are ignored, as runc does: they are of another kernel.

    Raises:
        FilterError: an action or operator nobody knows, notify without a listener, too long a program.
    """
    native = NATIVE.get(machine)
    if native is None:
        raise FilterError(f"seccomp is not supported on {machine}")
    wanted = [
        name for name in profile.get("architectures") or () if name in _AUDIT or name == "SCMP_ARCH_X32"
    ]
    if native not in wanted:
        wanted.insert(0, native)
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    refusal: Code = [(_RET, 0, 0, _KILL_PROCESS)]
    code = refusal
    for architecture in reversed([name for name in wanted if name != "SCMP_ARCH_X32"]):
        section: Code = [(_LD, 0, 0, _NUMBER_AT)]
        calls = _section(profile, architecture, 0, default)
        if architecture == "SCMP_ARCH_X86_64":
            if "SCMP_ARCH_X32" in wanted:
                x32 = _section(profile, "SCMP_ARCH_X32", _X32_BIT, default)
            else:
                x32 = refusal
            calls = _choice(_JGE, _X32_BIT, x32, calls)
        section += calls
        code = _choice(_JEQ, _AUDIT[architecture], section, code)
    code = [(_LD, 0, 0, _ARCH_AT), *code]
    if len(code) > _MOST_INSTRUCTIONS:
        raise FilterError(f"seccomp profile is too long: {len(code)} instructions")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _section(profile: Mapping[str, Any], architecture: str, base: int, default: int) -> Code:
    """Return the search over all numbers of one architecture; the number is in the accumulator."""
    table = numbers(architecture)
    rules: dict[int, list[tuple[int, list[Mapping[str, Any]]]]] = {}
    newest = -1
    for call in profile.get("syscalls") or ():
        result = _action(call["action"], call.get("errnoRet"))
        conditions = _alternatives(call.get("args") or ())
        for name in call["names"]:
            if name not in table:
                continue
            number = table[name]
            newest = max(newest, number)
            rules.setdefault(number, []).extend((result, condition) for condition in conditions)
    leaves: list[tuple[int, Code]] = []  # from this number on, this code
    position = base

    def put(start: int, code: Code) -> None:
        if not leaves or leaves[-1][1] != code:
            leaves.append((start, code))

    for number in sorted(rules):
        if base + number > position or not leaves:
            put(position, [(_RET, 0, 0, default)])
        if leaves[-1][0] == base + number:
            leaves.pop()
        put(base + number, _call(rules[number], default))
        position = base + number + 1
    put(position, [(_RET, 0, 0, _beyond(profile, default))] if newest >= 0 else [(_RET, 0, 0, default)])
    return _search(leaves)


def _beyond(profile: Mapping[str, Any], default: int) -> int:
    """Return the answer to calls newer than the profile: ENOSYS where it would refuse."""
    permissive = default in (_ALLOW, _LOG) or (default & 0xFFFF0000) == _TRACE
    return default if permissive else _ERRNO | _ENOSYS


def _search(leaves: list[tuple[int, Code]]) -> Code:
    if len(leaves) == 1:
        return leaves[0][1]
    middle = len(leaves) // 2
    return _choice(_JGE, leaves[middle][0], _search(leaves[middle:]), _search(leaves[:middle]))


def _choice(test: int, value: int, yes: Code, no: Code) -> Code:
    """Return code that runs ``yes`` when accumulator <test> value, else ``no``; both end in a return."""
    if len(no) <= 255:
        return [(test, len(no), 0, value), *no, *yes]
    if len(yes) <= 255:
        return [(test, 0, len(yes), value), *yes, *no]
    return [(test, 0, 1, value), (_JA, 0, 0, len(no)), *no, *yes]


def _call(rules: list[tuple[int, list[Mapping[str, Any]]]], default: int) -> Code:
    """Return the code for one call: conditional rules in order, then the strictest unconditional one."""
    plain = [result for result, conditions in rules if not conditions]
    last = min(plain, key=_severity) if plain else default
    code: Code = []
    for result, conditions in rules:
        if conditions and result != last:
            code += _rule(conditions, result)
    return [*code, (_RET, 0, 0, last)]


def _severity(result: int) -> int:
    """Order results as the kernel does: the signed value of the action, lowest wins."""
    action = result & 0xFFFF0000
    return action - (1 << 32) if action & 0x80000000 else action


def _alternatives(arguments: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the conjunctions a rule stands for: two tests of one argument are alternatives (as in runc)."""
    tests = list(arguments)
    if len({test["index"] for test in tests}) < len(tests):
        return [[test] for test in tests]
    return [tests]


_FAIL = -1  # jump target "this rule does not match": patched when the rule's length is known
_PASS = -2  # jump target "this comparison is true"


def _rule(conditions: list[Mapping[str, Any]], result: int) -> Code:
    """Return code that returns ``result`` when all conditions hold and else runs off its end."""
    code: list[tuple[int, int, int, int]] = []
    for condition in conditions:
        part = _comparison(condition)
        after = len(part)
        code += [
            (
                op,
                after - place - 1 if yes == _PASS else yes,
                after - place - 1 if no == _PASS else no,
                k,
            )
            for place, (op, yes, no, k) in enumerate(part)
        ]
    code.append((_RET, 0, 0, result))
    end = len(code)
    return [
        (op, end - place - 1 if yes == _FAIL else yes, end - place - 1 if no == _FAIL else no, k)
        for place, (op, yes, no, k) in enumerate(code)
    ]


def _comparison(condition: Mapping[str, Any]) -> Code:
    """Return a 64-bit comparison in 32-bit steps (little endian): high word first."""
    at = _ARGUMENTS_AT + 8 * condition["index"]
    low, high = (_LD, 0, 0, at), (_LD, 0, 0, at + 4)
    value = condition.get("value") or 0
    operator = condition["op"]
    if operator == "SCMP_CMP_MASKED_EQ":
        wanted = condition.get("valueTwo") or 0
        return [
            high,
            (_AND, 0, 0, value >> 32),
            (_JEQ, 0, _FAIL, wanted >> 32),
            low,
            (_AND, 0, 0, value & 0xFFFFFFFF),
            (_JEQ, 0, _FAIL, wanted & 0xFFFFFFFF),
        ]
    upper, lower = value >> 32, value & 0xFFFFFFFF
    if operator == "SCMP_CMP_EQ":
        return [high, (_JEQ, 0, _FAIL, upper), low, (_JEQ, 0, _FAIL, lower)]
    if operator == "SCMP_CMP_NE":
        return [high, (_JEQ, 0, _PASS, upper), low, (_JEQ, _FAIL, 0, lower)]
    if operator in ("SCMP_CMP_GT", "SCMP_CMP_GE"):
        test = _JGT if operator == "SCMP_CMP_GT" else _JGE
        return [high, (_JGT, _PASS, 0, upper), (_JEQ, 0, _FAIL, upper), low, (test, 0, _FAIL, lower)]
    if operator in ("SCMP_CMP_LT", "SCMP_CMP_LE"):
        test = _JGE if operator == "SCMP_CMP_LT" else _JGT
        return [high, (_JGT, _FAIL, 0, upper), (_JEQ, 0, _PASS, upper), low, (test, _FAIL, 0, lower)]
    raise FilterError(f"invalid seccomp operator: {operator}")


def _action(name: str, errno_value: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return _ERRNO | (_EPERM if errno_value is None else errno_value) & 0xFFFF
    if name == "SCMP_ACT_TRACE":
        return _TRACE | (_EPERM if errno_value is None else errno_value) & 0xFFFF
    if name in _PLAIN_ACTIONS:
        return _PLAIN_ACTIONS[name]
    if name == "SCMP_ACT_NOTIFY":
        raise FilterError("seccomp: SCMP_ACT_NOTIFY is not supported")
    raise FilterError(f"invalid seccomp action: {name}")
