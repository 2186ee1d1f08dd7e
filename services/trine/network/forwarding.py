"""The host's own switches: IP forwarding, bridge netfilter, name servers. Reads and writes /proc and /etc."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from trine.network import resolv
from trine.network.model import Net

_IPV4 = "net/ipv4/ip_forward"
_IPV6 = "net/ipv6/conf/all/forwarding"
_RESOLV_CONF = Path("/etc/resolv.conf")
_SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")


def _read(key: str) -> str:
    try:
        return Path("/proc/sys", key).read_text().strip()
    except OSError:
        return ""


def _write(key: str, value: str) -> bool:
    try:
        descriptor = os.open(f"/proc/sys/{key}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, value.encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def ipv4_forwarding() -> bool:
    """Tell whether the host forwards IPv4."""
    return _read(_IPV4) == "1"


def ipv6_forwarding() -> bool:
    """Tell whether the host forwards IPv6."""
    return _read(_IPV6) == "1"


def is_on(version: int) -> bool:
    """Tell whether the host forwards IPv4 or IPv6."""
    return ipv4_forwarding() if version == 4 else ipv6_forwarding()


def turn_off(version: int) -> bool:
    """Make the host no router; returns whether it could."""
    return _write(_IPV4 if version == 4 else _IPV6, "0")


def bridge_netfilter(version: int) -> bool:
    """Tell whether bridged packets pass iptables (needed for icc=false)."""
    return _read(f"net/bridge/bridge-nf-call-{'iptables' if version == 4 else 'ip6tables'}") == "1"


def has_bridge_netfilter() -> bool:
    """Tell whether bridged packets can pass iptables at all: br_netfilter is there."""
    return bool(_read("net/bridge/bridge-nf-call-iptables"))


def has_ipv6() -> bool:
    """Tell whether the host speaks IPv6 at all."""
    return os.path.exists("/proc/net/if_inet6") and _read("net/ipv6/conf/lo/disable_ipv6") != "1"


def turn_on_ipv4() -> bool:
    """Turn IPv4 forwarding on; returns whether it is on."""
    return _write(_IPV4, "1") and ipv4_forwarding()


def warning(wanted: bool) -> str:
    """Return Docker's warning that IPv4 is not forwarded, with what to do where we could not help."""
    if wanted:
        return (
            "WARNING: IPv4 forwarding is disabled and cannot be turned on: containers will not reach "
            "other hosts; run: sysctl -w net.ipv4.ip_forward=1"
        )
    return "WARNING: IPv4 forwarding is disabled"


def turn_on_ipv6() -> bool:
    """Turn IPv6 forwarding on for a network that needs it.

    A forwarding host ignores router advertisements (accept_ra 1): set 2 where the host uses them, so
    that it does not lose its own default route. Returns whether it is on.
    """
    try:
        interfaces = os.listdir("/proc/sys/net/ipv6/conf")
    except OSError:
        return False
    for interface in interfaces:
        if interface not in ("all", "lo") and _read(f"net/ipv6/conf/{interface}/accept_ra") == "1":
            _write(f"net/ipv6/conf/{interface}/accept_ra", "2")
    _write("net/ipv6/conf/default/forwarding", "1")
    return _write(_IPV6, "1") and ipv6_forwarding()


def resolv_conf() -> str:
    """Return the host's resolv.conf, the one behind systemd-resolved's stub when that is in use."""
    try:
        text = _RESOLV_CONF.read_text(errors="replace")
    except OSError:
        return ""
    if resolv.parse(text).servers == ("127.0.0.53",):
        try:
            return _SYSTEMD_RESOLV_CONF.read_text(errors="replace")
        except OSError:
            pass
    return text


def name_server_networks() -> list[Net]:
    """Return the host's name servers as networks of one address: no pool may cover them."""
    found: list[Net] = []
    for server in resolv.parse(resolv_conf()).servers:
        try:
            found.append(ipaddress.ip_network(server.split("%", 1)[0]))
        except ValueError:
            continue
    return found
