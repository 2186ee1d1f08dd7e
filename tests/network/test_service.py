"""The service alone on a host, as a neighbour and a container see it: sandboxes, ports, isolation, names."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from network import rig as r
from network.rig import Rig, port, refused
from trine.v1 import network_pb2 as pb


def test_default_network_is_as_in_docker_network_inspect(host: Rig) -> None:
    network = host.get_network("bridge")
    assert (network.driver, network.scope, network.builtin) == ("bridge", "local", True)
    assert dict(network.options) == {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": "trine0",
        "com.docker.network.driver.mtu": "1500",
    }
    assert [(p.subnet, p.gateway) for p in network.pools] == [("172.17.0.0/16", "172.17.0.1")]
    listed = host.stub.ListNetworks(pb.ListNetworksRequest()).networks
    assert [n.name for n in listed] == ["bridge", "host", "none"]


def test_first_container_looks_as_dockers(host: Rig) -> None:
    answer = host.stub.CreateSandbox(
        pb.CreateSandboxRequest(
            id="a" * 64, container_name="web", endpoints=[pb.EndpointRequest(network="bridge")]
        )
    )
    endpoint = answer.sandbox.endpoints[0]
    assert endpoint.ipv4_address == "172.17.0.2"
    assert endpoint.mac_address == "02:42:ac:11:00:02"
    assert (endpoint.interface_name, endpoint.ipv4_gateway) == ("eth0", "172.17.0.1")

    def eth0() -> dict[str, Any]:
        inside = json.loads(r.run("nsenter", f"--net={host.pin('a' * 64)}", "ip", "-j", "addr"))
        return next(link for link in inside if link["ifname"] == "eth0")

    assert eth0()["address"] == "02:42:ac:11:00:02"
    wanted = {"172.17.0.2", "fe80::42:acff:fe11:2"}  # the kernel makes the second when the link is up
    r.wait_for(lambda: {a["local"] for a in eth0()["addr_info"]} == wanted, "both addresses")
    routes = r.run("nsenter", f"--net={host.pin('a' * 64)}", "ip", "route")
    assert "default via 172.17.0.1 dev eth0" in routes
    assert (
        r.in_netns(
            host.pin("a" * 64), lambda: open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()
        ).strip()
        == "0"
    )
    assert answer.sandbox.dns_server == ""
    assert "127." not in answer.resolv_conf


def test_creation_is_idempotent_and_deletion_too(host: Rig) -> None:
    first = host.sandbox("same", "bridge")
    assert host.sandbox("same", "bridge") == first
    host.delete("same")
    host.delete("same")
    with refused() as error:
        host.stub.GetSandbox(pb.GetSandboxRequest(id="same"))
    assert error[0].reason == "NO_SUCH_SANDBOX"
    r.wait_for(lambda: not host.veths(), "links gone")
    assert not host.pins()


def test_containers_reach_each_other_the_host_and_the_world(host: Rig) -> None:
    one, two = host.sandbox("one", "bridge"), host.sandbox("two", "bridge")
    assert r.ping(one.netns_path, two.endpoints[0].ipv4_address)
    assert r.ping(one.netns_path, "172.17.0.1")
    assert r.ping(one.netns_path, r.OUTSIDE4)
    server = r.tcp_server(host.outside, 7001)
    # Masqueraded: the world sees the host's address.
    assert r.tcp(one.netns_path, r.OUTSIDE4, 7001) == f"hello {r.HOST4}"
    r.stop(server)


def test_published_port_from_everywhere(host: Rig) -> None:
    web = host.sandbox("web", "bridge", ports=[port(8080, 80)])
    other = host.sandbox("other", "bridge")
    assert [(p.host_ip, p.host_port, p.container_port) for p in web.ports] == [
        ("0.0.0.0", 8080, 80),
        ("::", 8080, 80),
    ]
    server = r.tcp_server(web.netns_path, 80)
    # From outside the container sees the true client; from the host, the bridge or the host.
    assert r.tcp(host.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
    assert r.tcp(host.outside, r.HOST6, 8080).startswith("hello")
    assert r.tcp(host.host, "127.0.0.1", 8080) == "hello 172.17.0.1"
    assert r.tcp(host.host, "::1", 8080) == "hello 172.17.0.1"
    assert r.tcp(host.host, r.HOST4, 8080).startswith("hello")
    assert r.tcp(host.host, "172.17.0.1", 8080).startswith("hello")
    # Hairpin: a neighbour and the container itself, through the host's addresses.
    for sandbox in (web, other):
        assert r.tcp(sandbox.netns_path, r.HOST4, 8080) == "hello 172.17.0.1"
        assert r.tcp(sandbox.netns_path, "172.17.0.1", 8080) == "hello 172.17.0.1"
    r.stop(server)


def test_published_udp_port(host: Rig) -> None:
    web = host.sandbox("dns", "bridge", ports=[port(5300, 53, "udp")])
    server = r.udp_server(web.netns_path, 53)
    assert r.udp(host.outside, r.HOST4, 5300) == f"hello {r.OUTSIDE4}"
    assert r.udp(host.outside, r.HOST6, 5300).startswith("hello")
    for address in ("127.0.0.1", "::1", r.HOST4):
        assert r.udp(host.host, address, 5300).startswith("hello")
    assert r.udp(web.netns_path, r.HOST4, 5300).startswith("hello")
    r.stop(server)


def test_relay_carries_much_data_both_ways_and_half_close(host: Rig) -> None:
    web = host.sandbox("bulk", "bridge", ports=[port(8081, 80)])
    server = r.tcp_server(web.netns_path, 80)
    blob = bytes(range(256)) * 40_000

    def work() -> bytes:
        with socket.create_connection(("127.0.0.1", 8081), 20) as client:
            reader = client.makefile("rb")
            assert reader.readline().startswith(b"hello")
            with ThreadPoolExecutor(1) as pool:

                def send() -> None:
                    client.sendall(blob)
                    client.shutdown(socket.SHUT_WR)

                sending = pool.submit(send)
                found = reader.read()
                sending.result()
            return found

    assert r.in_netns(host.host, work) == blob
    r.stop(server)


def test_nobody_listens_in_the_container(host: Rig) -> None:
    host.sandbox("empty", "bridge", ports=[port(8082, 80)])

    def work() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", 8082), 5) as client:
                return client.recv(1)
        except ConnectionResetError:
            return b"reset"

    assert r.in_netns(host.host, work) == b"reset"


def test_a_neighbour_does_not_reach_what_is_not_published(host: Rig) -> None:
    web = host.sandbox("web", "bridge", ports=[port(8080, 80), port(8090, 90, ip="127.0.0.1")])
    address = web.endpoints[0].ipv4_address
    servers = [r.tcp_server(web.netns_path, number) for number in (80, 81, 90)]
    host.outside_route("172.17.0.0/16")
    assert r.tcp(host.host, address, 81).startswith("hello")  # the check can fail: it does answer
    assert r.tcp(host.outside, address, 81, 0.3) == ""
    assert not r.ping(host.outside, address, 0.3)
    # Published on loopback only: not from outside, not even by a neighbour that routes 127.0.0.0/8 here.
    assert r.tcp(host.host, "127.0.0.1", 8090).startswith("hello")
    assert r.tcp(host.outside, r.HOST4, 8090, 0.3) == ""
    r.run("ip", "-n", host._names[1], "address", "del", "127.0.0.1/8", "dev", "lo")
    r.run("ip", "-n", host._names[1], "route", "add", "127.0.0.1", "via", r.HOST4)
    r.in_netns(host.outside, lambda: open("/proc/sys/net/ipv4/conf/all/route_localnet", "w").write("1"))
    r.in_netns(host.host, lambda: open("/proc/sys/net/ipv4/conf/ext0/route_localnet", "w").write("1"))
    try:
        assert r.tcp(host.outside, "127.0.0.1", 8090, 0.3, source=r.OUTSIDE4) == ""
        # The guard is what stops it: without its rule the neighbour gets in.
        rule = ["PREROUTING", "-i", "ext0", "-j", "ACCEPT"]
        host.on_host("iptables-nft", "-t", "raw", "-I", *rule)
        assert r.tcp(host.outside, "127.0.0.1", 8090, source=r.OUTSIDE4).startswith("hello")
        host.on_host("iptables-nft", "-t", "raw", "-D", *rule)
    finally:
        r.run("ip", "-n", host._names[1], "address", "add", "127.0.0.1/8", "dev", "lo")
        for server in servers:
            r.stop(server)


def test_port_conflicts_are_found_before_anything_is_left(host: Rig) -> None:
    host.sandbox("first", "bridge", ports=[port(8080, 80)])
    r.wait_for(lambda: len(host.veths()) == 1, "earlier links gone")
    before = host.rules()
    with refused() as error:
        host.sandbox("second", "bridge", ports=[port(8079, 79), port(8080, 80)])
    assert error[0].reason == "PORT_ALLOCATED"
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in error[0].message
    assert error[0].message.startswith("driver failed programming external connectivity on endpoint second (")
    with refused() as error:
        host.sandbox("second", "bridge", ports=[port(8080, 80, ip="127.0.0.1")])
    assert "Bind for 127.0.0.1:8080 failed: port is already allocated" in error[0].message
    assert host.rules() == before
    assert host.pins() == {"first"}
    assert len(host.veths()) == 1
    # 8079 was let go, UDP is another space, and so is a second attempt after the first is gone.
    host.sandbox("third", "bridge", ports=[port(8079, 79), port(8080, 80, "udp")])
    host.delete("first")
    host.sandbox("second", "bridge", ports=[port(8080, 80)])


def test_port_of_another_process(host: Rig) -> None:
    taken = r.tcp_server(host.host, 8085, host="0.0.0.0")
    with refused() as error:
        host.sandbox("loser", "bridge", ports=[port(8085, 80)])
    assert "listen tcp4 0.0.0.0:8085: bind: address already in use" in error[0].message
    r.stop(taken)
    with refused() as error:
        host.sandbox("loser", "bridge", ports=[port(8085, 80, ip="203.0.113.9")])
    assert "cannot assign requested address" in error[0].message


def test_free_ports_and_ranges(host: Rig) -> None:
    many = host.sandbox("many", "bridge", ports=[port(0, 80), port(0, 81), port(9000, 82, end=9001)])
    numbers = {p.container_port: p.host_port for p in many.ports}
    assert numbers[80] != numbers[81] and numbers[80] >= 32768
    assert numbers[82] == 9000
    assert {p.host_port for p in host.sandbox("b", "bridge", ports=[port(9000, 82, end=9001)]).ports} == {
        9001
    }
    with refused() as error:
        host.sandbox("c", "bridge", ports=[port(9000, 82, end=9001)])
    assert error[0].reason == "PORT_ALLOCATED" and "all ports are allocated" in error[0].message


def test_free_ports_are_of_the_hosts_range(host: Rig) -> None:
    before = host.on_host("cat", "/proc/sys/net/ipv4/ip_local_port_range")
    host.sysctl("net/ipv4/ip_local_port_range", "45000 45001")
    try:
        first = host.sandbox("first", "bridge", ports=[port(0, 80)]).ports[0].host_port
        second = host.sandbox("second", "bridge", ports=[port(0, 80)]).ports[0].host_port
        assert {first, second} == {45000, 45001}
        with refused() as error:
            host.sandbox("third", "bridge", ports=[port(0, 80)])
        assert "all ports are allocated" in error[0].message
        host.delete("first")
        assert host.sandbox("third", "bridge", ports=[port(0, 80)]).ports[0].host_port == first
    finally:
        host.sysctl("net/ipv4/ip_local_port_range", before)


def test_networks_are_isolated_from_each_other(host: Rig) -> None:
    host.network("left")
    host.network("right")
    one = host.sandbox("one", "left", ports=[port(8087, 80)])
    two, three = host.sandbox("two", "right"), host.sandbox("three", "bridge")
    server = r.tcp_server(one.netns_path, 80)
    address = one.endpoints[0].ipv4_address
    for sandbox in (two, three):
        assert not r.ping(sandbox.netns_path, address, 0.3)
        assert r.tcp(sandbox.netns_path, address, 80, 0.3) == ""
        # … but through the published port, as anybody.
        assert r.tcp(sandbox.netns_path, r.HOST4, 8087).startswith("hello")
    assert r.ping(two.netns_path, r.OUTSIDE4)
    r.stop(server)


def test_no_inter_container_communication(host: Rig) -> None:
    switches = [f"net/bridge/bridge-nf-call-{name}" for name in ("iptables", "ip6tables")]
    for switch in switches:  # the host's switch is off, and stays so for everybody's bridges
        host.sysctl(switch, "0")
    closed = host.network("closed", options={"com.docker.network.bridge.enable_icc": "false"})
    assert [host.on_host("cat", f"/proc/sys/{switch}").strip() for switch in switches] == ["0", "0"]
    shown = json.loads(host.on_host("ip", "-j", "-d", "link", "show", closed.bridge_name))
    data = shown[0]["linkinfo"]["info_data"]
    assert (data["nf_call_iptables"], data["nf_call_ip6tables"]) == (1, 1)
    one, two = host.sandbox("one", "closed"), host.sandbox("two", "closed")
    assert not r.ping(one.netns_path, two.endpoints[0].ipv4_address, 0.3)
    assert r.ping(one.netns_path, r.OUTSIDE4)
    host.network("open")
    three, four = host.sandbox("three", "open"), host.sandbox("four", "open")
    assert r.ping(three.netns_path, four.endpoints[0].ipv4_address)


def test_internal_network_has_no_way_out(host: Rig) -> None:
    host.network("inner", internal=True)
    one = host.sandbox("one", "inner", ports=[port(8088, 80)])
    two = host.sandbox("two", "inner")
    assert one.endpoints[0].ipv4_gateway == "" and not one.ports
    assert r.ping(one.netns_path, two.endpoints[0].ipv4_address)
    assert not r.ping(one.netns_path, r.OUTSIDE4, 0.3)
    # Even with a route of its own making.
    r.run(
        "nsenter",
        f"--net={one.netns_path}",
        "ip",
        "route",
        "add",
        "default",
        "via",
        host.get_network("inner").pools[0].gateway,
    )
    assert not r.ping(one.netns_path, r.OUTSIDE4, 0.3)
    assert r.dns(one.netns_path, "example.com")[0] == 2  # SERVFAIL: no way out for names either


def test_host_and_none(host: Rig) -> None:
    same = host.sandbox("h", "host")
    assert r.in_netns(same.netns_path, lambda: socket.if_nametoindex("trine0")) > 0
    lonely = host.sandbox("n", "none")
    assert r.in_netns(lonely.netns_path, socket.if_nameindex)[0][1] == "lo"
    assert len(r.in_netns(lonely.netns_path, socket.if_nameindex)) == 1
    loopback_only = host.sandbox("l")
    assert r.ping(loopback_only.netns_path, "127.0.0.1")
    assert [e.container_name for e in host.get_network("none").endpoints] == ["n"]
    host.delete("h")
    assert "trine0" in host.links()


def test_names(host: Rig) -> None:
    host.network("app")
    web = host.sandbox(
        "a" * 64, pb.EndpointRequest(network="app", aliases=["www", "Site"]), container_name="web"
    )
    client = host.sandbox("client", pb.EndpointRequest(network="app", links=["web:database"]))
    answer = host.stub.CreateSandbox(
        pb.CreateSandboxRequest(id="client", endpoints=[pb.EndpointRequest(network="app")])
    )
    assert answer.resolv_conf.splitlines()[0] == "nameserver 127.0.0.11"
    assert "options ndots:0" in answer.resolv_conf
    assert client.dns_server == "127.0.0.11"
    address = web.endpoints[0].ipv4_address
    for name in ("web", "WEB", "www", "site", "a" * 12, "web.app", "database"):
        assert r.dns(client.netns_path, name) == (0, [socket.inet_aton(address)]), name
    assert r.dns(client.netns_path, "web", 28) == (0, [])
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    code, records = r.dns(client.netns_path, reverse, 12)
    assert (code, r.names(records)) == (0, ["web.app"])
    # A rename is answered at once, a deleted one no more; other networks' names are not known.
    host.stub.RenameSandbox(pb.RenameSandboxRequest(id="a" * 64, container_name="shop"))
    assert r.dns(client.netns_path, "shop") == (0, [socket.inet_aton(address)])
    assert host.get_network("app").endpoints[0].container_name in ("shop", "client")
    host.network("far")
    stranger = host.sandbox("stranger", "far")
    assert r.dns(client.netns_path, "stranger")[1] == []
    assert r.dns(stranger.netns_path, "shop")[1] == []


def test_a_container_may_serve_dns_itself(host: Rig) -> None:
    host.network("app")
    one, two = host.sandbox("one", "app"), host.sandbox("two", "app")

    def bind() -> list[socket.socket]:
        made = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        for end in made:
            end.bind(("0.0.0.0", 53))
        return made

    own = r.in_netns(one.netns_path, bind)
    address = two.endpoints[0].ipv4_address
    assert r.dns(one.netns_path, "two") == (0, [socket.inet_aton(address)])
    for end in own:
        end.close()


def test_a_udp_client_that_never_pauses_reaches_the_new_container(host: Rig) -> None:
    """Its flow is tracked since the old one: connection tracking must be told."""

    def client() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(3)
        made.bind((r.OUTSIDE4, 4444))
        made.connect((r.HOST4, 5301))
        return made

    asker = r.in_netns(host.outside, client)
    for name in ("old", "new"):
        sandbox = host.sandbox(name, "bridge", ports=[port(5301, 53, "udp")])
        server = r.udp_server(sandbox.netns_path, 53, name)
        asker.send(b"?")
        assert asker.recv(100).startswith(name.encode())
        host.delete(name)
        r.stop(server)
    asker.close()


def test_unknown_names_go_upstream(host: Rig) -> None:
    def upstream() -> socket.socket:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind((r.OUTSIDE4, 53))
        return found

    server = r.in_netns(host.outside, upstream)
    host.network("app")
    one = host.sandbox("one", "app", dns_servers=[r.OUTSIDE4])
    with ThreadPoolExecutor(1) as pool:

        def answer() -> bytes:
            query, address = server.recvfrom(4096)
            header = query[:2] + b"\x81\x80" + query[4:6] + b"\0\1\0\0\0\0"
            server.sendto(header + query[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4", address)
            return query

        pending = pool.submit(answer)
        assert r.dns(one.netns_path, "example.org") == (0, [b"\1\2\3\4"])
        assert b"example" in pending.result()
    server.close()


def test_endpoints_come_and_go(host: Rig) -> None:
    host.network("app")
    one = host.sandbox("one", "bridge", ports=[port(8086, 80)])
    server = r.tcp_server(one.netns_path, 80)
    answer = host.stub.CreateEndpoint(
        pb.CreateEndpointRequest(sandbox_id="one", endpoint=pb.EndpointRequest(network="app", aliases=["x"]))
    )
    assert answer.endpoint.interface_name == "eth1"
    other = host.sandbox("other", "app")
    assert r.dns(other.netns_path, "x") == (0, [socket.inet_aton(answer.endpoint.ipv4_address)])
    assert r.ping(other.netns_path, answer.endpoint.ipv4_address)
    with refused() as error:
        host.stub.CreateEndpoint(
            pb.CreateEndpointRequest(sandbox_id="one", endpoint=pb.EndpointRequest(network="app"))
        )
    assert error[0].message == "endpoint with name one already exists in network app"
    # The port moves to the other network, and so does the way out.
    host.stub.DeleteEndpoint(pb.DeleteEndpointRequest(sandbox_id="one", network="bridge"))
    assert r.tcp(host.outside, r.HOST4, 8086).startswith("hello")
    assert r.tcp(host.host, "127.0.0.1", 8086).startswith("hello")
    assert r.ping(one.netns_path, r.OUTSIDE4)
    host.stub.DeleteEndpoint(pb.DeleteEndpointRequest(sandbox_id="one", network="app"))
    assert r.dns(other.netns_path, "x")[1] == []
    assert len(r.in_netns(one.netns_path, socket.if_nameindex)) == 1
    with refused() as error:
        host.stub.DeleteEndpoint(pb.DeleteEndpointRequest(sandbox_id="one", network="app"))
    assert error[0].message == "container one is not connected to network app"
    for name in ("app", "nowhere"):
        host.stub.DeleteEndpoint(pb.DeleteEndpointRequest(sandbox_id="one", network=name, force=True))
    r.stop(server)


def test_ipv6_network(host: Rig) -> None:
    host.network("six", enable_ipv6=True)
    pools = host.get_network("six").pools
    assert pools[1].subnet.startswith("fd") and pools[1].subnet.endswith("/64")
    one = host.sandbox("one", "six", ports=[port(8091, 80)])
    two = host.sandbox("two", "six")
    address = one.endpoints[0].ipv6_address
    server = r.tcp_server(one.netns_path, 80)
    assert r.ping(two.netns_path, address)
    assert r.tcp(two.netns_path, address, 80).startswith("hello fd")
    assert r.ping(one.netns_path, r.OUTSIDE6)
    assert r.tcp(host.outside, r.HOST6, 8091) == f"hello {r.OUTSIDE6}"
    assert r.tcp(host.host, "::1", 8091).startswith("hello")
    assert r.dns(two.netns_path, "one", 28) == (0, [socket.inet_pton(socket.AF_INET6, address)])
    host.outside_route(pools[1].subnet)
    assert r.tcp(host.outside, address, 80, 0.3) == ""
    host.network("six2", enable_ipv6=True)
    three = host.sandbox("three", "six2")
    assert not r.ping(three.netns_path, address, 0.3)
    r.stop(server)


def test_addresses_can_be_asked_for(host: Rig) -> None:
    host.network(
        "app",
        pools=[
            pb.IpamPool(
                subnet="10.99.0.0/24",
                ip_range="10.99.0.128/25",
                gateway="10.99.0.1",
                auxiliary_addresses={"router": "10.99.0.128"},
            )
        ],
    )
    asked = pb.EndpointRequest(network="app", ipv4_address="10.99.0.77", mac_address="02:42:00:00:00:99")
    one = host.sandbox("one", asked)
    assert (one.endpoints[0].ipv4_address, one.endpoints[0].mac_address) == (
        "10.99.0.77",
        "02:42:00:00:00:99",
    )
    assert host.sandbox("two", "app").endpoints[0].ipv4_address == "10.99.0.129"
    for request, message in (
        (asked, "Address already in use"),
        (
            pb.EndpointRequest(network="app", ipv4_address="10.98.0.1"),
            "Invalid address 10.98.0.1: It does not belong to any of this network's subnets",
        ),
        (
            pb.EndpointRequest(network="bridge", ipv4_address="172.17.0.9"),
            "user specified IP address is supported on user defined networks only",
        ),
        (pb.EndpointRequest(network="nowhere"), "network nowhere not found"),
    ):
        with refused() as error:
            host.sandbox("three", request)
        assert error[0].message == message
    assert host.pins() == {"one", "two"}


def test_a_bridge_that_exists_is_used_and_left(host: Rig) -> None:
    name = host._names[0]
    r.run("ip", "-n", name, "link", "add", "lan0", "type", "bridge")
    r.run("ip", "-n", name, "address", "add", "10.44.0.9/24", "dev", "lan0")
    r.run("ip", "-n", name, "link", "set", "lan0", "up")
    host.network("lan", options={"com.docker.network.bridge.name": "lan0"})
    one = host.sandbox("one", "lan")
    assert (one.endpoints[0].ipv4_address, one.endpoints[0].ipv4_gateway) == ("10.44.0.1", "10.44.0.9")
    assert r.ping(one.netns_path, r.OUTSIDE4)
    host.delete("one")
    host.stub.DeleteNetwork(pb.DeleteNetworkRequest(name="lan"))
    assert "lan0" in host.links()
    r.run("ip", "-n", name, "link", "delete", "lan0")


def test_sysctls(host: Rig) -> None:
    one = host.sandbox(
        "one", "bridge", sysctls={"net.ipv4.conf.eth0.rp_filter": "2", "net.core.somaxconn": "77"}
    )
    for key, value in (("ipv4/conf/eth0/rp_filter", "2"), ("core/somaxconn", "77")):
        assert r.run("nsenter", f"--net={one.netns_path}", "cat", f"/proc/sys/net/{key}").strip() == value
    for sysctls in ({"kernel.shmmax": "1"}, {"net.ipv4.nonsense": "1"}, {"net/../kernel/x": "1"}):
        with refused():
            host.sandbox("two", "bridge", sysctls=sysctls)
    assert host.pins() == {"one"}


def test_fifty_at_once(host: Rig) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(
            pool.map(
                lambda n: host.sandbox(f"c{n}", "bridge", ports=[port(0, 80)] if n % 5 == 0 else []),
                range(50),
            )
        )
        addresses = {s.endpoints[0].ipv4_address for s in made}
        assert len(addresses) == 50
        assert len(host.veths()) >= 50
        assert all(pool.map(lambda s: r.ping(s.netns_path, "172.17.0.1", 5), made[::7]))
        list(pool.map(lambda s: host.delete(s.id), made))
    r.wait_for(lambda: not host.veths(), "all links gone")
    assert not any("DNAT" in line for line in host.rules())
    assert not host.pins()
