"""What hand-packed netlink messages made, told by a witness that shares no code with them: pyroute2."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from pyroute2 import IPRoute

from network import rig as r
from network.rig import Rig
from trine.linux.netlink import Netlink
from trine.v1 import network_pb2 as pb


def ask(path: str, question: Callable[[Any], list[Any]]) -> list[Any]:
    """Ask the witness in a namespace."""

    def work() -> list[Any]:
        with IPRoute() as route:
            return question(route)

    return r.in_netns(path, work)


def links(path: str) -> dict[str, Any]:
    return {link.get("ifname"): link for link in ask(path, lambda route: list(route.get_links()))}


def addresses(path: str, index: int) -> dict[str, Any]:
    found = ask(path, lambda route: list(route.get_addr(index=index)))
    return {f"{a.get('address')}/{a['prefixlen']}": a for a in found}


def defaults(path: str, family: int) -> list[tuple[str, int, int, int]]:
    found = ask(path, lambda route: list(route.get_default_routes(family=family)))
    return [(x.get("gateway"), x.get("oif"), x.get("table"), x["proto"]) for x in found]


def test_a_container_with_two_networks(host: Rig) -> None:
    wide = host.network(
        "a-wide",
        enable_ipv6=True,
        pools=[pb.IpamPool(subnet="10.91.0.0/22"), pb.IpamPool(subnet="fd00:91::/64")],
        options={"com.docker.network.driver.mtu": "1400"},
    )
    more = pb.EndpointRequest(network="a-wide", link_local_addresses=["169.254.5.5", "fe80::5:5"])
    sandbox = host.sandbox("one", "bridge", more)
    inside, outside = links(sandbox.netns_path), links(host.host)
    assert set(inside) == {"lo", "eth0", "eth1"}
    assert inside["lo"]["state"] == "up"
    for endpoint, bridge, mtu in zip(
        sandbox.endpoints, ("trine0", wide.bridge_name), (1500, 1400), strict=True
    ):
        end, peer = inside[endpoint.interface_name], outside[endpoint.host_interface_name]
        assert (end.get("address"), end.get("mtu"), end["state"]) == (endpoint.mac_address, mtu, "up")
        assert (peer.get("mtu"), peer["state"]) == (mtu, "up")
        assert peer.get(("linkinfo", "kind")) == end.get(("linkinfo", "kind")) == "veth"
        assert (end.get("link"), peer.get("link")) == (peer["index"], end["index"])
        assert peer.get("master") == outside[bridge]["index"]
        assert outside[bridge].get(("linkinfo", "kind")) == "bridge" and outside[bridge].get("mtu") == mtu
    first, second = (inside[e.interface_name]["index"] for e in sandbox.endpoints)
    four = addresses(sandbox.netns_path, first)["172.17.0.2/16"]
    assert (four.get("local"), four.get("broadcast"), four["scope"]) == ("172.17.0.2", "172.17.255.255", 0)
    both = addresses(sandbox.netns_path, second)
    assert both["10.91.0.2/22"].get("broadcast") == "10.91.3.255"
    assert both["fd00:91::2/64"].get("flags") & 0x42 == 0x02  # IFA_F_NODAD, and not tentative
    assert {"169.254.5.5/16", "fe80::5:5/64"} <= set(both)
    boot = 3  # RTPROT_BOOT, as ip route makes them
    assert defaults(sandbox.netns_path, socket.AF_INET) == [("10.91.0.1", second, 254, boot)]
    assert defaults(sandbox.netns_path, socket.AF_INET6) == [("fd00:91::1", second, 254, boot)]
    gateways = addresses(host.host, outside[wide.bridge_name]["index"])
    assert {"10.91.0.1/22", "fd00:91::1/64", "fe80::1/64"} <= set(gateways)
    assert gateways["10.91.0.1/22"].get("broadcast") == "10.91.3.255"
    host.stub.DeleteEndpoint(pb.DeleteEndpointRequest(sandbox_id="one", network="a-wide"))
    assert set(links(sandbox.netns_path)) == {"lo", "eth0"}
    assert defaults(sandbox.netns_path, socket.AF_INET) == [("172.17.0.1", first, 254, boot)]
    assert defaults(sandbox.netns_path, socket.AF_INET6) == []


def test_both_read_the_same(host: Rig) -> None:
    """Our own readers of links, addresses and routes, on a host with several kinds of each."""
    host.network("six", enable_ipv6=True)
    host.sandbox("one", "six")
    host.on_host("ip", "route", "add", "192.0.2.0/24", "via", r.OUTSIDE4)
    host.on_host("ip", "route", "add", "blackhole", "198.18.0.0/15")
    host.on_host("ip", "-6", "route", "add", "2001:db8:99::/48", "via", r.OUTSIDE6)

    def ours() -> tuple[Any, Any, Any]:
        netlink = Netlink()
        try:
            found = {link.name: link for link in netlink.links()}
            owned = {name: {str(a) for a in netlink.addresses(link.index)} for name, link in found.items()}
            return found, owned, {str(net) for net, _index in netlink.routes()}
        finally:
            netlink.close()

    try:
        found, owned, routes = r.in_netns(host.host, ours)
        theirs = links(host.host)
        assert set(found) == set(theirs)
        for name, link in found.items():
            other = theirs[name]
            kind = other.get(("linkinfo", "kind")) or ""
            assert (link.index, link.kind, link.mtu) == (other["index"], kind, other.get("mtu"))
            assert (link.mac, link.master) == (other.get("address"), other.get("master") or 0)
            assert link.up == (other["state"] == "up")
            assert owned[name] == set(addresses(host.host, link.index))
        main = ask(host.host, lambda route: list(route.get_routes(table=254)))
        assert routes == {f"{x.get('dst')}/{x['dst_len']}" for x in main if x["dst_len"]}
        assert {"192.0.2.0/24", "198.18.0.0/15", "2001:db8:99::/48"} <= routes
    finally:
        host.on_host("ip", "route", "delete", "192.0.2.0/24")
        host.on_host("ip", "route", "delete", "198.18.0.0/15")
        host.on_host("ip", "-6", "route", "delete", "2001:db8:99::/48")
