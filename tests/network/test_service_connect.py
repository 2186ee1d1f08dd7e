"""Containers connected to more networks while they run: who is the gateway, where ports are, names."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import signal
from pathlib import Path

import pytest

from network import rig as r
from network.rig import Rig, port, refused
from trine.linux import netlink, netns
from trine.network.store import SandboxStore
from trine.v1 import network_pb2 as pb


def connect(host: Rig, name: str, network: str) -> pb.CreateEndpointResponse:
    wish = pb.EndpointRequest(network=network)
    return host.stub.CreateEndpoint(pb.CreateEndpointRequest(sandbox_id=name, endpoint=wish), timeout=30)


def disconnect(host: Rig, name: str, network: str) -> pb.Sandbox:
    request = pb.DeleteEndpointRequest(sandbox_id=name, network=network)
    return host.stub.DeleteEndpoint(request, timeout=30).sandbox


def default_route(host: Rig, name: str, *family: str) -> str:
    lines = host.on_host("nsenter", f"--net={host.pin(name)}", "ip", *family, "route").splitlines()
    return next((" ".join(line.split()[:5]) for line in lines if line.startswith("default")), "")


def pool(subnet: str) -> list[pb.IpamPool]:
    return [pb.IpamPool(subnet=subnet)]


def test_the_default_gateway_is_the_first_network_by_name(host: Rig) -> None:
    host.network("b", pools=pool("10.90.2.0/24"))
    host.network("a", pools=pool("10.90.1.0/24"))
    host.network("0inside", pools=pool("10.90.3.0/24"), internal=True)
    host.sandbox("one", "b")
    assert default_route(host, "one") == "default via 10.90.2.1 dev eth0"
    connect(host, "one", "0inside")
    assert default_route(host, "one") == "default via 10.90.2.1 dev eth0"
    connect(host, "one", "a")
    assert default_route(host, "one") == "default via 10.90.1.1 dev eth2"
    assert r.ping(host.pin("one"), r.OUTSIDE4)
    disconnect(host, "one", "a")
    assert default_route(host, "one") == "default via 10.90.2.1 dev eth0"
    assert r.ping(host.pin("one"), r.OUTSIDE4)
    # A name that was an interface's once is nobody's again.
    assert connect(host, "one", "a").endpoint.interface_name == "eth3"
    disconnect(host, "one", "b")
    wish = pb.EndpointRequest(network="b", gateway_priority=7)
    host.stub.CreateEndpoint(pb.CreateEndpointRequest(sandbox_id="one", endpoint=wish))
    assert default_route(host, "one") == "default via 10.90.2.1 dev eth4"
    disconnect(host, "one", "a")
    disconnect(host, "one", "b")
    assert default_route(host, "one") == ""


def test_a_network_of_both_families_is_the_gateway_of_both(host: Rig) -> None:
    host.network("four", pools=pool("10.90.2.0/24"))
    host.network("six", enable_ipv6=True, pools=[*pool("10.90.1.0/24"), *pool("fd00:90::/64")])
    host.sandbox("one", "four")
    connect(host, "one", "six")
    assert default_route(host, "one") == "default via 10.90.1.1 dev eth1"
    assert default_route(host, "one", "-6") == "default via fd00:90::1 dev eth1"


def test_ports_move_with_the_gateway(host: Rig) -> None:
    """An answer leaves by the default gateway: the port must be redirected to the address there."""
    host.network("b", pools=pool("10.90.2.0/24"))
    host.network("a", pools=pool("10.90.1.0/24"))
    host.network("inside", pools=pool("10.90.3.0/24"), internal=True)
    web = host.sandbox("web", "b", ports=[port(8080, 80), port(0, 81), port(8080, 80, "udp")])
    servers = [r.tcp_server(web.netns_path, 80), r.udp_server(web.netns_path, 80)]

    def answers(gateway: str) -> None:
        assert r.tcp(host.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
        assert r.udp(host.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
        assert r.tcp(host.host, "127.0.0.1", 8080) == f"hello {gateway}"
        assert r.tcp(host.host, "::1", 8080) == f"hello {gateway}"

    answers("10.90.2.1")
    moved = connect(host, "web", "a").sandbox
    assert {(p.host_ip, p.container_port, p.protocol) for p in moved.ports} == {
        (p.host_ip, p.container_port, p.protocol) for p in web.ports
    }
    assert not any("10.90.2.2" in rule for rule in host.rules())
    answers("10.90.1.1")
    connect(host, "web", "inside")
    answers("10.90.1.1")
    assert len(disconnect(host, "web", "a").ports) == 6
    answers("10.90.2.1")
    assert list(disconnect(host, "web", "b").ports) == []
    assert r.tcp(host.host, "127.0.0.1", 8080, 0.3) == ""
    assert not any("DNAT" in rule for rule in host.rules())
    # The port is free for others now, and lost to this one while they have it.
    host.sandbox("other", "b", ports=[port(8080, 80)])
    with refused() as error:
        connect(host, "web", "b")
    assert "port is already allocated" in error[0].message
    assert default_route(host, "web") == "" and len(host.veths()) == 2
    host.delete("other")
    assert len(connect(host, "web", "b").sandbox.ports) == 6
    answers("10.90.2.1")
    for server in servers:
        r.stop(server)


def test_a_connection_that_fails_changes_nothing(host: Rig) -> None:
    """The new network is to be the gateway, but the port is another program's on its host address."""
    binding = "com.docker.network.bridge.host_binding_ipv4"
    host.network("b", pools=pool("10.90.2.0/24"), options={binding: "127.0.0.1"})
    host.network("a", pools=pool("10.90.1.0/24"), options={binding: r.HOST4})
    web = host.sandbox("web", "b", ports=[port(8091, 80)])
    server = r.tcp_server(web.netns_path, 80)
    blocker = r.tcp_server(host.host, 8091, r.HOST4)
    rules, links = sorted(host.rules()), host.links()
    with refused() as error:
        connect(host, "web", "a")
    assert "address already in use" in error[0].message
    assert (sorted(host.rules()), host.links()) == (rules, links)
    assert default_route(host, "web") == "default via 10.90.2.1 dev eth0"
    assert r.tcp(host.host, "127.0.0.1", 8091) == "hello 10.90.2.1"
    assert r.dns(host.pin("web"), "web")[1]
    r.stop(blocker)
    assert [p.host_ip for p in connect(host, "web", "a").sandbox.ports] == [r.HOST4]
    assert r.tcp(host.outside, r.HOST4, 8091) == f"hello {r.OUTSIDE4}"
    r.stop(server)


def test_dns_starts_with_the_first_network_that_has_it(host: Rig) -> None:
    host.network("app")
    host.sandbox("named", "app", hostname="apple")
    host.sandbox("late", "bridge")
    before = host.stub.CreateSandbox(pb.CreateSandboxRequest(id="late")).resolv_conf
    answer = connect(host, "late", "app")
    assert answer.old_resolv_conf == before
    assert answer.resolv_conf.startswith("nameserver 127.0.0.11\n") or "\nnameserver 127.0.0.11\n" in (
        answer.resolv_conf
    )
    assert r.dns(host.pin("late"), "named")[1] == r.dns(host.pin("late"), "apple")[1] != []
    host.network("more")
    assert connect(host, "late", "more").resolv_conf == ""  # as it was


def test_a_container_without_networks_gets_one(host: Rig) -> None:
    host.network("app")
    host.sandbox("bare", "none")
    with refused():
        connect(host, "bare", "app")
    disconnect(host, "bare", "none")
    assert connect(host, "bare", "app").endpoint.interface_name == "eth0"
    assert r.ping(host.pin("bare"), r.OUTSIDE4)


def test_killed_while_connecting(rig: Rig) -> None:
    """Behind the link and before the row: a link nobody knows, and it has the default route."""
    rig.start()
    rig.network("a", pools=pool("10.90.1.0/24"))
    rig.network("b", pools=pool("10.90.2.0/24"))
    web = rig.sandbox("web", "b", ports=[port(8080, 80)])
    server = r.tcp_server(web.netns_path, 80)
    bridge = rig.get_network("a").bridge_name
    rig.kill()

    def plug() -> None:
        host = netlink.Netlink()
        namespace = netns.open_pin(web.netns_path)
        master = host.link_index(bridge)
        mac = "02:42:0a:5a:01:02"
        host.run(
            [
                netlink.veth_add(
                    "vethdead", peer="eth1", peer_netns=namespace, peer_mac=mac, master=master, mtu=1500
                )
            ]
        )
        host.close()
        os.close(namespace)

    def route() -> None:
        inside = netlink.Netlink()
        index = inside.link_index("eth1")
        inside.run(
            [
                netlink.link_set("eth1", up=True),
                netlink.address_add(index, ipaddress.ip_interface("10.90.1.2/24")),
                netlink.default_route(ipaddress.ip_address("10.90.1.1"), index),
            ]
        )
        inside.close()

    r.in_netns(rig.host, plug)
    r.in_netns(web.netns_path, route)
    assert default_route(rig, "web") == "default via 10.90.1.1 dev eth1"
    rig.start()
    assert "vethdead" not in rig.links()
    assert default_route(rig, "web") == "default via 10.90.2.1 dev eth0"
    assert r.tcp(rig.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
    r.stop(server)


def test_killed_while_disconnecting(rig: Rig) -> None:
    """Behind the row, and before link, default route and ports."""
    rig.start()
    rig.network("a", pools=pool("10.90.1.0/24"))
    rig.network("b", pools=pool("10.90.2.0/24"))
    web = rig.sandbox("web", "b", ports=[port(8080, 80)])
    server = r.tcp_server(web.netns_path, 80)
    connect(rig, "web", "a")
    rig.kill()
    store = SandboxStore(rig.exec_root)
    (row,) = store.load()
    left, gone = row.endpoints
    remains = dataclasses.replace(row, endpoints=(gone,), requested_ports=(), ports=())
    store.shrink(dataclasses.replace(row, endpoints=(left,), ports=()), remains)
    store.close()
    rig.start()
    assert gone.host_interface not in rig.links()
    assert default_route(rig, "web") == "default via 10.90.2.1 dev eth0"
    assert r.tcp(rig.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
    assert rig.stub.GetSandbox(pb.GetSandboxRequest(id="web")).sandbox.ports[0].host_port == 8080
    r.stop(server)


def test_sigterm_ends_the_holder_and_another_takes_over(rig: Rig) -> None:
    rig.start()
    web = rig.sandbox("web", "bridge", ports=[port(8080, 80)])
    server = r.tcp_server(web.netns_path, 80)
    first = rig.holder_pid()
    os.kill(first, signal.SIGTERM)
    r.wait_for(lambda: _another(rig, first), "another holder")
    r.wait_for(lambda: r.tcp(rig.host, "127.0.0.1", 8080), "the port held again")
    r.stop(server)


def _another(rig: Rig, first: int) -> bool:
    try:
        return rig.holder_pid() != first
    except OSError:
        return False


def test_sctp_is_refused_where_the_kernel_has_none(host: Rig) -> None:
    if "SCTP" in Path("/proc/net/protocols").read_text():
        pytest.skip("this kernel has SCTP")
    with refused() as error:
        host.sandbox("one", "bridge", ports=[port(9000, 9000, "sctp")])
    assert error[0].message.endswith("Error starting userland proxy: protocol not supported")
    assert not host.veths()
