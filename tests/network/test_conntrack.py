"""Flows of connection tracking are forgotten: those to the ports that were named, and no others."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys

import pytest

from network import rig as r
from network.rig import Rig
from trine.network import conntrack


def flows() -> set[tuple[int, int, int]]:
    """What is tracked in this namespace: (family, protocol, port)."""
    from pyroute2 import NFCTSocket
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    found: set[tuple[int, int, int]] = set()
    for family in conntrack.FAMILIES.values():
        with NFCTSocket(nfgen_family=family) as dump:
            for flow in list(dump.dump()):
                if flow["nfgen_family"] == family:
                    way = NFCTAttrTuple.from_netlink(family, flow.get_attr("CTA_TUPLE_ORIG"))
                    found.add((family, way.proto, way.dport))
    return found


def test_only_what_was_named_is_forgotten(rig: Rig) -> None:
    for program in ("iptables-nft", "ip6tables-nft"):  # a rule that looks at flows turns tracking on
        rig.on_host(program, "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    four, six = conntrack.FAMILIES.values()

    def work() -> None:
        servers = [r.tcp_server(rig.host, 5301)]
        for family, address in ((four, "127.0.0.1"), (six, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                for number in (5300, 5301, 5302):
                    client.sendto(b"x", (address, number))
        with socket.create_connection(("127.0.0.1", 5301)) as client:
            client.makefile().readline()
        udp = {(family, socket.IPPROTO_UDP, n) for family in (four, six) for n in (5300, 5301, 5302)}
        tcp = (four, socket.IPPROTO_TCP, 5301)
        assert flows() >= udp | {tcp}
        assert conntrack.forget_udp({5301}, [6]) == conntrack.forget_udp({5301}) == 1
        assert flows() & (udp | {tcp}) == {flow for flow in udp if flow[2] != 5301} | {tcp}
        assert conntrack.forget_udp({5300, 5302, 9}) == 4
        assert flows() & (udp | {tcp}) == {tcp}
        assert conntrack.forget_udp({5300}) == 0
        for server in servers:
            r.stop(server)

    r.in_netns(rig.host, work)


def test_a_flow_that_ended_by_itself_is_fine() -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    class Gone:
        def __init__(self, code: int) -> None:
            self.code = code

        def entry(self, *_words: object, **_more: object) -> None:
            raise NetlinkError(self.code)

    assert conntrack._delete(Gone(errno.ENOENT), None) is False
    with pytest.raises(NetlinkError):
        conntrack._delete(Gone(errno.EPERM), None)


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    script = "import sys, trine.network.service, trine.network.servicer; print('pyroute2' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
