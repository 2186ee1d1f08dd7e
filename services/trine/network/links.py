"""Bridges, veth pairs and namespaces in the kernel. Every method blocks: call it in a thread.

Each thread keeps one netlink socket of the host's namespace. A container's namespace is made by the
thread itself (unshare), so its socket, its sysctls and its link are one excursion of about a millisecond.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import random
import re
import socket
import subprocess
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from trine.kit.errors import ConflictError, InternalError, InvalidArgumentError
from trine.kit.logs import get_logger
from trine.linux import netlink, netns
from trine.linux.netlink import Interface, Link, Message, Netlink, NetlinkError
from trine.network import conntrack
from trine.network.firewall.restore import finish_dns_redirect, start_dns_redirect
from trine.network.ipam import random_mac
from trine.network.model import Endpoint, Net, Network, Sandbox
from trine.network.plan import gateway6_endpoint, gateway_endpoint
from trine.network.resolv import EMBEDDED

_SYSCTL = re.compile(r"net(?:[./][A-Za-z0-9_@-]+)+")
# What Docker sets in every container's namespace, and what keeps a neighbour from configuring it.
DEFAULT_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.accept_dad": "0",
}


def check_sysctls(sysctls: Mapping[str, str]) -> None:
    """Refuse anything but net.* before anything is made. Raises InvalidArgumentError."""
    for key, value in sysctls.items():
        if not _SYSCTL.fullmatch(key):
            raise InvalidArgumentError(f'sysctl "{key}" is not in a separate kernel namespace')
        if "\n" in value or "\0" in value:
            raise InvalidArgumentError(f'sysctl "{key}" has an invalid value')


def _write_sysctl(key: str, value: str) -> None:
    descriptor = os.open("/proc/sys/" + key.replace(".", "/"), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def pin_path(exec_root: Path, identifier: str) -> str:
    """Return where a sandbox's namespace is pinned."""
    return os.fspath(exec_root / "netns" / identifier)


class Links:
    """The kernel's network objects, seen from the namespace the service was started in."""

    def __init__(self, exec_root: Path, variant: str = "") -> None:
        """Make ``<exec-root>/netns``. Raises OSError.

        ``variant`` is the iptables ("nft", "legacy") that redirects DNS inside sandboxes; empty: none.
        """
        self.exec_root = exec_root
        self._variant = variant
        (exec_root / "netns").mkdir(parents=True, exist_ok=True, mode=0o711)
        self._home = netns.open_current()
        self._local = threading.local()
        self._guards: dict[str, socket.socket] = {}
        self._indexes: dict[str, int] = {}

    @property
    def host(self) -> Netlink:
        """This thread's socket of the host's namespace, wherever the thread is now."""
        found: Netlink | None = getattr(self._local, "socket", None)
        if found is None:
            here = netns.open_current()
            try:
                with netns.inside(self._home, here):
                    found = self._local.socket = Netlink()
            finally:
                os.close(here)
        return found

    # Bridges

    def claim_bridge(self, name: str) -> None:
        """Make sure no other running instance uses this bridge.

        An abstract socket belongs to the network namespace, as the bridge does, and goes with its
        owner however that ends. Raises ConflictError.
        """
        if name in self._guards:
            return
        guard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            guard.bind(f"\0trine-network/bridge/{name}")
        except OSError as error:
            guard.close()
            raise ConflictError(
                f"bridge {name} is used by another trine-network: choose another with --bridge",
                reason="BRIDGE_IN_USE",
            ) from error
        self._guards[name] = guard

    def release_bridge(self, name: str) -> None:
        """Give a bridge's name free for others."""
        guard = self._guards.pop(name, None)
        if guard is not None:
            guard.close()

    def links(self) -> list[Link]:
        """Return all interfaces of the host."""
        return self.host.links()

    def find_bridge(self, name: str) -> tuple[Link, list[Interface]] | None:
        """Return a bridge and its addresses, None when there is no interface of that name.

        Raises ConflictError when the interface is something else.
        """
        link = next((link for link in self.links() if link.name == name), None)
        if link is None:
            return None
        if link.kind != "bridge":
            raise ConflictError(f"existing interface {name} is not a bridge", reason="BRIDGE_IN_USE")
        return link, self.host.addresses(link.index)

    def ensure_bridge(self, network: Network) -> None:
        """Make a network's bridge, or make what is there fit: address, MTU, up.

        Raises OSError, ConflictError.
        """
        found = self.find_bridge(network.bridge)
        if found is None:
            try:
                self.host.run([netlink.bridge_add(network.bridge, random_mac(), network.mtu)])
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
        index = self.host.link_index(network.bridge)
        # For icc=false, on this bridge alone: the host's switch sends all its bridges' frames to iptables.
        if not network.icc or not network.foreign_bridge:
            self.host.run([netlink.bridge_netfilter(network.bridge, not network.icc)])
        if network.foreign_bridge and found is not None and any(a.version == 4 for a in found[1]):
            self._indexes[network.bridge] = index
            return
        # A container must not configure the host by router advertisements (CVE-2020-13401).
        try:
            _write_sysctl(f"net/ipv6/conf/{network.bridge}/accept_ra", "0")
        except OSError:
            pass
        wanted: list[Interface] = [
            ipaddress.ip_interface(f"{pool.gateway}/{pool.network.prefixlen}") for pool in network.pools
        ]
        present = set(found[1]) if found is not None else set()
        messages = [
            netlink.address_delete(index, address)
            for address in present - set(wanted)
            if not address.ip.is_link_local
        ]
        messages += [netlink.address_add(index, address) for address in wanted if address not in present]
        if network.pool6 is not None:
            messages.append(netlink.address_add(index, ipaddress.ip_interface("fe80::1/64")))
        if found is None or not found[0].up or found[0].mtu != network.mtu:
            messages.append(netlink.link_set(network.bridge, up=True, mtu=network.mtu))
        self.host.run(messages)
        self._indexes[network.bridge] = index

    def delete_bridge(self, name: str) -> None:
        """Delete a bridge; one that is not there is fine. Raises OSError."""
        self._indexes.pop(name, None)
        self.host.run([netlink.link_delete(name)])

    def host_networks(self, without: Iterable[str] = ()) -> list[Net]:
        """Return the destinations the host has routes to, but not those of the given interfaces."""
        ignored = {link.index for link in self.links() if link.name in set(without)}
        return [net for net, index in self.host.routes() if index not in ignored]

    # Sandboxes

    def pin_host(self) -> str:
        """Pin the host's own namespace (for --network host); return the path."""
        path = pin_path(self.exec_root, "default")
        try:
            descriptor = netns.open_pin(path)
        except OSError:
            netns.unpin(path)
            netns.pin(self._home, path)
            return path
        same = os.path.sameopenfile(descriptor, self._home)
        os.close(descriptor)
        if not same:
            netns.unpin(path)
            netns.pin(self._home, path)
        return path

    def make_sandbox(self, sandbox: Sandbox, networks: Mapping[str, Network]) -> int:
        """Make a sandbox's namespace, pinned, with all its links; return the port of its DNS.

        Nothing is left when it raises.
        """
        port = 53
        try:
            with netns.fresh(self._home) as namespace:
                inside = Netlink()
                try:
                    for key, value in {**DEFAULT_SYSCTLS, **_early(sandbox.sysctls)}.items():
                        self._set_sysctl(key, value, required=key in sandbox.sysctls)
                    redirect = self._start_redirect() if sandbox.dns else None
                    inside.run([netlink.link_set("lo", up=True)])
                    self._plug(sandbox, sandbox.endpoints, networks, namespace, inside)
                    for key, value in sandbox.sysctls.items():
                        if key not in _early(sandbox.sysctls):
                            self._set_sysctl(key, value, required=True)
                    if redirect is not None:
                        port = self._finish_redirect(*redirect)
                    netns.pin(namespace, sandbox.netns_path)
                finally:
                    inside.close()
        except BaseException as error:
            self.clear(sandbox)
            netns.unpin(sandbox.netns_path)
            if isinstance(error, OSError):
                raise InternalError(
                    f"failed to create network sandbox: {error.strerror or error}", reason="SANDBOX"
                ) from error
            raise
        return port

    def _start_redirect(self) -> tuple[subprocess.Popen[str], int] | None:
        """Begin to redirect port 53 of 127.0.0.11 in the namespace this thread is in."""
        if not self._variant:
            return None
        port = random.randrange(32768, 61000)
        try:
            return start_dns_redirect(self._variant, EMBEDDED, port), port
        except OSError as error:
            get_logger("links").warning("embedded DNS takes port 53", error=str(error))
            return None

    @staticmethod
    def _finish_redirect(program: subprocess.Popen[str], port: int) -> int:
        """Return the port DNS is to listen on: 53 itself where it cannot be redirected."""
        complaint = finish_dns_redirect(program)
        if complaint:
            get_logger("links").warning("embedded DNS takes port 53", error=complaint)
            return 53
        return port

    @staticmethod
    def _set_sysctl(key: str, value: str, *, required: bool) -> None:
        try:
            _write_sysctl(key, value)
        except OSError as error:
            if required:
                raise InvalidArgumentError(
                    f"write sysctl key {key}: {(error.strerror or str(error)).lower()}", reason="SYSCTL"
                ) from error

    def add_endpoint(
        self, sandbox: Sandbox, endpoint: Endpoint, networks: Mapping[str, Network], starts_dns: bool
    ) -> int:
        """Plug one more link into a sandbox; ``sandbox`` has it among its endpoints already.

        Returns the port of its DNS, new when ``starts_dns``.
        """
        port = sandbox.dns_port
        try:
            namespace = netns.open_pin(sandbox.netns_path)
            try:
                with netns.inside(namespace, self._home):
                    inside = Netlink()
                    try:
                        redirect = self._start_redirect() if starts_dns else None
                        self._plug(sandbox, [endpoint], networks, namespace, inside)
                        if redirect is not None:
                            port = self._finish_redirect(*redirect)
                    finally:
                        inside.close()
            finally:
                os.close(namespace)
        except OSError as error:
            self.delete_link(endpoint.host_interface)
            raise InternalError(
                f"failed to add interface to sandbox: {error.strerror or error}", reason="SANDBOX"
            ) from error
        return port

    def _plug(
        self,
        sandbox: Sandbox,
        endpoints: Sequence[Endpoint],
        networks: Mapping[str, Network],
        namespace: int,
        inside: Netlink,
    ) -> None:
        plugged = [e for e in endpoints if e.host_interface]
        if not plugged:
            return
        for attempt in (1, 2):
            messages = [
                netlink.veth_add(
                    e.host_interface,
                    peer=e.interface,
                    peer_netns=namespace,
                    peer_mac=e.mac,
                    master=self._index(networks[e.network_id], fresh=attempt == 2),
                    mtu=networks[e.network_id].mtu,
                )
                for e in plugged
            ]
            try:
                self.host.run(messages)
                break
            except NetlinkError as error:
                for e in plugged:
                    self.delete_link(e.host_interface)
                if attempt == 2 or error.errno != errno.ENODEV:
                    raise
        messages = []
        for endpoint in plugged:
            index = inside.link_index(endpoint.interface)
            messages.append(netlink.link_set(endpoint.interface, up=True))
            if endpoint.ipv4:
                address = ipaddress.ip_interface(f"{endpoint.ipv4}/{endpoint.ipv4_prefix}")
                messages.append(netlink.address_add(index, address))
            if endpoint.ipv6:
                address = ipaddress.ip_interface(f"{endpoint.ipv6}/{endpoint.ipv6_prefix}")
                messages.append(netlink.address_add(index, address))
            for text in endpoint.link_local:
                address = ipaddress.ip_interface(f"{text}/{64 if ':' in text else 16}")
                messages.append(netlink.address_add(index, address))
            messages += _routes(sandbox, endpoint, index)
        inside.run(messages)

    def _index(self, network: Network, fresh: bool) -> int:
        if fresh or network.bridge not in self._indexes:
            self._indexes[network.bridge] = self.host.link_index(network.bridge)
        return self._indexes[network.bridge]

    def set_gateways(self, sandbox: Sandbox) -> None:
        """Make the default routes inside what the sandbox's endpoints say (after one was unplugged)."""
        namespace = netns.open_pin(sandbox.netns_path)
        try:
            with netns.inside(namespace, self._home):
                inside = Netlink()
                try:
                    messages: list[Message] = []
                    for endpoint in sandbox.endpoints:
                        if endpoint.interface:
                            messages += _routes(sandbox, endpoint, inside.link_index(endpoint.interface))
                    inside.run(messages)
                finally:
                    inside.close()
        finally:
            os.close(namespace)

    def forget_udp(self, ports: Collection[int], versions: Collection[int]) -> None:
        """Forget tracked UDP flows to host ports that were published or withdrawn just now."""
        try:
            conntrack.forget_udp(ports, versions)
        except OSError as error:
            get_logger("links").warning("cannot forget UDP flows", error=str(error))

    def delete_link(self, name: str) -> None:
        """Delete a link (its peer goes with it); one that is not there is fine. Takes 20 ms."""
        if name:
            self.host.run([netlink.link_delete(name)])

    def clear(self, sandbox: Sandbox) -> None:
        """Delete the host ends of a sandbox's links."""
        for endpoint in sandbox.endpoints:
            self.delete_link(endpoint.host_interface)

    def unpin(self, sandbox: Sandbox) -> None:
        """Let go of a sandbox's namespace; it ends with its last process and socket."""
        netns.unpin(sandbox.netns_path)

    def is_alive(self, sandbox: Sandbox) -> bool:
        """Tell whether a sandbox's namespace is still pinned."""
        try:
            os.close(netns.open_pin(sandbox.netns_path))
        except OSError:
            return False
        return True

    def pins(self) -> list[str]:
        """Return the names of all files in ``<exec-root>/netns``."""
        return sorted(entry.name for entry in os.scandir(self.exec_root / "netns"))

    def unpin_name(self, name: str) -> None:
        """Remove a file of ``<exec-root>/netns``, mounted or not."""
        netns.unpin(pin_path(self.exec_root, name))


def _early(sysctls: Mapping[str, str]) -> dict[str, str]:
    """Those to set before links exist: defaults that links inherit."""
    return {key: value for key, value in sysctls.items() if ".default." in key or ".all." in key}


def _routes(sandbox: Sandbox, endpoint: Endpoint, index: int) -> list[Message]:
    messages = []
    if gateway_endpoint(sandbox.endpoints) == endpoint:
        messages.append(netlink.default_route(ipaddress.ip_address(endpoint.ipv4_gateway), index))
    if gateway6_endpoint(sandbox.endpoints) == endpoint:
        messages.append(netlink.default_route(ipaddress.ip_address(endpoint.ipv6_gateway), index))
    return messages
