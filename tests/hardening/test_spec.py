"""Requests to config.json, by tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trine.runtime import capability_sets, devices, seccomp_profile, spec, spec_defaults
from trine.v1 import runtime_pb2

ID = "ab" * 32


def request(**fields: Any) -> runtime_pb2.CreateRuntimeContainerRequest:
    made = runtime_pb2.CreateRuntimeContainerRequest(id=ID, hostname="box", **fields)
    made.process.args.append("true")
    made.root.lower_directories.extend(["/layers/2", "/layers/1"])
    made.root.upper_directory, made.root.work_directory = "/s/fs", "/s/work"
    return made


def no_devices(path: str, shown_as: str) -> list[devices.DeviceNode]:
    return [devices.DeviceNode(shown_as, "c", 10, 200)] if path == "/dev/net/tun" else []


def facts(**changes: Any) -> spec.HostFacts:
    chosen: dict[str, Any] = {
        "state_directory": "/run/t/" + ID,
        "managed_directory": "/var/t/" + ID,
        "scan_devices": no_devices,
        "namespace_path": lambda container, kind: f"/proc/77/ns/{kind}",
        **changes,
    }
    return spec.HostFacts(**chosen)


def made(asked: runtime_pb2.CreateRuntimeContainerRequest, **changes: Any) -> dict[str, Any]:
    result = spec.oci_spec(asked, facts(**changes))
    assert json.loads(json.dumps(result)) == result  # plain JSON, nothing of protobuf in it
    return result


def mount_at(config: dict[str, Any], target: str) -> dict[str, Any]:
    (found,) = [mount for mount in config["mounts"] if mount["destination"] == target]
    return dict(found)


def test_what_everybody_gets() -> None:
    config = made(request())
    assert config["ociVersion"] == "1.1.0"
    assert config["root"] == {"path": f"/run/t/{ID}/rootfs", "readonly": False}
    assert config["hostname"] == "box"
    assert [mount["destination"] for mount in config["mounts"]] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
    ]
    assert mount_at(config, "/dev")["options"] == ["nosuid", "strictatime", "mode=755", "size=65536k"]
    assert "ro" in mount_at(config, "/sys")["options"]
    assert "ro" in mount_at(config, "/sys/fs/cgroup")["options"]
    assert "size=67108864" in mount_at(config, "/dev/shm")["options"]
    linux = config["linux"]
    assert [entry["type"] for entry in linux["namespaces"]] == [
        "mount",
        "network",
        "uts",
        "pid",
        "ipc",
        "cgroup",
    ]
    assert linux["cgroupsPath"] == f"/trine/{ID}"
    assert linux["maskedPaths"] == list(spec_defaults.MASKED_PATHS)
    assert linux["readonlyPaths"] == list(spec_defaults.READONLY_PATHS)
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    capabilities = config["process"]["capabilities"]
    assert capability_sets.to_mask(capabilities["effective"]) == 0xA80425FB
    assert capabilities["effective"] == capabilities["bounding"] == capabilities["permitted"]
    assert capabilities["inheritable"] == capabilities["ambient"] == []
    assert config["process"]["noNewPrivileges"] is False
    assert config["trine"]["overlay"] == {
        "lower": ["/layers/2", "/layers/1"],
        "upper": "/s/fs",
        "work": "/s/work",
    }
    assert config["trine"]["log"]["path"] == f"/var/t/{ID}/{ID}-json.log"


def test_privileged_is_everything_the_host_has() -> None:
    asked = request()
    asked.security.privileged = True
    asked.security.capabilities_drop.append("ALL")
    host = capability_sets.ALL_MASK & ~(1 << 24)
    nodes = [devices.DeviceNode("/dev/null", "c", 1, 3), devices.DeviceNode("/dev/fuse", "c", 10, 229)]
    config = made(asked, capabilities_mask=host, scan_devices=lambda path, shown: nodes)
    assert capability_sets.to_mask(config["process"]["capabilities"]["effective"]) == host
    assert "seccomp" not in config["linux"]
    assert config["linux"]["maskedPaths"] == config["linux"]["readonlyPaths"] == []
    assert [node["path"] for node in config["linux"]["devices"]] == ["/dev/fuse"]
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "ro" not in mount_at(config, "/sys")["options"]
    assert "ro" not in mount_at(config, "/sys/fs/cgroup")["options"]


def test_a_read_only_root() -> None:
    asked = request(read_only_root=True)
    asked.managed_files.add(target="/etc/hosts", content=b"x")
    config = made(asked)
    assert config["root"]["readonly"] is True
    assert "ro" not in mount_at(config, "/dev/shm")["options"]
    assert "ro" in mount_at(config, "/etc/hosts")["options"]
    assert [mount["destination"] for mount in config["mounts"] if mount["options"].count("ro") > 1] == []


def test_a_directory_as_root() -> None:
    asked = runtime_pb2.CreateRuntimeContainerRequest(id=ID, root_path="/srv/root")
    asked.process.args.append("true")
    config = made(asked)
    assert config["root"]["path"] == "/srv/root"
    assert config["trine"]["overlay"] is None


@pytest.mark.parametrize(
    ("fields", "kind", "entry"),
    [
        ({"network": "host"}, "network", None),
        ({"network": "/run/netns/x"}, "network", {"type": "network", "path": "/run/netns/x"}),
        ({"pid": "host"}, "pid", None),
        ({"pid": "container:" + ID}, "pid", {"type": "pid", "path": "/proc/77/ns/pid"}),
        ({"ipc": "private"}, "ipc", {"type": "ipc"}),
        ({"ipc": "shareable"}, "ipc", {"type": "ipc"}),
        ({"ipc": "none"}, "ipc", {"type": "ipc"}),
        ({"ipc": "container:" + ID}, "ipc", {"type": "ipc", "path": "/proc/77/ns/ipc"}),
        ({"uts": "host"}, "uts", None),
        ({"cgroup": "host"}, "cgroup", None),
        ({"cgroup": "private"}, "cgroup", {"type": "cgroup"}),
    ],
)
def test_namespaces(fields: dict[str, str], kind: str, entry: dict[str, str] | None) -> None:
    asked = request()
    for name, value in fields.items():
        setattr(asked.namespaces, name, value)
    found = [n for n in made(asked)["linux"]["namespaces"] if n["type"] == kind]
    assert found == ([entry] if entry else [])


@pytest.mark.parametrize(
    ("ipc", "shm", "shared"),
    [
        ("", "tmpfs", None),
        ("none", None, None),
        ("host", "bind", None),
        ("container:" + ID, None, "/proc/77/ns/mnt"),
    ],
)
def test_shared_memory(ipc: str, shm: str | None, shared: str | None) -> None:
    asked = request()
    asked.namespaces.ipc = ipc
    config = made(asked)
    found = [mount["type"] for mount in config["mounts"] if mount["destination"] == "/dev/shm"]
    assert found == ([shm] if shm else [])
    assert config["trine"]["shared_shm"] == shared


def test_a_container_that_does_not_run_cannot_be_joined() -> None:
    asked = request()
    asked.namespaces.pid = "container:" + ID
    with pytest.raises(spec.SpecError, match=f"No such container: {ID}"):
        spec.oci_spec(asked, spec.HostFacts("/run/t", "/var/t"))


def test_host_network_leaves_the_hosts_settings_alone() -> None:
    asked = request()
    asked.namespaces.network = "host"
    assert made(asked)["linux"]["sysctl"] == {}
    asked.sysctls["kernel.msgmax"] = "65536"
    assert made(asked)["linux"]["sysctl"] == {"kernel.msgmax": "65536"}


def test_mounts_outer_first_and_the_users_replace_ours() -> None:
    asked = request(shm_size_bytes=1 << 20)
    asked.mounts.add(kind=1, source="/b", target="/data/inner", read_only=True)
    asked.mounts.add(kind=1, source="/a", target="/data", propagation="rslave", copy_up=True)
    asked.mounts.add(kind=2, target="/dev/shm", tmpfs_size_bytes=4096, tmpfs_mode=0o700, options=["exec"])
    asked.mounts.add(kind=1, source="/h", target="/etc/hosts", non_recursive=True)
    asked.managed_files.add(target="/etc/hosts", content=b"127.0.0.1 localhost\n")
    asked.managed_files.add(target="/etc/resolv.conf", content=b"")
    config = made(asked)
    order = [mount["destination"] for mount in config["mounts"]]
    assert order.index("/data") < order.index("/data/inner")
    assert mount_at(config, "/data")["options"] == ["rbind", "rslave"]
    assert mount_at(config, "/data/inner")["options"] == ["rbind", "rprivate", "ro"]
    assert mount_at(config, "/dev/shm")["options"] == ["nosuid", "nodev", "exec", "size=4096", "mode=700"]
    assert mount_at(config, "/etc/hosts")["source"] == "/h"
    assert mount_at(config, "/etc/hosts")["options"][0] == "bind"
    assert mount_at(config, "/etc/resolv.conf")["source"] == f"/var/t/{ID}/resolv.conf"
    assert config["linux"]["rootfsPropagation"] == "rslave"
    assert config["trine"]["copy_up"] == ["/data"]


def test_another_spelling_is_the_same_place() -> None:
    asked = request()
    asked.mounts.add(kind=1, source="/s", target="/dev//shm/", copy_up=True)
    config = made(asked)
    assert mount_at(config, "/dev/shm")["source"] == "/s"
    assert config["trine"]["copy_up"] == ["/dev/shm"]


def test_a_dev_of_ones_own_hides_what_would_be_below() -> None:
    asked = request()
    asked.mounts.add(kind=1, source="/dev", target="/dev")
    order = [mount["destination"] for mount in made(asked)["mounts"]]
    assert order == ["/proc", "/sys", "/sys/fs/cgroup", "/dev"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"memory_bytes": 100}, {"memory": {"limit": 100, "swap": 200}}),
        ({"memory_bytes": 100, "memory_swap_bytes": -1}, {"memory": {"limit": 100, "swap": -1}}),
        ({"memory_bytes": 100, "memory_swap_bytes": 100}, {"memory": {"limit": 100, "swap": 100}}),
        ({"memory_swappiness_set": True}, {"memory": {"swappiness": 0}}),
        ({"oom_kill_disable": True}, {"memory": {"disableOOMKiller": True}}),
        ({"nano_cpus": 1_500_000_000}, {"cpu": {"period": 100_000, "quota": 150_000}}),
        ({"cpu_quota_micros": 5000}, {"cpu": {"quota": 5000}}),
        ({"cpuset_cpus": "0-1", "cpu_shares": 2}, {"cpu": {"cpus": "0-1", "shares": 2}}),
        ({"pids_limit": -1}, {"pids": {"limit": -1}}),
        ({"blkio_weight": 10}, {"blockIO": {"weight": 10}}),
    ],
)
def test_resources(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = request()
    for name, value in fields.items():
        setattr(asked.resources, name, value)
    assert spec.resources(asked.resources) == expected


def test_process() -> None:
    asked = request(oom_score_adjustment=500)
    process = asked.process
    process.env.append("A=b=c")
    process.user, process.terminal = "www-data:adm", True
    process.additional_groups.extend(["audio", "12"])
    process.terminal_rows, process.terminal_columns = 24, 80
    process.resource_limits.add(name="nofile", soft=10, hard=-1)
    asked.security.no_new_privileges = True
    config = made(asked, default_ulimits=[("nofile", 1, 1), ("nproc", 5, 6)])
    got = config["process"]
    assert (got["cwd"], got["env"], got["terminal"]) == ("/", ["A=b=c"], True)
    assert got["consoleSize"] == {"height": 24, "width": 80}
    assert got["user"] == {"uid": 0, "gid": 0}
    assert config["annotations"] == {"trine.user": "www-data:adm", "trine.groups": "audio,12"}
    assert got["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": (1 << 64) - 1},
        {"type": "RLIMIT_NPROC", "soft": 5, "hard": 6},
    ]
    assert got["noNewPrivileges"] is True
    assert got["oomScoreAdj"] == 500


def test_an_exec_has_no_more_than_its_container() -> None:
    asked = request()
    asked.security.capabilities_drop.append("ALL")
    asked.security.no_new_privileges = True
    config = made(asked)
    more = runtime_pb2.ProcessSpec(args=["id"], user="1000")
    got = spec.process_spec(more, config, capability_sets.ALL_MASK)
    assert got["capabilities"]["effective"] == []
    assert got["noNewPrivileges"] is True
    assert got["user"] == {"uid": 1000, "gid": 0}
    assert got["annotations"]["trine.user"] == "1000"
    more.privileged = True
    got = spec.process_spec(more, config, 0b11)
    assert got["capabilities"]["effective"] == ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]


def test_devices_and_rules() -> None:
    asked = request()
    asked.devices.add(host_path="/dev/net/tun", container_path="/dev/tun", permissions="rw")
    asked.security.device_cgroup_rules.append("c 13:* r")
    config = made(asked)
    assert config["linux"]["devices"][0]["path"] == "/dev/tun"
    rules = config["linux"]["resources"]["devices"]
    assert rules[-2:] == [
        {"allow": True, "type": "c", "access": "rw", "major": 10, "minor": 200},
        {"allow": True, "type": "c", "access": "r", "major": 13},
    ]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"capabilities_add": ["NICE_TRY"]},
            ValueError,
            'invalid CapAdd: unknown capability: "CAP_NICE_TRY"',
        ),
        ({"capabilities_drop": ["CAP_X"]}, ValueError, 'invalid CapDrop: unknown capability: "CAP_X"'),
        ({"seccomp_profile": "{"}, seccomp_profile.ProfileError, "Decoding seccomp profile failed: "),
        (
            {"device_cgroup_rules": ["x 1:1 r"]},
            devices.DeviceError,
            "invalid device cgroup rule format: 'x 1:1 r'",
        ),
    ],
)
def test_bad_security_is_refused(change: dict[str, Any], error: type[ValueError], words: str) -> None:
    asked = request()
    for name, value in change.items():
        if isinstance(value, list):
            getattr(asked.security, name).extend(value)
        else:
            setattr(asked.security, name, value)
    with pytest.raises(error) as caught:
        made(asked)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.process.args.append("a\0b"),
        lambda r: r.process.env.append("A=\0"),
        lambda r: r.mounts.add(kind=1, source="/a\0", target="/a"),
        lambda r: r.mounts.add(kind=2, target="/a\0"),
        lambda r: setattr(r, "hostname", "a\0"),
        lambda r: setattr(r.process, "working_directory", "/\0"),
        lambda r: r.devices.add(host_path="/dev/\0"),
    ],
)
def test_a_nul_is_refused(spoil: Any) -> None:
    asked = request()
    spoil(asked)
    with pytest.raises(spec.SpecError, match="a NUL in"):
        made(asked)


def test_no_command_and_a_cgroup_that_climbs() -> None:
    with pytest.raises(spec.SpecError, match="No command specified"):
        made(runtime_pb2.CreateRuntimeContainerRequest(id=ID))
    with pytest.raises(spec.SpecError, match="invalid cgroup parent"):
        made(request(cgroup_parent="/a/../../b"))


def test_seccomp_choices() -> None:
    asked = request()
    asked.security.seccomp_profile = "unconfined"
    assert "seccomp" not in made(asked)["linux"]
    asked.security.seccomp_profile = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    assert made(asked, seccomp_unconfined=True)["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"
    asked.security.seccomp_profile = ""
    assert "seccomp" not in made(asked, seccomp_unconfined=True)["linux"]
    own = {"defaultAction": "SCMP_ACT_LOG"}
    assert made(asked, seccomp_default=own)["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_LOG"
    asked.security.unmask_system_paths = True
    assert made(asked)["linux"]["maskedPaths"] == []


@pytest.mark.parametrize("network", ["/run/netns/x", "container:" + ID, "host"])
def test_no_settings_of_ours_in_a_network_namespace_that_others_made(network: str) -> None:
    asked = request(namespaces=runtime_pb2.NamespaceSpec(network=network))
    assert made(asked)["linux"]["sysctl"] == {}


@pytest.mark.parametrize(
    ("name", "namespaces", "text"),
    [
        ("kernel.msgmax", {}, ""),
        ("kernel.msgmax", {"ipc": "container:x"}, ""),
        ("kernel.msgmax", {"ipc": "host"}, "not allowed in the hosts ipc namespace"),
        ("fs.mqueue.msg_max", {"ipc": "host"}, "not allowed in the hosts ipc namespace"),
        ("net.ipv4.ip_forward", {"network": "/run/netns/x"}, ""),
        ("net.ipv4.ip_forward", {"network": "host"}, "not allowed in host network namespace"),
        ("kernel.domainname", {}, ""),
        ("kernel.domainname", {"uts": "host"}, "not allowed in the hosts UTS namespace"),
        ("kernel.hostname", {}, "conflicts with the OCI"),
        ("vm.swappiness", {}, "not in a separate kernel namespace"),
        ("net", {}, "not in a separate kernel namespace"),
    ],
)
def test_settings_of_own_namespaces_only(name: str, namespaces: dict[str, str], text: str) -> None:
    asked = request(sysctls={name: "1"}, namespaces=runtime_pb2.NamespaceSpec(**namespaces))
    if not text:
        assert made(asked)["linux"]["sysctl"][name] == "1"
        return
    with pytest.raises(spec.SpecError, match=text):
        spec.oci_spec(asked, facts())
