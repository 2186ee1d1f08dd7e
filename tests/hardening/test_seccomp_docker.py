"""Our seccomp profile against Docker 20.10's own, call by call: never wider, narrower where we say so.

``moby-20.10.24-seccomp.json`` is profiles/seccomp/default.json of github.com/moby/moby at v20.10.24
(Apache License 2.0), its spaces taken out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hardening import bpf_machine as machine
from trine.linux import seccomp_filter, syscall_tables
from trine.runtime import capability_sets, seccomp_profile

DOCKERS: dict[str, Any] = json.loads((Path(__file__).parent / "moby-20.10.24-seccomp.json").read_text())
NARROWER = {"io_uring_setup", "io_uring_enter", "io_uring_register"}
WIDER = {"bpf": "CAP_BPF", "perf_event_open": "CAP_PERFMON", "clock_settime64": "CAP_SYS_TIME"}
"""Calls that need a capability anyway; Docker 20.10 does not know the first two."""
AF_VSOCK = (40, 1)
# Nothing, all ones, flags of new namespaces, an address family that leaves every namespace.
ARGUMENTS = ((0,) * 6, ((1 << 64) - 1,) * 6, (0x7E020000,), AF_VSOCK)
ARCHITECTURES = (
    ("x86_64", machine.X86_64, "SCMP_ARCH_X86_64"),
    ("x86_64", machine.X86, "SCMP_ARCH_X86"),
    ("aarch64", machine.AARCH64, "SCMP_ARCH_AARCH64"),
)
SETS = (
    capability_sets.DEFAULT,
    (),
    *(
        (*capability_sets.DEFAULT, f"CAP_{name}")
        for name in ("SYS_ADMIN", "SYS_PTRACE", "SYS_NICE", "SYSLOG")
    ),
    *((*capability_sets.DEFAULT, f"CAP_{name}") for name in ("SYS_TIME", "SYS_MODULE", "SYS_RAWIO", "BPF")),
    tuple(capability_sets.from_mask(capability_sets.ALL_MASK)),
)


@pytest.mark.parametrize("capabilities", SETS, ids=lambda names: names[-1] if names else "none")
@pytest.mark.parametrize(("host", "audit", "name"), ARCHITECTURES)
def test_never_wider_than_dockers(host: str, audit: int, name: str, capabilities: tuple[str, ...]) -> None:
    ours, dockers = (
        seccomp_filter.compile_filter(
            seccomp_profile.resolve(profile, list(capabilities), host, (6, 18)), host
        )
        for profile in (seccomp_profile.DEFAULT, DOCKERS)
    )
    for call, number in sorted(syscall_tables.numbers(name).items()):
        for arguments in ARGUMENTS:
            mine = machine.run(ours, audit, number, arguments)
            his = machine.run(dockers, audit, number, arguments)
            if mine == machine.ALLOW != his:
                assert WIDER.get(call) in capabilities, f"{call}{arguments} is allowed, Docker refuses it"
            if his == machine.ALLOW != mine:
                narrower = call in NARROWER or (call == "socket" and arguments == AF_VSOCK)
                assert narrower, f"{call}{arguments} is refused, Docker allows it"
