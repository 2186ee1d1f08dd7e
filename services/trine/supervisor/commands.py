"""Which command line starts which service, from trined's options. Pure."""

from __future__ import annotations

import sys

from trine.supervisor.options import Options

ORDER = ("image", "network", "runtime")


def address(options: Options, name: str) -> str:
    """Return where a service listens: its --NAME-service, or its socket in the exec root."""
    given: str = getattr(options, f"{name}_service")
    return given or f"unix://{options.exec_root}/{name}.sock"


def apart(options: Options) -> dict[str, str]:
    """Return name and address of the services that somebody else runs."""
    return {name: address(options, name) for name in ORDER if getattr(options, f"{name}_service")}


def _switch(name: str, value: bool) -> str:
    return f"--{name}={'true' if value else 'false'}"


def _image(options: Options) -> list[str]:
    result: list[str] = []
    for mirror in options.registry_mirrors:
        result += ["--registry-mirror", mirror]
    for registry in options.insecure_registries:
        result += ["--insecure-registry", registry]
    return result


def _network(options: Options) -> list[str]:
    result = [
        _switch("ipv6", options.ipv6),
        _switch("icc", options.icc),
        _switch("ip-forward", options.ip_forward),
        _switch("ip-masq", options.ip_masq),
        _switch("iptables", options.iptables),
    ]
    for name, value in (("bridge", options.bridge), ("bip", options.bip), ("fixed-cidr", options.fixed_cidr)):
        if value:
            result += [f"--{name}", value]
    for pool in options.default_address_pools:
        result += ["--default-address-pool", pool]
    if options.mtu:
        result += ["--mtu", str(options.mtu)]
    for server in options.dns:
        result += ["--dns", server]
    return result


def _runtime(options: Options) -> list[str]:
    result: list[str] = []
    if options.cgroup_parent:
        result += ["--cgroup-parent", options.cgroup_parent]
    for limit in options.default_ulimits:
        result += ["--default-ulimit", limit]
    if options.seccomp_profile:
        result += ["--seccomp-profile", options.seccomp_profile]
    return result


def command(options: Options, name: str) -> list[str]:
    """Return the command line of a service, or an empty list when it runs elsewhere."""
    if getattr(options, f"{name}_service"):
        return []
    own = {"image": _image, "network": _network, "runtime": _runtime}[name](options)
    return [
        sys.executable,
        "-I",
        "-m",
        f"trine.{name}.main",
        "--listen",
        address(options, name),
        "--data-root",
        str(options.data_root),
        "--exec-root",
        str(options.exec_root),
        "--group",
        options.group,
        "--log-level",
        options.log_level,
        "--log-format",
        options.log_format,
        *own,
    ]
