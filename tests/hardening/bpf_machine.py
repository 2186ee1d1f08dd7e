"""A classic BPF machine, as far as seccomp uses it: runs a filter over one struct seccomp_data."""

from __future__ import annotations

import struct
from collections.abc import Sequence

X86_64, X86, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000


def errno_result(number: int) -> int:
    return 0x00050000 | number


def run(program: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, place = 0, 0
    while True:
        op, yes, no, k = code[place]
        place += 1
        if op == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            place += k
        elif op == 0x15:
            place += yes if accumulator == k else no
        elif op == 0x25:
            place += yes if accumulator > k else no
        elif op == 0x35:
            place += yes if accumulator >= k else no
        elif op == 0x06:
            return int(k)
        else:
            raise AssertionError(f"instruction {op:#x} at {place - 1}")
