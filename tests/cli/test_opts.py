"""Values of flags: what Docker's client 28 takes and how it refuses (probed with the real client)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trine.cli.failure import Failure
from trine.cli.opts import (
    addresses,
    devices,
    durations,
    env,
    filters,
    hosts,
    labels,
    moments,
    mounts,
    networks,
    pools,
    ports,
    references,
    security,
    sizes,
    ulimits,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("", 0, 0, 80, "tcp")]),
        ("8080:80", [("", 8080, 0, 80, "tcp")]),
        ("8080:80/udp", [("", 8080, 0, 80, "udp")]),
        ("8080:80/TCP", [("", 8080, 0, 80, "tcp")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 0, 80, "tcp")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 0, 80, "tcp")]),
        ("[::1]:8080:80", [("::1", 8080, 0, 80, "tcp")]),
        ("::1:8080:80", [("::1", 8080, 0, 80, "tcp")]),
        (":80", [("", 0, 0, 80, "tcp")]),
        ("80-81:90-91", [("", 80, 0, 90, "tcp"), ("", 81, 0, 91, "tcp")]),
        ("1-3:80", [("", 1, 3, 80, "tcp")]),
        ("published=80,target=81,protocol=udp", [("", 80, 0, 81, "udp")]),
    ],
)
def test_publish(text: str, expected: list[tuple[str, int, int, int, str]]) -> None:
    found = [
        (m["host_ip"], m["host_port"], m.get("host_port_end", 0), m["container_port"], m["protocol"])
        for m in ports.parse_publish(text)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid containerPort: foo"),
        ("80:", "no port specified: 80:<empty>"),
        ("", "no port specified: <empty>"),
        ("a:80", "invalid hostPort: a"),
        ("1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3"),
        ("80/foo", "invalid proto: foo"),
        ("1.2.3.4:80", "invalid hostPort: 1.2.3.4"),
        ("x:80:80", "invalid IP address: x"),
        ("1.2.3:80:80", "invalid IP address: 1.2.3"),
        ("70000:80", "invalid hostPort: 70000"),
        ("80:70000", "invalid containerPort: 70000"),
        ("3-1:80", "invalid hostPort: 3-1"),
        ("80:0", "invalid containerPort: 0"),
    ],
)
def test_publish_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message.replace('<', '.')}$"):
        ports.parse_publish(text)


def test_expose() -> None:
    assert ports.parse_expose("80-82/udp") == ["80/udp", "81/udp", "82/udp"]
    with pytest.raises(ValueError, match="invalid range format for --expose: 3-1, error: invalid range"):
        ports.parse_expose("3-1")
    with pytest.raises(
        ValueError,
        match='--expose: x, error: strconv.ParseUint: parsing "x": invalid syntax',  # noqa: RUF043
    ):
        ports.parse_expose("x")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1k", 1024),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("2GiB", 2 << 30),
        ("1 kb", 1024),
        ("7b", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert sizes.flag_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid size: 'foo'"),
        ("", "invalid size: ''"),
        ("-1", "invalid size: '-1'"),
        ("1x", "invalid suffix: 'x'"),
        ("1_0", "invalid size: '1_0'"),
    ],
)
def test_sizes_refuse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sizes.flag_bytes(text)


def test_swap_may_be_unlimited() -> None:
    assert sizes.swap_bytes("-1") == -1


def test_cpus() -> None:
    assert sizes.flag_nano_cpus("1.5") == 1_500_000_000
    assert sizes.flag_nano_cpus("1/4") == 250_000_000
    with pytest.raises(ValueError, match="failed to parse x as a rational number"):
        sizes.flag_nano_cpus("x")
    with pytest.raises(ValueError, match="value is too precise"):
        sizes.flag_nano_cpus("0.0000000001")


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("5s", 5 * 10**9),
        ("1h30m", 5400 * 10**9),
        ("1.5ms", 1_500_000),
        ("-2s", -2 * 10**9),
        ("0", 0),
        ("7ns", 7),
        ("3us", 3000),
        ("3µs", 3000),
        ("3μs", 3000),
        ("2m", 120 * 10**9),
    ],
)
def test_durations(text: str, nanos: int) -> None:
    assert durations.parse_duration(text) == nanos


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", 'time: invalid duration "x"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5y", 'time: unknown unit "y" in duration "5y"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_durations_refuse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        durations.parse_duration(text)


def test_ulimits() -> None:
    assert ulimits.parse_ulimit("nofile=1:2") == {"name": "nofile", "soft": 1, "hard": 2}
    assert ulimits.parse_ulimit("core=-1") == {"name": "core", "soft": -1, "hard": -1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid ulimit argument: foo"),
        ("foo=1", "invalid ulimit type: foo"),
        ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        ("nofile=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("nofile=", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two"),
    ],
)
def test_ulimits_refuse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ulimits.parse_ulimit(text)


def test_mounts() -> None:
    assert mounts.parse_mount("type=bind,source=/a,target=/b,readonly") == {
        "type": "bind", "source": "/a", "target": "/b", "read_only": True,
    }  # fmt: skip
    assert mounts.parse_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770") == {
        "type": "tmpfs", "target": "/t", "tmpfs_size_bytes": 1 << 20, "tmpfs_mode": 0o1770,
    }  # fmt: skip
    found = mounts.parse_mount(
        'source=v,target=/v,volume-opt=type=nfs,"volume-opt=o=addr=1,rw",volume-label=a=b'
    )
    assert found["volume_driver_options"] == {"type": "nfs", "o": "addr=1,rw"}
    assert found["volume_labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "EOF"),
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("type=bind", "target is required"),
        ("target=/a,target=", "target is required"),
        ("type=volume,target=/a,foo=b", "unexpected key 'foo' in 'foo=b'"),
        ("type=bind,source=/a,target=/b,readonly=x", "invalid value for readonly: x"),
        ("type=tmpfs,target=/a,tmpfs-size=x", "invalid value for tmpfs-size: x"),
        ("type=tmpfs,target=/a,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        (
            "type=volume,target=/x,bind-propagation=rshared",
            "cannot mix 'bind-\\*' options with mount type 'volume'",
        ),
        (
            "type=bind,source=/a,target=/b,volume-nocopy",
            "cannot mix 'volume-\\*' options with mount type 'bind'",
        ),
    ],
)
def test_mounts_refuse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        mounts.parse_mount(text)


@pytest.mark.parametrize(
    ("text", "kind", "source", "target", "read_only", "bind"),
    [
        ("/a", "volume", None, "/a", False, ""),
        ("vo:/a", "volume", "vo", "/a", False, "vo:/a"),
        ("/h:/a:ro", "bind", "/h", "/a", True, "/h:/a:ro"),
        ("/h:/a:rw,z,rshared", "bind", "/h", "/a", False, "/h:/a:rw,z,rshared"),
    ],
)
def test_volumes(text: str, kind: str, source: str | None, target: str, read_only: bool, bind: str) -> None:
    mount, shown = mounts.parse_volume(text)
    assert (mount["type"], mount.get("source"), mount["target"]) == (kind, source, target)
    assert mount.get("read_only", False) is read_only
    assert mount["from_volume_flag"]
    assert shown == bind


def test_volume_relative_to_the_working_directory() -> None:
    mount, bind = mounts.parse_volume("./x:/b")
    assert mount["source"] == os.path.abspath("x")
    assert bind == f"{os.path.abspath('x')}:/b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid empty volume spec"),
        (":/a", "invalid spec: :/a: empty section between colons"),
        ("/a:/b:ro:c", "invalid spec: /a:/b:ro:c: too many colons"),
        ("/a:/b:c", "invalid mode: c"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("name:/b:rshared", "invalid mode: rshared"),
        ("/a:b", "invalid volume specification: '/a:b': .* mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("relative/path:/x", "includes invalid characters for a local volume name, only"),
    ],
)
def test_volumes_refuse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mounts.parse_volume(text)


def test_tmpfs() -> None:
    assert mounts.parse_tmpfs("/t:size=1m,ro") == {
        "type": "tmpfs",
        "target": "/t",
        "options": ["size=1m", "ro"],
    }
    with pytest.raises(mounts.DaemonText, match="invalid mount path: 'relative' mount path must be absolute"):
        mounts.parse_tmpfs("relative")


def test_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERE", "1 2")
    assert env.check_env("A=b=c") == "A=b=c"
    assert env.check_env("HERE") == "HERE=1 2"
    assert env.check_env("NOT_HERE") == "NOT_HERE"
    with pytest.raises(ValueError, match="invalid environment variable: =a"):
        env.check_env("=a")
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbf# note\n\n  A=1\r\nHERE\nNOT_HERE\nB= x y\n")
    assert env.read_file(str(file), lookup=True) == ["A=1", "HERE=1 2", "B= x y"]
    assert env.read_file(str(file), lookup=False) == ["A=1", "B= x y"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a b=c\n", "variable 'a b' contains whitespaces"),
        (b"=c\n", "no variable name on line '=c'"),
        (b"\xff=c\n", r"invalid utf8 bytes at line 1: \[255 61 99\]"),
    ],
)
def test_env_file_refuses(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "env"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"invalid env file .*: {message}"):
        env.read_file(str(file), lookup=True)


def test_small_ones() -> None:
    assert filters.parse_filter("Name=a=b ") == "name=a=b"
    with pytest.raises(ValueError, match=r"bad format of filter \(expected name=value\)"):
        filters.parse_filter("foo")
    assert labels.to_map(["a=1", "b", "a=2"]) == {"a": "2", "b": ""}
    with pytest.raises(ValueError, match="invalid label '=x': empty name"):
        labels.check_label("=x")
    assert labels.check_sysctl("net.core.somaxconn=1") == ("net.core.somaxconn", "1")
    with pytest.raises(ValueError, match="sysctl 'x' is not allowed"):
        labels.check_sysctl("x")
    assert addresses.check_ip(" ::1 ") == "::1"
    with pytest.raises(ValueError, match="IP address is not correctly formatted: x"):
        addresses.check_ip("x")
    assert addresses.check_domain("example.org") == "example.org"
    for wrong in ("!", "a b"):
        with pytest.raises(ValueError, match=f"{wrong} is not a valid domain"):
            addresses.check_domain(wrong)


def test_hosts_and_links() -> None:
    assert hosts.check_host("db:10.1.2.3") == "db:10.1.2.3"
    assert hosts.check_host("db=fd00::1") == "db:fd00::1"
    assert hosts.check_host("six:fd00::1") == "six:fd00::1"
    assert hosts.check_host("gw:host-gateway") == "gw:host-gateway"
    with pytest.raises(ValueError, match='bad format for add-host: "foo"'):
        hosts.check_host("foo")
    with pytest.raises(ValueError, match='invalid IP address in add-host: "b"'):
        hosts.check_host("a:b")
    with pytest.raises(ValueError, match="bad format for links: x:y:z"):
        hosts.check_link("x:y:z")


def test_devices() -> None:
    assert devices.parse_device("/dev/a") == {
        "host_path": "/dev/a", "container_path": "/dev/a", "permissions": "rwm",
    }  # fmt: skip
    assert devices.parse_device("/dev/a:rw")["permissions"] == "rw"
    assert devices.parse_device("/dev/a:/dev/b:r")["container_path"] == "/dev/b"
    with pytest.raises(ValueError, match="bad mode specified: q"):
        devices.parse_device("/dev/a:/dev/b:q")
    with pytest.raises(ValueError, match="bad format for path: a:b:c:d"):
        devices.parse_device("a:b:c:d")
    assert devices.check_rule("c 13:* rwm") == "c 13:* rwm"
    with pytest.raises(ValueError, match="invalid device cgroup format 'x'"):
        devices.check_rule("x")


def test_networks() -> None:
    assert networks.parse_network("web") == {"network": "web"}
    more = networks.parse_network("name=web,link-local-ip=fe80::9,link-local-ip=169.254.1.1,gw-priority=-3")
    assert (more["link_local_addresses"], more["gateway_priority"]) == (["fe80::9", "169.254.1.1"], -3)
    with pytest.raises(ValueError, match="invalid gw-priority: high"):
        networks.parse_network("name=web,gw-priority=high")
    found = networks.parse_network("name=web,alias=a,alias=b,ip=10.0.0.2")
    assert found == {"network": "web", "aliases": ["a", "b"], "ipv4_address": "10.0.0.2"}
    with pytest.raises(ValueError, match="invalid field key foo"):
        networks.parse_network("name=x,foo=b")


def test_security(tmp_path: Path) -> None:
    spec: dict[str, object] = {}
    assert security.apply_options(["no-new-privileges", "seccomp=unconfined", "systempaths=unconfined"], spec) == [  # noqa: E501
        "no-new-privileges", "seccomp=unconfined",
    ]  # fmt: skip
    assert spec == {"no_new_privileges": True, "seccomp_profile": "unconfined", "unmask_system_paths": True}
    with pytest.raises(ValueError, match='Invalid --security-opt: "foo"'):
        security.apply_options(["foo"], {})
    with pytest.raises(
        ValueError, match=r"opening seccomp profile \(/nope\) failed: open /nope: no such file"
    ):
        security.apply_options(["seccomp=/nope"], {})
    profile = tmp_path / "p.json"
    profile.write_text('{ "defaultAction" : "SCMP_ACT_ALLOW" }')
    security.apply_options([f"seccomp={profile}"], spec)
    assert spec["seccomp_profile"] == '{"defaultAction":"SCMP_ACT_ALLOW"}'


def test_moments() -> None:
    second = 10**9
    assert moments.parse_moment("", 5) == 0
    assert moments.parse_moment("12.5", 0) == 12 * second + second // 2
    assert moments.parse_moment("10m", 3600 * second) == 3000 * second
    assert moments.parse_moment("1970-01-02T00:00:00.25Z", 0) == 86400 * second + second // 4
    assert moments.parse_moment("1970-01-02T01:00:00+01:00", 0) == 86400 * second
    with pytest.raises(ValueError, match='failed to parse value as time or duration: "foo"'):
        moments.parse_moment("foo", 0)


def test_pools() -> None:
    assert pools.pools_of(["10.7.0.0/16", "fd00::/64"], ["10.7.1.0/24"], ["fd00::9"], {"r": "10.7.0.5"}) == [
        {"subnet": "10.7.0.0/16", "ip_range": "10.7.1.0/24", "auxiliary_addresses": {"r": "10.7.0.5"}},
        {"subnet": "fd00::/64", "gateway": "fd00::9"},
    ]
    with pytest.raises(Failure, match="every ip-range or gateway must have a corresponding subnet"):
        pools.pools_of([], [], ["1.2.3.4"], {})
    with pytest.raises(Failure, match=r"no matching subnet for gateway 10.79.0.1"):
        pools.pools_of(["10.78.0.0/24"], [], ["10.79.0.1"], {})
    assert pools.pools_of(["nonsense"], [], [], {}) == [{"subnet": "nonsense"}]


@pytest.mark.parametrize(
    "name",
    ["a", "a:1", "a/b", "localhost:5000/a:v1", "docker.io/library/a", f"a@sha256:{'0' * 64}", "a__b", "a--b"],
)
def test_references(name: str) -> None:
    assert references.valid(name) == ""


@pytest.mark.parametrize(
    "name", ["", "a:b:c", "a:", "a:b/", "-a", "a_", "a..b", "a b", "a@sha256:short", "http://a", "b:bad/tag"]
)
def test_references_refuse(name: str) -> None:
    assert references.valid(name) == "invalid reference format"


def test_reference_parts() -> None:
    assert references.valid("Foo") == (
        "invalid reference format: repository name (library/Foo) must be lowercase"
    )
    assert references.familiar("a") == "a:latest"
    assert references.full("a:1") == "docker.io/library/a:1"
    assert references.full("localhost:5000/a") == "localhost:5000/a:latest"
    assert references.registry("localhost/a") == "localhost"
    assert references.registry("a/b") == references.HUB
