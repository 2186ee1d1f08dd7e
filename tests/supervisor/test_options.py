"""trined's options: flags, daemon.json, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trine.kit.errors import InvalidArgumentError
from trine.supervisor.commands import address, command
from trine.supervisor.options import parse


def parsed(*flags: str, config: object = None, tmp_path: Path | None = None):  # type: ignore[no-untyped-def]
    default = "/nonexistent/daemon.json"
    if config is not None:
        assert tmp_path is not None
        file = tmp_path / "daemon.json"
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        default = str(file)
    return parse(flags, default)


def test_defaults_are_dockerd_like() -> None:
    options = parsed()
    assert str(options.data_root) == "/var/lib/trine"
    assert options.hosts == ["unix:///run/trine/trine.sock"]
    assert (options.icc, options.ip_forward, options.iptables, options.ip_masq, options.ipv6) == (
        True,
        True,
        True,
        True,
        False,
    )


def test_flags_and_file_are_merged(tmp_path: Path) -> None:
    options = parsed(
        "-H",
        "unix:///tmp/a.sock",
        "-H",
        "unix:///tmp/b.sock",
        "--icc=false",
        config={
            "registry-mirrors": ["http://127.0.0.1:5000"],
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}},
            "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}],
            "mtu": 1400,
        },
        tmp_path=tmp_path,
    )
    assert options.hosts == ["unix:///tmp/a.sock", "unix:///tmp/b.sock"]
    assert options.icc is False
    assert options.default_ulimits == ["nofile=10:20"]
    assert options.default_address_pools == ["base=10.0.0.0/8,size=24"]
    assert options.mtu == 1400


@pytest.mark.parametrize(
    ("flags", "config", "text"),
    [
        (["--bip", "172.17.0.300/16"], None, "--bip: invalid CIDR address"),
        (["--data-root", "relative"], None, "not an absolute path"),
        (["-H", "ftp://x"], None, "invalid address"),
        (["-H", "tcp://0.0.0.0:2375"], None, "needs --tlsverify"),
        (["--registry-mirror", "registry.example"], None, "invalid mirror"),
        (["--nosuch"], None, "unrecognized arguments: --nosuch"),
        (["--mtu", "1400"], {"mtu": 1500}, "specified both as a flag and in the configuration file: mtu"),
        ([], {"nosuch": 1}, "don't match any configuration option: nosuch"),
        ([], {"mtu": True}, "invalid value for mtu"),
        ([], {"hosts": "unix:///x"}, "invalid value for hosts"),
        ([], "{", "unable to configure trined with file"),
        ([], "[]", "must hold one JSON object"),
        (["--dns", "nine"], None, "nine is not an ip address"),
        (["--label", "x"], None, "bad attribute format"),
        (["--bridge", "none", "--bip", "10.0.0.1/24"], None, "conflicting options"),
        (["--config-file", "/nonexistent/x.json"], None, "it does not exist"),
    ],
)
def test_what_is_wrong_is_named(flags: list[str], config: object, text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parsed(*flags, config=config, tmp_path=tmp_path)
    assert text in caught.value.message


def test_commands_carry_the_options() -> None:
    options = parsed("--registry-mirror", "http://127.0.0.1:5000", "--bridge", "b0", "--exec-root", "/run/x")
    assert address(options, "image") == "unix:///run/x/image.sock"
    assert "http://127.0.0.1:5000" in command(options, "image")
    line = command(options, "network")
    assert line[line.index("--bridge") + 1] == "b0"
    assert "--iptables=true" in line
    elsewhere = parsed("--image-service", "unix:///run/other.sock")
    assert command(elsewhere, "image") == []
    assert address(elsewhere, "image") == "unix:///run/other.sock"
