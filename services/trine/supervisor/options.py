"""What trined was told: dockerd's flags and daemon.json, merged and checked. Pure but for reading the file.

Names and meaning are dockerd's (dockerd(8)); a value may stand in the file or on the command line,
not in both, and an unknown name is refused.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trine.kit.errors import InvalidArgumentError
from trine.kit.logs import LEVELS
from trine.kit.server import parse_address
from trine.kit.version import VERSION

DEFAULT_CONFIG_FILE = "/etc/trine/daemon.json"
DEFAULT_HOST = "unix:///run/trine/trine.sock"


@dataclass
class Options:
    """Everything trined runs by; paths are absolute, lists keep their order."""

    data_root: Path = Path("/var/lib/trine")
    exec_root: Path = Path("/run/trine")
    hosts: list[str] = field(default_factory=lambda: [DEFAULT_HOST])
    group: str = "trine"
    pidfile: str = ""
    config_file: str = ""
    bridge: str = ""
    bip: str = ""
    fixed_cidr: str = ""
    default_address_pools: list[str] = field(default_factory=list)  # "base=CIDR,size=N"
    ipv6: bool = False
    icc: bool = True
    ip_forward: bool = True
    ip_masq: bool = True
    iptables: bool = True
    mtu: int = 0
    registry_mirrors: list[str] = field(default_factory=list)
    insecure_registries: list[str] = field(default_factory=list)
    dns: list[str] = field(default_factory=list)
    log_level: str = "info"
    log_format: str = "text"
    default_ulimits: list[str] = field(default_factory=list)  # "nofile=1024:2048"
    cgroup_parent: str = ""
    seccomp_profile: str = ""
    labels: list[str] = field(default_factory=list)
    tlsverify: bool = False
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    image_service: str = ""
    runtime_service: str = ""
    network_service: str = ""


_LISTS = {
    "host": "hosts",
    "default-address-pool": "default_address_pools",
    "registry-mirror": "registry_mirrors",
    "insecure-registry": "insecure_registries",
    "dns": "dns",
    "default-ulimit": "default_ulimits",
    "label": "labels",
}
# In daemon.json dockerd uses the plural for lists.
_FILE_NAMES = {
    "hosts": "host",
    "default-address-pools": "default-address-pool",
    "registry-mirrors": "registry-mirror",
    "insecure-registries": "insecure-registry",
    "default-ulimits": "default-ulimit",
    "labels": "label",
}
_SWITCHES = ("ipv6", "icc", "ip-forward", "ip-masq", "iptables", "tlsverify")
_TEXTS = {
    "data-root": "directory of durable state",
    "exec-root": "directory of sockets and run-time state",
    "group": "group that may use the sockets",
    "pidfile": "file to write the process id to",
    "bridge": "name of the default network's bridge, or none",
    "bip": "address of the default bridge, as 172.17.0.1/16",
    "fixed-cidr": "part of the default bridge's subnet to give addresses from",
    "cgroup-parent": "cgroup to put containers under",
    "seccomp-profile": "file of the default seccomp profile, or unconfined",
    "tlscacert": "trust clients this CA signed",
    "tlscert": "certificate",
    "tlskey": "key",
    "image-service": "address of an image service that runs elsewhere",
    "runtime-service": "address of a runtime service that runs elsewhere",
    "network-service": "address of a network service that runs elsewhere",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InvalidArgumentError(f"{message}\nSee 'trined --help'.")


def _switch(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "1", "t"):
        return True
    if lowered in ("false", "0", "f"):
        return False
    raise argparse.ArgumentTypeError(f"invalid boolean {text!r}")


def parser() -> argparse.ArgumentParser:
    """Return trined's command line parser; what was not given is absent from its result."""
    result = _Parser(
        prog="trined",
        description="Trine's supervisor and coordinator.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    result.add_argument("-v", "--version", action="version", version=f"Trine version {VERSION}")
    result.add_argument("--config-file", help=f"JSON file of options (default {DEFAULT_CONFIG_FILE})")
    result.add_argument(
        "-H", "--host", action="append", metavar="ADDRESS", help=f"where to listen (default {DEFAULT_HOST})"
    )
    for name, text in _TEXTS.items():
        result.add_argument(f"--{name}", help=text)
    for name in _SWITCHES:
        result.add_argument(f"--{name}", nargs="?", const=True, type=_switch, metavar="true|false")
    result.add_argument("--mtu", type=int, help="MTU of container networks, 0: of the default route")
    result.add_argument("-l", "--log-level", choices=sorted(LEVELS), help="least level to log")
    result.add_argument("--log-format", choices=("text", "json"), help="form of the log")
    result.add_argument("-D", "--debug", action="store_true", help="same as --log-level debug")
    for name in sorted(set(_LISTS) - {"host"}):
        result.add_argument(f"--{name}", action="append", metavar="VALUE", help="may be given several times")
    return result


def _from_file(path: Path, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        if required:
            raise InvalidArgumentError(
                f"unable to configure trined with file {path}: it does not exist"
            ) from error
        return {}
    except OSError as error:
        raise InvalidArgumentError(
            f"unable to configure trined with file {path}: {error.strerror}"
        ) from error
    try:
        content = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise InvalidArgumentError(f"unable to configure trined with file {path}: {error}") from error
    if not isinstance(content, dict):
        raise InvalidArgumentError(
            f"unable to configure trined with file {path}: it must hold one JSON object"
        )
    known = {*_TEXTS, *_SWITCHES, *_LISTS, *_FILE_NAMES, "mtu", "log-level", "log-format", "debug"}
    unknown = sorted(set(content) - known)
    if unknown:
        raise InvalidArgumentError(
            f"unable to configure trined with file {path}: the following directives don't match any "
            f"configuration option: {', '.join(unknown)}"
        )
    return {
        _FILE_NAMES.get(str(key), str(key)): _plain(str(key), value, path) for key, value in content.items()
    }


def _plain(key: str, value: Any, path: Path) -> Any:
    """Return a file's value in the form the flag has; ulimits and pools are objects there."""
    wrong = InvalidArgumentError(f"unable to configure trined with file {path}: invalid value for {key}")
    name = _FILE_NAMES.get(key, key)
    if name == "default-ulimit" and isinstance(value, dict):
        return [f"{n}={u['Soft']}:{u['Hard']}" for n, u in value.items()]
    if name == "default-address-pool" and isinstance(value, list):
        return [f"base={p['base']},size={p['size']}" if isinstance(p, dict) else str(p) for p in value]
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise wrong
        return value
    expected: type = bool if name in _SWITCHES or name == "debug" else int if name == "mtu" else str
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise wrong
    return value


def parse(arguments: Sequence[str], default_config_file: str = DEFAULT_CONFIG_FILE) -> Options:
    """Return the options of a command line and its config file, checked.

    Raises InvalidArgumentError with one line that names the option. --help and --version exit.
    """
    flags = {
        key.replace("_", "-"): value for key, value in vars(parser().parse_args(list(arguments))).items()
    }
    config_file: str = flags.pop("config-file", "")
    from_file = _from_file(Path(config_file or default_config_file), required=bool(config_file))
    twice = sorted(set(flags) & set(from_file))
    if twice:
        listed = ", ".join(f"{k}: (from flag: {flags[k]}, from file: {from_file[k]})" for k in twice)
        raise InvalidArgumentError(
            f"the following directives are specified both as a flag and in the configuration file: {listed}"
        )
    return _checked({**from_file, **flags}, config_file)


def _checked(values: Mapping[str, Any], config_file: str) -> Options:
    options = Options(config_file=config_file)
    for key, value in values.items():
        if key == "debug":
            options.log_level = "debug" if value else options.log_level
        elif key in ("data-root", "exec-root"):
            if not str(value).startswith("/"):
                raise InvalidArgumentError(f"--{key}: {value!r} is not an absolute path")
            setattr(options, key.replace("-", "_"), Path(value))
        else:
            setattr(options, _LISTS.get(key, key).replace("-", "_"), value)
    for address in [*options.hosts, options.image_service, options.runtime_service, options.network_service]:
        if address:
            parse_address(address)
    _check_tls(options)
    _check_networks(options)
    for mirror in options.registry_mirrors:
        parts = urlsplit(mirror)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise InvalidArgumentError(f"invalid mirror: {mirror!r} is not a URL as https://host[:port]")
    for label in options.labels:
        if "=" not in label:
            raise InvalidArgumentError(f"bad attribute format: {label}")
    return options


def _check_tls(options: Options) -> None:
    if not any(parse_address(host)[0] == "tcp" for host in options.hosts):
        return
    if not options.tlsverify:
        raise InvalidArgumentError(
            "a tcp:// host needs --tlsverify with --tlscacert, --tlscert and --tlskey: "
            "without client certificates anyone who can connect is root here"
        )
    for name in ("tlscacert", "tlscert", "tlskey"):
        path = getattr(options, name)
        if not path:
            raise InvalidArgumentError(f"--tlsverify needs --{name}")
        if not Path(path).is_file():
            raise InvalidArgumentError(f"--{name}: {path} is not a file")


def _check_networks(options: Options) -> None:
    if options.bridge == "none" and options.bip:
        raise InvalidArgumentError("conflicting options: --bridge=none and --bip can't be used together")
    checks = (("bip", ipaddress.ip_interface), ("fixed_cidr", ipaddress.ip_network))
    for name, check in checks:
        value = getattr(options, name)
        try:
            if value:
                check(value)
        except ValueError as error:
            raise InvalidArgumentError(
                f"--{name.replace('_', '-')}: invalid CIDR address: {value}"
            ) from error
    for server in options.dns:
        try:
            ipaddress.ip_address(server)
        except ValueError as error:
            raise InvalidArgumentError(f"{server} is not an ip address") from error
