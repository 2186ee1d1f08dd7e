"""The host's own switches: IP forwarding, bridge netfilter, name servers. Reads and writes /proc and /etc."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
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


@dataclass
class Host:
    """What was found and done."""

    turned_on: bool = False  # IPv4 forwarding was off and is on by our doing
    warnings: list[str] = field(default_factory=list)


def ipv4_forwarding() -> bool:
    """Tell whether the host forwards IPv4."""
    return _read(_IPV4) == "1"


def ipv6_forwarding() -> bool:
    """Tell whether the host forwards IPv6."""
    return _read(_IPV6) == "1"


def bridge_netfilter(version: int) -> bool:
    """Tell whether bridged packets pass iptables (needed for icc=false)."""
    return _read(f"net/bridge/bridge-nf-call-{'iptables' if version == 4 else 'ip6tables'}") == "1"


def turn_on_bridge_netfilter() -> bool:
    """Make bridged packets pass iptables and ip6tables; False where br_netfilter is missing."""
    done = _write("net/bridge/bridge-nf-call-iptables", "1")
    return _write("net/bridge/bridge-nf-call-ip6tables", "1") and done


def has_ipv6() -> bool:
    """Tell whether the host speaks IPv6 at all."""
    return os.path.exists("/proc/net/if_inet6") and _read("net/ipv6/conf/lo/disable_ipv6") != "1"


def turn_on_ipv4(wanted: bool) -> Host:
    """Check forwarding, turn it on when wanted; the warning is Docker's, with what to do."""
    host = Host()
    if ipv4_forwarding():
        return host
    if wanted and _write(_IPV4, "1") and ipv4_forwarding():
        host.turned_on = True
    elif wanted:
        host.warnings.append(
            "WARNING: IPv4 forwarding is disabled and cannot be turned on: containers will not reach "
            "other hosts; run: sysctl -w net.ipv4.ip_forward=1"
        )
    else:
        host.warnings.append("WARNING: IPv4 forwarding is disabled")
    return host


def turn_on_ipv6() -> bool:
    """Turn IPv6 forwarding on for a network that needs it.

    A forwarding host ignores router advertisements (accept_ra 1): set 2 where the host uses them, so
    that it does not lose its own default route. Returns whether it is on.
    """
    if ipv6_forwarding():
        return True
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
