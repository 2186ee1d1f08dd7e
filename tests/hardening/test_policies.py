"""Capabilities, devices and seccomp profiles: the pure decisions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from trine.linux import capabilities
from trine.runtime import capability_sets, devices, seccomp_profile

ALL = capability_sets.ALL_MASK


@pytest.mark.parametrize(
    ("add", "drop", "privileged", "host", "mask"),
    [
        ([], [], False, ALL, 0xA80425FB),
        (["net_admin"], [], False, ALL, 0xA80425FB | 1 << 12),
        (["CAP_NET_ADMIN"], ["NET_RAW"], False, ALL, (0xA80425FB | 1 << 12) & ~(1 << 13)),
        ([], ["ALL"], False, ALL, 0),
        (["chown"], ["all"], False, ALL, 1),
        (["ALL"], [], False, ALL, ALL),
        (["ALL"], ["MKNOD"], False, ALL, ALL & ~(1 << 27)),
        (["ALL"], ["ALL"], False, ALL, ALL),
        ([], ["ALL"], True, ALL, ALL),
        ([], [], True, 0b101, 0b101),
        (["SYS_RESOURCE"], [], False, ALL & ~(1 << 24), 0xA80425FB),
    ],
)
def test_capabilities(add: list[str], drop: list[str], privileged: bool, host: int, mask: int) -> None:
    names = capability_sets.granted(add, drop, privileged, host)
    assert capability_sets.to_mask(names) == mask
    assert names == capability_sets.from_mask(mask)


@pytest.mark.parametrize("node", devices.DEFAULT_NODES, ids=lambda node: str(node.path))
def test_default_devices_are_the_hosts_and_may_be_opened(node: devices.DeviceNode) -> None:
    assert devices.number(node.path) == (node.major, node.minor)
    assert devices.rule("c", node.major, node.minor, "rwm") in devices.DEFAULT_RULES


def test_names_agree_with_the_kernels_numbers() -> None:
    assert dict(capability_sets.NUMBERS) == dict(capabilities.NUMBERS)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("c 13:* rwm", {"allow": True, "type": "c", "access": "rwm", "major": 13}),
        ("b *:7 r", {"allow": True, "type": "b", "access": "r", "minor": 7}),
        ("a *:* rwm", {"allow": True, "type": "a", "access": "rwm"}),
    ],
)
def test_device_rules(text: str, rule: dict[str, Any]) -> None:
    assert devices.parse_rule(text) == rule


@pytest.mark.parametrize("text", ["", "c 13:*", "c 13:* rwx", "d 1:1 r", "c 1:1 r\n", "c -1:1 r", "c 1:1  r"])
def test_bad_device_rules(text: str) -> None:
    with pytest.raises(devices.DeviceError, match="invalid device cgroup rule format"):
        devices.parse_rule(text)


def test_device_access() -> None:
    assert devices.check_access("") == "rwm"
    assert devices.check_access("r") == "r"
    with pytest.raises(devices.DeviceError, match="invalid device mode: rx"):
        devices.check_access("rx")


def test_scan_real_devices(tmp_path: Path) -> None:
    (null,) = devices.scan("/dev/null", "/dev/nothing")
    assert (null.path, null.kind, null.major, null.minor) == ("/dev/nothing", "c", 1, 3)
    os.mknod(tmp_path / "zero", 0o020600, os.makedev(1, 5))
    (tmp_path / "sub").mkdir()
    os.mknod(tmp_path / "sub" / "full", 0o020600, os.makedev(1, 7))
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/dev/null")
    found = devices.scan(str(tmp_path), "/dev/mine")
    assert {node.path: node.minor for node in found} == {"/dev/mine/sub/full": 7, "/dev/mine/zero": 5}
    everything = {node.path for node in devices.scan("/dev", "/dev")}
    assert "/dev/null" in everything
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/")) for path in everything)
    with pytest.raises(devices.DeviceError) as caught:
        devices.scan("/dev/none-such")
    assert str(caught.value) == (
        'error gathering device information while adding custom device "/dev/none-such": '
        "no such file or directory"
    )
    with pytest.raises(devices.DeviceError, match="not a device node"):
        devices.scan(str(tmp_path / "file"))


# -- seccomp profiles -----------------------------------------------------------------------------


def resolve(profile: dict[str, Any], caps: tuple[str, ...] = (), kernel: tuple[int, int] = (6, 1)) -> Any:
    return seccomp_profile.resolve(profile, caps, "x86_64", kernel)


def call(**more: Any) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", **more}],
    }


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_X"]}}, True),
        ({"includes": {"caps": ["CAP_X", "CAP_Y"]}}, False),
        ({"excludes": {"caps": ["CAP_X"]}}, False),
        ({"excludes": {"caps": ["CAP_Y"]}}, True),
        ({"includes": {"arches": ["amd64"]}}, True),
        ({"includes": {"arches": ["arm64", "s390x"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
        ({"includes": None, "excludes": None}, True),
    ],
)
def test_conditions(conditions: dict[str, Any], applies: bool) -> None:
    assert bool(resolve(call(**conditions), ("CAP_X",))["syscalls"]) is applies


def test_architectures() -> None:
    profile = call()
    profile["archMap"] = [
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
    ]
    assert resolve(profile)["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    profile["architectures"] = ["SCMP_ARCH_X86"]
    with pytest.raises(seccomp_profile.ProfileError, match="use either 'architectures' or 'archMap'"):
        resolve(profile)


def test_old_form_with_one_name() -> None:
    profile = call()
    profile["syscalls"][0]["name"] = profile["syscalls"][0].pop("names")[0]
    assert resolve(profile)["syscalls"] == [{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW"}]
    profile["syscalls"][0]["names"] = ["x"]
    with pytest.raises(seccomp_profile.ProfileError, match="use either 'name' or 'names'"):
        resolve(profile)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"defaultAction": "X"}',
        '{"defaultAction": 1}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": -1}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 3}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [1], "action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"]}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW",'
        ' "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW",'
        ' "args": [{"index": 0, "value": "x", "op": "SCMP_CMP_EQ"}]}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW",'
        ' "includes": {"minKernel": "six"}}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{}]}',
        "[" * 100_000,
    ],
)
def test_a_bad_profile_is_one_line(text: str) -> None:
    with pytest.raises(seccomp_profile.ProfileError) as caught:
        seccomp_profile.parse(text)
    assert str(caught.value) and "\n" not in str(caught.value)


def test_a_good_profile_comes_back() -> None:
    assert seccomp_profile.parse(json.dumps(seccomp_profile.DEFAULT)) == seccomp_profile.DEFAULT
