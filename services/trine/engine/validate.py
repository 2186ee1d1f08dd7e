"""What is wrong with a container's configuration, told before anything changes. Pure.

Limits are judged by the runtime service (CheckResources): it knows what the kernel has.
Texts are Docker's engine 20.10 (runconfig and daemon checks). What needs the host (does a bind source
exist, is there such a network) is checked by the use cases.
"""

from __future__ import annotations

import ipaddress
import re
import signal as signals
from collections.abc import Iterable, Mapping

from trine.engine import log_options
from trine.engine.hosts import split_extra_host
from trine.engine.merge import argv
from trine.engine.restart_policy import Policy, check
from trine.kit.errors import InvalidArgumentError
from trine.v1 import container_pb2, image_pb2, network_pb2

MILLISECOND_NANOS = 1_000_000
_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_CAPABILITY_TEXT = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
_CAPABILITIES = frozenset(_CAPABILITY_TEXT.split())
_RUNTIMES = ("", "trine", "runc", "io.containerd.runc.v2")  # scripts written for Docker name the latter two


def _refuse(message: str, reason: str = "") -> InvalidArgumentError:
    return InvalidArgumentError(message.replace("\n", " ").replace("\r", " "), reason=reason)


def signal_number(text: str) -> int:
    """Return the number of "KILL", "SIGKILL", "9", "RTMIN+3"; raises InvalidArgumentError."""
    upper = text.strip().upper()
    if upper.isdigit():
        number = int(upper)
        if 0 < number <= 64:
            return number
        raise _refuse(f"Invalid signal: {text}", "INVALID_SIGNAL")
    bare = upper.removeprefix("SIG")
    for word, base, sign in (("RTMIN", 34, 1), ("RTMAX", 64, -1)):
        if bare == word:
            return base
        match = re.fullmatch(rf"{word}[+-](\d+)", bare)
        if match and int(match[1]) <= 30:
            return base + sign * int(match[1])
    try:
        return int(signals.Signals[f"SIG{bare}"])
    except KeyError:
        raise _refuse(f"Invalid signal: {text}", "INVALID_SIGNAL") from None


def check_request(config: container_pb2.ContainerConfig) -> None:
    """Check what was asked for by itself; raises InvalidArgumentError."""
    if not config.image:
        raise _refuse("Config cannot be empty in order to create a container")
    _check_texts(config)
    check_network_mode(config)
    check_namespaces(config)
    check_policy(config.restart_policy, config.auto_remove)
    check_capabilities(config)
    if not -1000 <= config.oom_score_adjustment <= 1000:
        raise _refuse(
            f"Invalid value {config.oom_score_adjustment}, range for oom score adj is [-1000, 1000]"
        )
    if config.shm_size_bytes < 0:
        raise _refuse("SHM size can not be less than 0")
    if config.HasField("health_check"):
        check_health(config.health_check)
    for mapping in config.ports:
        check_port(mapping)
    log_options.check(config.log.driver, config.log.options)
    if config.isolation not in ("", "default"):
        raise _refuse(f"Invalid isolation: \"{config.isolation}\" - linux only supports 'default'")
    if config.runtime not in _RUNTIMES:
        raise _refuse(f"Unknown runtime specified {config.runtime}")
    check_storage_options(config.storage_options)


def check_storage_options(options: Mapping[str, str]) -> None:
    """Refuse --storage-opt in the words of Docker's overlay2 driver: there are no quotas of ours."""
    if "size" in options:
        raise _refuse("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    for name in options:
        raise _refuse(f"Unknown option {name}")


def check_effective(config: container_pb2.ContainerConfig) -> None:
    """Check what only the image completes: there is a command, the directory is absolute."""
    if not argv(config):
        raise _refuse("No command specified", "NO_COMMAND")
    if config.working_dir and not config.working_dir.startswith("/"):
        raise _refuse(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    if config.stop_signal:
        signal_number(config.stop_signal)


def _check_texts(config: container_pb2.ContainerConfig) -> None:
    for text in config.env:
        if not text or text.startswith("="):
            raise _refuse(f"invalid environment variable: {text}")
        if "\0" in text:
            raise _refuse("invalid environment variable: it holds a NUL byte")
    for text in [*config.cmd, *config.entrypoint]:
        if "\0" in text:
            raise _refuse("invalid argument: it holds a NUL byte")
    for what, value in (("hostname", config.hostname), ("domainname", config.domainname)):
        if value and (len(value) > 253 or not _HOSTNAME.match(value)):
            raise _refuse(f"invalid {what} format: {value}", "INVALID_HOSTNAME")
    if len(config.hostname) > 63:
        # sethostname(2) takes 64 bytes, Docker refuses from 64 on.
        raise _refuse(f"invalid hostname format: {config.hostname}", "INVALID_HOSTNAME")
    for text in config.extra_hosts:
        name, address = split_extra_host(text)
        if not name or not address:
            raise _refuse(f'bad format for add-host: "{text}"')
        if not _HOSTNAME.match(name):
            raise _refuse(f'bad format for add-host: "{text}"')
        if address != "host-gateway" and not is_address(address):
            raise _refuse(f'invalid IP address in add-host: "{address}"')
    for address in config.dns_servers:
        if not is_address(address):
            raise _refuse(f"{address} is not an ip address")
    for text in [*config.dns_search, *config.dns_options]:
        if not text or re.search(r"\s", text):
            raise _refuse(f"{text} is not a valid domain" if text else "an empty domain is not valid")
    if config.mac_address and not re.fullmatch(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}", config.mac_address):
        raise _refuse(f"{config.mac_address} is not a valid mac address")
    if config.stop_signal:
        signal_number(config.stop_signal)
    for key in config.labels:
        if not key:
            raise _refuse("invalid label format: an empty label name")


def is_address(text: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        return False
    return True


def container_of(mode: str) -> str:
    """Return the container of "container:X", or ""."""
    return mode[len("container:") :] if mode.startswith("container:") else ""


def check_network_mode(config: container_pb2.ContainerConfig) -> None:
    """Refuse options that contradict the network mode (runconfig/hostconfig_unix.go's order)."""
    mode = config.network_mode
    shared = mode.startswith("container:") or mode == "container"
    if shared and not container_of(mode):
        raise _refuse("Invalid network mode: invalid container format container:<name|id>")
    checks = (
        (shared and bool(config.hostname), "conflicting options: hostname and the network mode"),
        (
            shared and bool(config.links),
            "conflicting options: container type network can't be used with links. "
            "This would result in undefined behavior",
        ),
        (shared and bool(config.dns_servers), "conflicting options: dns and the network mode"),
        (
            shared and bool(config.extra_hosts),
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            (shared or mode == "host") and bool(config.mac_address),
            "conflicting options: mac-address and the network mode",
        ),
        (
            shared and (bool(config.ports) or config.publish_all),
            "conflicting options: port publishing and the container type network mode",
        ),
        (
            shared and bool(config.exposed_ports),
            "conflicting options: port exposing and the container type network mode",
        ),
        (
            config.uts_mode == "host" and bool(config.hostname),
            "conflicting options: hostname and the UTS mode",
        ),
        (
            mode == "host" and bool(config.links),
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior",
        ),
    )
    for wrong, message in checks:
        if wrong:
            raise _refuse(message, "CONFLICTING_OPTIONS")
    simple = mode in ("", "default", "bridge", "host", "none") or shared
    for endpoint in config.endpoints:
        for address, version in ((endpoint.ipv4_address, 4), (endpoint.ipv6_address, 6)):
            if address and not (is_address(address) and ipaddress.ip_address(address).version == version):
                raise _refuse(f"invalid IPv{version} address: {address}")
        check_link_local(endpoint.link_local_addresses)
        if simple and (endpoint.ipv4_address or endpoint.ipv6_address):
            raise _refuse("user specified IP address is supported on user defined networks only")
        if simple and endpoint.aliases:
            raise _refuse("network-scoped alias is supported only for containers in user defined networks")


def check_link_local(addresses: Iterable[str]) -> None:
    """Refuse what is no address; which are link-local, the network service knows."""
    if not all(is_address(text) for text in addresses):
        raise _refuse(f"Invalid link-local IP address: [{' '.join(addresses)}]")


def check_namespaces(config: container_pb2.ContainerConfig) -> None:
    """Check --pid, --ipc, --uts and --cgroupns."""
    if config.pid_mode not in ("", "host") and not container_of(config.pid_mode):
        raise _refuse(f"invalid PID mode: {config.pid_mode}")
    if config.ipc_mode not in ("", "host", "none", "private", "shareable") and not container_of(
        config.ipc_mode
    ):
        raise _refuse(f"Invalid IPC mode: {config.ipc_mode}")
    if config.uts_mode not in ("", "host"):
        raise _refuse(f"invalid UTS mode: {config.uts_mode}")
    if config.cgroupns_mode not in ("", "host", "private"):
        raise _refuse(f"invalid cgroup namespace mode: {config.cgroupns_mode}")


def check_policy(policy: container_pb2.RestartPolicy, auto_remove: bool) -> None:
    """Check a restart policy."""
    message = check(Policy(policy.name, policy.maximum_retry_count))
    if message:
        raise _refuse(message)
    if auto_remove and policy.name not in ("", "no"):
        raise _refuse("can't create 'AutoRemove' container with restart policy")


def full_capability(name: str) -> str:
    """Return "CAP_NET_ADMIN" for any way to write it; "ALL" stays."""
    upper = name.upper().removeprefix("CAP_")
    return upper if upper == "ALL" else f"CAP_{upper}"


def check_capabilities(config: container_pb2.ContainerConfig) -> None:
    """Check --cap-add and --cap-drop (capabilities(7))."""
    for what, names in (
        ("CapAdd", config.security.capabilities_add),
        ("CapDrop", config.security.capabilities_drop),
    ):
        for name in names:
            full = full_capability(name)
            if full != "ALL" and full.removeprefix("CAP_") not in _CAPABILITIES:
                raise _refuse(f'invalid {what}: unknown capability: "{full}"')


def check_health(health: image_pb2.HealthCheck) -> None:
    """Check --health-* values."""
    for what, value in (
        ("Interval", health.interval_nanos),
        ("Timeout", health.timeout_nanos),
        ("StartPeriod", health.start_period_nanos),
    ):
        if value and value < MILLISECOND_NANOS:
            raise _refuse(f"{what} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise _refuse("Retries in Healthcheck cannot be negative")
    if health.test and health.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise _refuse(f"Unknown type {health.test[0]} in HEALTHCHECK (try CMD)")


def check_port(mapping: network_pb2.PortMapping) -> None:
    """Check one published port."""
    if not 1 <= mapping.container_port <= 65535:
        raise _refuse(f'invalid port specification: "{mapping.container_port}"')
    if mapping.host_port > 65535 or mapping.host_port_end > 65535:
        raise _refuse(f'invalid port specification: "{mapping.host_port}"')
    if mapping.protocol not in ("", "tcp", "udp", "sctp"):
        raise _refuse(f"invalid proto: {mapping.protocol}")
    if mapping.host_ip and not is_address(mapping.host_ip.strip("[]")):
        raise _refuse(f"Invalid ip address: {mapping.host_ip}")
