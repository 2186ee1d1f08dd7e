"""The compiled filter against what the profile says, against libseccomp, and in real processes."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardening import bpf_machine as machine
from trine.linux import seccomp, seccomp_filter, syscall_tables
from trine.runtime import capability_sets, seccomp_profile

KERNEL = (6, 18)
ENOSYS, EPERM = machine.errno_result(38), machine.errno_result(1)


def default(capabilities: tuple[str, ...] = capability_sets.DEFAULT) -> dict[str, Any]:
    return seccomp_profile.resolve(seccomp_profile.DEFAULT, capabilities, "x86_64", KERNEL)


def number(name: str, architecture: str = "SCMP_ARCH_X86_64") -> int:
    return syscall_tables.numbers(architecture)[name]


PROGRAM = seccomp_filter.compile_filter(default(), "x86_64")

TABLE: list[tuple[str, tuple[int, ...], int]] = [
    ("read", (), machine.ALLOW),
    ("execve", (), machine.ALLOW),
    ("clone", (0x11,), machine.ALLOW),
    ("clone", (0x10000000 | 0x11,), EPERM),  # CLONE_NEWUSER
    ("clone", (0x40000000,), EPERM),
    ("clone", (0x02000000,), EPERM),
    ("clone3", (), ENOSYS),
    ("unshare", (0,), EPERM),
    ("setns", (), EPERM),
    ("mount", (), EPERM),
    ("umount2", (), EPERM),
    ("open_tree", (), EPERM),
    ("personality", (0,), machine.ALLOW),
    ("personality", (8,), machine.ALLOW),
    ("personality", (0x20008,), machine.ALLOW),
    ("personality", (0xFFFFFFFF,), machine.ALLOW),
    ("personality", (0x0040000,), EPERM),  # ADDR_NO_RANDOMIZE
    ("personality", (0x1_0000_0000,), EPERM),  # high word counts
    ("socket", (2,), machine.ALLOW),
    ("socket", (16,), machine.ALLOW),
    ("socket", (40,), EPERM),
    ("socket", (0x1_0000_0028,), machine.ALLOW),  # not 40: the kernel refuses it by itself
    ("keyctl", (), EPERM),
    ("add_key", (), EPERM),
    ("request_key", (), EPERM),
    ("bpf", (), EPERM),
    ("perf_event_open", (), EPERM),
    ("userfaultfd", (), EPERM),
    ("io_uring_setup", (), EPERM),
    ("kexec_load", (), EPERM),
    ("init_module", (), EPERM),
    ("open_by_handle_at", (), EPERM),
    ("name_to_handle_at", (), EPERM),
    ("reboot", (), EPERM),
    ("swapon", (), EPERM),
    ("pivot_root", (), EPERM),
    ("settimeofday", (), EPERM),
    ("clock_settime", (), EPERM),
    ("iopl", (), EPERM),
    ("mbind", (), EPERM),
    ("kcmp", (), EPERM),
    ("quotactl", (), EPERM),
    ("acct", (), EPERM),
    ("uselib", (), EPERM),
    ("nfsservctl", (), EPERM),
    ("syslog", (), EPERM),
    ("vhangup", (), EPERM),
    ("ptrace", (), machine.ALLOW),
    ("process_vm_readv", (), EPERM),
    ("chroot", (), machine.ALLOW),
    ("openat2", (), machine.ALLOW),
    ("futex_waitv", (), machine.ALLOW),
    ("arch_prctl", (), machine.ALLOW),
]


@pytest.mark.parametrize(("name", "arguments", "result"), TABLE)
def test_default_profile_on_x86_64(name: str, arguments: tuple[int, ...], result: int) -> None:
    assert machine.run(PROGRAM, machine.X86_64, number(name), arguments) == result


def test_calls_newer_than_the_profile_do_not_exist() -> None:
    newest = max(number(n) for call in default()["syscalls"] for n in call["names"] if n in _names())
    assert machine.run(PROGRAM, machine.X86_64, newest + 1) == ENOSYS
    assert machine.run(PROGRAM, machine.X86_64, 0x3FFFFFFF) == ENOSYS
    assert machine.run(PROGRAM, machine.X86_64, 400) == EPERM  # a hole below the newest


def _names() -> dict[str, int]:
    return syscall_tables.numbers("SCMP_ARCH_X86_64")


def test_other_architectures() -> None:
    x86 = syscall_tables.numbers("SCMP_ARCH_X86")
    assert machine.run(PROGRAM, machine.X86, x86["getpid"]) == machine.ALLOW
    assert machine.run(PROGRAM, machine.X86, x86["unshare"]) == EPERM
    assert machine.run(PROGRAM, machine.X86, x86["clone"], (0x10000000,)) == EPERM
    assert machine.run(PROGRAM, machine.X86_64, 0x40000000 | 39) == machine.ALLOW  # x32 getpid
    assert machine.run(PROGRAM, machine.X86_64, 0x40000000 | number("mount")) == EPERM
    assert machine.run(PROGRAM, machine.AARCH64, 172) == machine.KILL_PROCESS
    only = {**default(), "architectures": ["SCMP_ARCH_X86_64"]}
    program = seccomp_filter.compile_filter(only, "x86_64")
    assert machine.run(program, machine.X86, x86["getpid"]) == machine.KILL_PROCESS
    assert machine.run(program, machine.X86_64, 0x40000000 | 39) == machine.KILL_PROCESS
    assert machine.run(program, machine.X86_64, 39) == machine.ALLOW


def test_arm64_default() -> None:
    profile = seccomp_profile.resolve(seccomp_profile.DEFAULT, capability_sets.DEFAULT, "aarch64", KERNEL)
    program = seccomp_filter.compile_filter(profile, "aarch64")
    table = syscall_tables.numbers("SCMP_ARCH_AARCH64")
    assert machine.run(program, machine.AARCH64, table["getpid"]) == machine.ALLOW
    assert machine.run(program, machine.AARCH64, table["unshare"]) == EPERM
    assert machine.run(program, machine.AARCH64, table["clone3"]) == ENOSYS
    assert machine.run(program, machine.X86_64, 39) == machine.KILL_PROCESS


CAPABILITY_OPENS = [
    ("CAP_SYS_ADMIN", "mount"),
    ("CAP_SYS_ADMIN", "clone3"),
    ("CAP_SYS_ADMIN", "unshare"),
    ("CAP_SYS_ADMIN", "bpf"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_MODULE", "init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp"),
    ("CAP_SYS_RAWIO", "iopl"),
    ("CAP_SYS_TIME", "clock_settime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "mbind"),
    ("CAP_SYSLOG", "syslog"),
]


@pytest.mark.parametrize(("capability", "name"), CAPABILITY_OPENS)
def test_a_capability_opens_its_calls(capability: str, name: str) -> None:
    program = seccomp_filter.compile_filter(default((*capability_sets.DEFAULT, capability)), "x86_64")
    assert machine.run(PROGRAM, machine.X86_64, number(name)) != machine.ALLOW
    assert machine.run(program, machine.X86_64, number(name)) == machine.ALLOW
    assert machine.run(program, machine.X86_64, number("keyctl")) == EPERM


def test_sys_admin_may_clone_namespaces() -> None:
    program = seccomp_filter.compile_filter(default((*capability_sets.DEFAULT, "CAP_SYS_ADMIN")), "x86_64")
    assert machine.run(program, machine.X86_64, number("clone"), (0x10000000,)) == machine.ALLOW


# -- any profile against a plain reading of it --------------------------------------------------

ACTIONS = {
    "SCMP_ACT_ALLOW": machine.ALLOW,
    "SCMP_ACT_KILL_PROCESS": machine.KILL_PROCESS,
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_LOG": 0x7FFC0000,
}
_INTERESTING = st.sampled_from(
    [0, 1, 2, 0xFFFFFFFF, 0x1_0000_0000, 0x1_0000_0001, 0xFFFFFFFF_FFFFFFFF, 1 << 63]
)
_VALUES = st.one_of(_INTERESTING, st.integers(0, (1 << 64) - 1))
_TESTS = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "value": _VALUES,
        "valueTwo": _VALUES,
        "op": st.sampled_from(sorted(seccomp_profile.OPERATORS)),
    }
)
_RULES = st.fixed_dictionaries(
    {
        "names": st.lists(
            st.sampled_from(["read", "write", "clone", "futex", "bpf"]), min_size=1, max_size=3
        ),
        "action": st.sampled_from(sorted(ACTIONS)),
        "args": st.lists(_TESTS, max_size=3),
    }
)


def _holds(test: Mapping[str, Any], arguments: list[int]) -> bool:
    left, right = arguments[test["index"]], test["value"]
    answers: dict[str, bool] = {
        "SCMP_CMP_EQ": left == right,
        "SCMP_CMP_NE": left != right,
        "SCMP_CMP_GT": left > right,
        "SCMP_CMP_GE": left >= right,
        "SCMP_CMP_LT": left < right,
        "SCMP_CMP_LE": left <= right,
        "SCMP_CMP_MASKED_EQ": left & right == test["valueTwo"],
    }
    return answers[test["op"]]


def _signed(result: int) -> int:
    return result - (1 << 32) if result & 0x80000000 else result


def _reading(rules: list[dict[str, Any]], name: str, arguments: list[int], fallback: int) -> int:
    mine = [rule for rule in rules if name in rule["names"]]
    plain = [ACTIONS[rule["action"]] for rule in mine if not rule["args"]]
    last = min(plain, key=_signed) if plain else fallback
    for rule in mine:
        tests = rule["args"]
        repeated = len({test["index"] for test in tests}) < len(tests)
        match = any if repeated else all
        if tests and match(_holds(test, arguments) for test in tests):
            if ACTIONS[rule["action"]] == last:
                continue
            return ACTIONS[rule["action"]]
    return last


@settings(max_examples=150, deadline=None)
@given(st.lists(_RULES, max_size=6), st.lists(_VALUES, min_size=6, max_size=6))
def test_any_profile_means_what_it_says(rules: list[dict[str, Any]], arguments: list[int]) -> None:
    profile = {"defaultAction": "SCMP_ACT_LOG", "syscalls": rules}
    program = seccomp_filter.compile_filter(profile, "x86_64")
    for name in ("read", "write", "clone", "futex", "bpf", "getpid"):
        expected = _reading(rules, name, arguments, ACTIONS["SCMP_ACT_LOG"])
        assert machine.run(program, machine.X86_64, number(name), arguments) == expected, name


# -- against libseccomp -------------------------------------------------------------------------


def _libseccomp_program(profile: dict[str, Any], path: Path) -> bytes:
    """Return what libseccomp makes of the same profile, the way runc feeds it."""
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        pytest.skip("no libseccomp here to compare with")
    library.seccomp_init.restype = ctypes.c_void_p

    class Test(ctypes.Structure):
        _fields_ = [
            ("arg", ctypes.c_uint),
            ("op", ctypes.c_int),
            ("a", ctypes.c_uint64),
            ("b", ctypes.c_uint64),
        ]

    operators = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(EPERM)))
    assert library.seccomp_arch_add(context, ctypes.c_uint32(machine.X86)) == 0
    for call in profile["syscalls"]:
        action = {"SCMP_ACT_ALLOW": machine.ALLOW}.get(call["action"]) or machine.errno_result(
            call.get("errnoRet", 1)
        )
        tests = [
            Test(
                t["index"],
                operators.index(t["op"].removeprefix("SCMP_CMP_")),
                t["value"],
                t.get("valueTwo", 0),
            )
            for t in call.get("args", ())
        ]
        for name in call["names"]:
            found = library.seccomp_syscall_resolve_name(name.encode())
            if found == -1:
                continue
            array = (Test * max(1, len(tests)))(*tests)
            library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), found, ctypes.c_uint(len(tests)), array
            )
    with path.open("wb") as stream:
        assert library.seccomp_export_bpf(context, stream.fileno()) == 0
    library.seccomp_release(context)
    return path.read_bytes()


def test_same_answers_as_libseccomp(tmp_path: Path) -> None:
    """For every number of both architectures: ours and libseccomp's, but for calls it is too old to know."""
    profile = default()
    theirs = _libseccomp_program(profile, tmp_path / "filter")
    samples: list[tuple[int, ...]] = [
        (),
        (0x11,),
        (0x10000000,),
        (40,),
        (2,),
        (8,),
        (0x40000,),
        (0xFFFFFFFF,),
    ]
    compared = 0
    for arch in (machine.X86_64, machine.X86):
        for call in range(450):
            for arguments in samples:
                wanted = machine.run(theirs, arch, call, arguments)
                got = machine.run(PROGRAM, arch, call, arguments)
                assert got == wanted, (hex(arch), call, arguments)
                compared += 1
    assert compared == 2 * 450 * len(samples)


# -- in a real process --------------------------------------------------------------------------

CHILD = """
import ctypes, errno, json, sys
sys.path[:0] = json.loads(sys.argv[1])
from trine.linux import seccomp
seccomp.install(open(sys.argv[2], "rb").read())
libc = ctypes.CDLL(None, use_errno=True)
results = {}
for name, call in json.loads(sys.argv[3]).items():
    result = libc.syscall(*[ctypes.c_long(part) for part in call])
    results[name] = "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
print(json.dumps(results))
"""


def _under_filter(program: bytes, calls: dict[str, list[int]], tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "filter.bpf"
    path.write_bytes(program)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(sys.path), str(path), json.dumps(calls)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_the_kernel_keeps_it(tmp_path: Path) -> None:
    answers = _under_filter(
        PROGRAM,
        {
            "getpid": [number("getpid")],
            "socket": [number("socket"), 2, 1, 0],
            "vsock": [number("socket"), 40, 1, 0],
            "unshare user": [number("unshare"), 0x10000000],
            "clone user": [number("clone"), 0x10000011, 0, 0, 0, 0],
            "clone3": [number("clone3"), 0, 0],
            "no randomization": [number("personality"), 0x0040000],
            "query personality": [number("personality"), 0xFFFFFFFF],
            "mount": [number("mount"), 0, 0, 0, 0, 0],
            "add_key": [number("add_key"), 0, 0, 0, 0, 0],
            "not yet invented": [600],
        },
        tmp_path,
    )
    assert answers == {
        "getpid": "ok",
        "socket": "ok",
        "vsock": "EPERM",
        "unshare user": "EPERM",
        "clone user": "EPERM",
        "clone3": "ENOSYS",
        "no randomization": "EPERM",
        "query personality": "ok",
        "mount": "EPERM",
        "add_key": "EPERM",
        "not yet invented": "ENOSYS",
    }


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="a 32-bit x86 program")
def test_the_kernel_keeps_it_for_32_bit_programs(tmp_path: Path) -> None:
    """An ELF32 that calls unshare(CLONE_NEWUSER) by int 0x80 and exits with its errno."""
    text = (
        b"\xb8" + struct.pack("<I", 310) + b"\xbb" + struct.pack("<I", 0x10000000) + b"\xcd\x80"
        # neg eax; mov ebx, eax; mov eax, 1 (exit); int 0x80
        b"\xf7\xd8\x89\xc3\xb8\x01\x00\x00\x00\xcd\x80"
    )
    base = 0x08048000
    header = struct.pack(
        "<4s5B7xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 0, 0, 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    segment = struct.pack("<8I", 1, 0, base, base, 84 + len(text), 84 + len(text), 5, 4096)
    program = tmp_path / "unshare32"
    program.write_bytes(header + segment + text)
    program.chmod(0o755)
    try:
        assert subprocess.run([str(program)], check=False).returncode == 0
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    filter_path = tmp_path / "f"
    filter_path.write_bytes(PROGRAM)
    code = (
        "import json, os, sys; sys.path[:0] = json.loads(sys.argv[1]);"
        "from trine.linux import seccomp; seccomp.install(open(sys.argv[2],'rb').read());"
        "os.execv(sys.argv[3], [sys.argv[3]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sys.path), str(filter_path), str(program)], check=False
    )
    assert done.returncode == 1  # EPERM


# -- edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"defaultAction": "SCMP_ACT_SMILE"}, "invalid seccomp action: SCMP_ACT_SMILE"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY is not supported"),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    {
                        "names": ["read"],
                        "action": "SCMP_ACT_ERRNO",
                        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_LIKE"}],
                    }
                ],
            },
            "invalid seccomp operator: SCMP_CMP_LIKE",
        ),
    ],
)
def test_a_bad_profile_is_refused(profile: dict[str, Any], words: str) -> None:
    with pytest.raises(seccomp.FilterError, match=words):
        seccomp_filter.compile_filter(profile, "x86_64")
    with pytest.raises(seccomp.FilterError, match="not supported on vax"):
        seccomp_filter.compile_filter(default(), "vax")


def test_unknown_names_are_ignored_and_a_permissive_default_stays() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["no_such_call", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}],
    }
    program = seccomp_filter.compile_filter(profile, "x86_64")
    assert machine.run(program, machine.X86_64, number("mkdir")) == machine.errno_result(5)
    assert machine.run(program, machine.X86_64, number("rmdir")) == machine.ALLOW
    assert machine.run(program, machine.X86_64, 9999) == machine.ALLOW


def test_stored_path_keeps_one_file_and_does_not_trust_what_it_finds(tmp_path: Path) -> None:
    path = Path(seccomp.stored_path(default(), str(tmp_path / "f")))
    assert path.read_bytes() == PROGRAM
    assert seccomp.stored_path(default(), str(tmp_path / "f")) == str(path)
    assert [entry.name for entry in (tmp_path / "f").iterdir()] == [path.name]
    seccomp._known.clear()
    path.write_bytes(b"")  # as after a power failure
    assert Path(seccomp.stored_path(default(), str(tmp_path / "f"))).read_bytes() == PROGRAM


def test_flags() -> None:
    assert seccomp.flag_bits(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]) == 6
    with pytest.raises(seccomp.FilterError):
        seccomp.flag_bits(["SECCOMP_FILTER_FLAG_X"])
    assert seccomp.available()
