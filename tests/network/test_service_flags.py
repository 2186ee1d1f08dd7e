"""The service under other flags and on other hosts: each flag does what dockerd's does."""

from __future__ import annotations

import functools
import os
import signal
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from network import rig as r
from network.rig import Rig, port
from trine.v1 import network_pb2 as pb


def info(host: Rig) -> pb.GetNetworkInfoResponse:
    return host.stub.GetNetworkInfo(pb.GetNetworkInfoRequest())


def test_forwarding_is_turned_on_and_the_host_is_no_open_router(each_backend: Rig) -> None:
    host = each_backend
    sysctl = "/proc/sys/net/ipv4/ip_forward"
    assert host.on_host("cat", sysctl).strip() == "0"
    host.start()
    assert host.on_host("cat", sysctl).strip() == "1"
    assert ":FORWARD DROP" in host.rules()
    found = info(host)
    assert found.ipv4_forwarding and not [w for w in found.warnings if "forwarding" in w]
    assert found.firewall_backend == f"iptables-{host.backend}"
    assert found.default_bridge == "trine0"
    assert "nameserver" in found.resolv_conf


def test_ipv6_forwarding_is_turned_on_when_needed_and_only_for_us(each_backend: Rig) -> None:
    host = each_backend
    host.start()
    assert not info(host).ipv6_forwarding
    assert ":FORWARD DROP" not in host.rules(6)
    host.network("six", enable_ipv6=True)
    assert info(host).ipv6_forwarding
    assert ":FORWARD DROP" in host.rules(6)
    assert r.ping(host.sandbox("one", "six").netns_path, r.OUTSIDE6)
    # The same after a boot that forgot both.
    host.kill()
    host.sysctl("net/ipv6/conf/all/forwarding", "0")
    host.on_host(f"ip6tables-{host.backend}", "-P", "FORWARD", "ACCEPT")
    host.start()
    assert info(host).ipv6_forwarding
    assert ":FORWARD DROP" in host.rules(6)


def test_cleanup_makes_the_host_no_router_again(each_backend: Rig) -> None:
    host = each_backend
    host.start()
    host.network("six", enable_ipv6=True)
    assert ":FORWARD DROP" in host.rules() and ":FORWARD DROP" in host.rules(6)
    host.restart()  # who turned it on is known to the next one too
    host.stop()
    subprocess.run(host.command("--cleanup"), check=True)
    for version, sysctl in ((4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding")):
        assert ":FORWARD ACCEPT" in host.rules(version)
        assert host.on_host("cat", f"/proc/sys/{sysctl}").strip() == "0"


def test_cleanup_leaves_forwarding_to_those_who_use_it(rig: Rig) -> None:
    rig.start()
    rig.on_host("iptables-nft", "-A", "FORWARD", "-s", "10.0.0.0/8", "-j", "ACCEPT")
    rig.stop()
    subprocess.run(rig.command("--cleanup"), check=True)
    assert ":FORWARD DROP" in rig.rules()
    assert rig.on_host("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"


def test_killed_between_forwarding_and_the_policy(rig: Rig) -> None:
    """The host is an open router at this moment: the next start must close it."""
    rig.start()
    rig.kill()
    (rig.exec_root / "forwarding.json").write_text('{"4": "turning on"}')
    rig.on_host("iptables-nft", "-P", "FORWARD", "ACCEPT")
    rig.start()
    assert ":FORWARD DROP" in rig.rules()
    # Once: who opens it by hand later is not contradicted.
    rig.on_host("iptables-nft", "-P", "FORWARD", "ACCEPT")
    rig.restart()
    assert ":FORWARD ACCEPT" in rig.rules()


def test_forwarding_that_was_on_leaves_the_policy(rig: Rig) -> None:
    rig.sysctl("net/ipv4/ip_forward", "1")
    rig.start()
    assert ":FORWARD ACCEPT" in rig.rules()


def test_forwarding_left_off_is_told(rig: Rig) -> None:
    rig.start("--ip-forward=false")
    assert not info(rig).ipv4_forwarding
    assert "WARNING: IPv4 forwarding is disabled" in info(rig).warnings
    assert "IPv4 forwarding is disabled" in rig.log()


def test_forwarding_that_cannot_be_turned_on_is_told(rig: Rig) -> None:
    """As in a container without --privileged: /proc/sys is read-only."""
    plain = rig.command
    read_only = 'mount --bind -o ro /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    rig.command = lambda *more: ["unshare", "-m", "sh", "-c", read_only, "sh", *plain(*more)]  # type: ignore[method-assign]
    rig.start()
    warnings = [w for w in info(rig).warnings if "IPv4 forwarding" in w]
    assert len(warnings) == 1 and "sysctl -w net.ipv4.ip_forward=1" in warnings[0]
    assert rig.sandbox("one", "bridge").endpoints[0].ipv4_address
    rig.stop()
    del rig.command


def test_without_iptables_the_holder_relays_everything(rig: Rig) -> None:
    before = rig.rules()
    rig.start("--iptables=false")
    rig.network("app")
    one = rig.sandbox("one", "app", ports=[port(8080, 80), port(5300, 5353, "udp")])
    two = rig.sandbox("two", "app")
    servers = [r.tcp_server(one.netns_path, 80), r.udp_server(one.netns_path, 5353)]
    for address in (r.HOST4, r.HOST6):
        assert r.tcp(rig.outside, address, 8080).startswith("hello")
        assert r.udp(rig.outside, address, 5300).startswith("hello")
    assert r.tcp(rig.host, "127.0.0.1", 8080).startswith("hello")
    assert r.dns(two.netns_path, "one")[1]
    assert rig.rules() == before
    assert info(rig).firewall_backend == "none"
    for server in servers:
        r.stop(server)


def link_local(path: str) -> bool:
    """Tell whether eth0 has its address of fe80::/10 and may use it."""
    found = r.run("nsenter", f"--net={path}", "ip", "-6", "address", "show", "eth0", "scope", "link")
    return "fe80::" in found and "tentative" not in found


def test_default_network_without_icc_and_masquerading(rig: Rig) -> None:
    rig.start("--icc=false", "--ip-masq=false", "--mtu", "1400")
    one, two = rig.sandbox("one", "bridge"), rig.sandbox("two", "bridge")
    assert not r.ping(one.netns_path, two.endpoints[0].ipv4_address, 0.3)
    for sandbox in (one, two):
        r.wait_for(functools.partial(link_local, sandbox.netns_path), "a link-local address")
    assert not r.ping(one.netns_path, "fe80::42:acff:fe11:3%eth0", 0.3)
    assert "mtu 1400" in r.run("nsenter", f"--net={one.netns_path}", "ip", "link", "show", "eth0")
    rig.outside_route("172.17.0.0/16")  # routed, not masqueraded
    server = r.tcp_server(rig.outside, 7001)
    assert r.tcp(one.netns_path, r.OUTSIDE4, 7001) == "hello 172.17.0.2"
    r.stop(server)


def test_link_local_neighbours_reach_each_other_with_icc(rig: Rig) -> None:
    """The check above can fail: with icc the same ping comes back."""
    rig.start()
    one, _two = rig.sandbox("one", "bridge"), rig.sandbox("two", "bridge")
    # The kernel gives the addresses in its own time, after the carrier.
    r.wait_for(lambda: r.ping(one.netns_path, "fe80::42:acff:fe11:3%eth0", 0.3), "an answer")


def test_no_default_network(rig: Rig) -> None:
    rig.start("--bridge", "none")
    assert [n.name for n in rig.stub.ListNetworks(pb.ListNetworksRequest()).networks] == ["host", "none"]
    rig.network("app")
    assert r.ping(rig.sandbox("one", "app").netns_path, r.OUTSIDE4)


def test_bip_fixed_cidr_pools_and_ipv6(rig: Rig) -> None:
    rig.start(
        "--bip", "10.60.0.1/24", "--fixed-cidr", "10.60.0.64/26", "--ipv6", "--fixed-cidr-v6", "fd60::/64",
        "--default-address-pool", "base=10.61.0.0/16,size=24", "--dns", "9.9.9.9",
    )  # fmt: skip
    answer = rig.stub.CreateSandbox(
        pb.CreateSandboxRequest(id="one", endpoints=[pb.EndpointRequest(network="bridge")])
    )
    endpoint = answer.sandbox.endpoints[0]
    assert (endpoint.ipv4_address, endpoint.ipv6_address) == ("10.60.0.64", "fd60::2")
    assert "nameserver 9.9.9.9\n" in answer.resolv_conf
    assert r.ping(answer.sandbox.netns_path, r.OUTSIDE6)
    assert [p.subnet for p in rig.network("app").pools] == ["10.61.0.0/24"]
    assert [p.subnet for p in rig.network("app2").pools] == ["10.61.1.0/24"]


def test_another_bip_waits_for_running_containers(rig: Rig) -> None:
    rig.start()
    rig.sandbox("one", "bridge")
    rig.restart("--bip", "10.60.0.1/24")
    assert rig.get_network("bridge").pools[0].subnet == "172.17.0.0/16"
    assert r.ping(rig.pin("one"), r.OUTSIDE4)
    rig.delete("one")
    rig.restart("--bip", "10.60.0.1/24")
    assert rig.sandbox("two", "bridge").endpoints[0].ipv4_address == "10.60.0.2"
    assert r.ping(rig.pin("two"), r.OUTSIDE4)
    assert not any("172.17" in rule for rule in rig.rules())


def test_auto_follows_who_has_rules(rig: Rig) -> None:
    rig.backend = "auto"
    rig.start()
    assert info(rig).firewall_backend == "iptables-nft"  # what iptables is on Debian 12
    rig.stop()
    subprocess.run(rig.command("--cleanup"), check=True)
    rig.on_host("iptables-nft", "-F", "FORWARD")
    rig.on_host("iptables-nft", "-P", "FORWARD", "ACCEPT")
    rig.on_host("iptables-legacy", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
    rig.start()
    assert info(rig).firewall_backend == "iptables-legacy"
    # Sticky: our chains decide, whatever others add later.
    rig.on_host("iptables-legacy", "-D", "INPUT", "-i", "lo", "-j", "ACCEPT")
    rig.on_host("iptables-nft", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
    rig.restart()
    assert info(rig).firewall_backend == "iptables-legacy"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--bip", "10.0.0.0/24"], 'invalid argument "10.0.0.0/24" for "--bip"'),
        (["--dns", "here"], "here is not an ip address"),
        (["--default-address-pool", "x"], "--default-address-pool"),
        (["--mtu", "9"], "invalid MTU 9"),
        (["--bridge", "lo"], "existing interface lo is not a bridge"),
        (["--data-root", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_bad_flags_are_one_line_and_exit_1(rig: Rig, flags: list[str], message: str) -> None:
    done = subprocess.run(rig.command(*flags), capture_output=True, text=True, timeout=30, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("trine-network: ")]
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in done.stderr
    assert "trine0" not in rig.links()


def test_a_damaged_database_is_one_line(rig: Rig) -> None:
    rig.start()
    rig.stop()
    (rig.data_root / "network" / "network.db").write_bytes(b"not a database" * 300)
    for name in ("network.db-wal", "network.db-shm", "network.db.copy"):
        (rig.data_root / "network" / name).unlink(missing_ok=True)
    done = subprocess.run(rig.command(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "file is not a database" in done.stderr.splitlines()[-1]


def test_roots_have_one_owner(rig: Rig) -> None:
    rig.start("--bridge", "none")
    for other in (["--data-root", f"{rig.directory}/other"], ["--exec-root", f"{rig.directory}/other"]):
        command = [*rig.command("--bridge", "none", "--listen", f"unix://{rig.directory}/s"), *other]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "another trine-network uses" in done.stderr
    assert info(rig).default_bridge == ""


def _dns_server(host: Rig, kind: int) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((r.OUTSIDE4, 53))
        if kind == socket.SOCK_STREAM:
            made.listen()
        return made

    return r.in_netns(host.outside, make)


def _reply(query: bytes) -> bytes:
    return (
        query[:2]
        + b"\x81\x80"
        + query[4:6]
        + b"\0\1\0\0\0\0"
        + query[12:]
        + (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4")
    )


def _ask_by_tcp(path: str, *names: str) -> list[tuple[int, list[bytes]]]:
    def work() -> list[tuple[int, list[bytes]]]:
        found = []
        with socket.create_connection(("127.0.0.11", 53), 5) as client:
            reader = client.makefile("rb")
            for name in names:
                labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
                query = struct.pack(">HHHHHH", 9, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
                client.sendall(struct.pack(">H", len(query)) + query)
                length = struct.unpack(">H", reader.read(2))[0]
                found.append(r.parse_dns(reader.read(length), len(query)))
        return found

    return r.in_netns(path, work)


def test_dns_by_tcp_and_the_next_server(rig: Rig) -> None:
    rig.start()
    rig.network("app")
    # The first server refuses, the second answers.
    one = rig.sandbox("one", "app", dns_servers=["198.51.100.99", r.OUTSIDE4])
    r.run("ip", "-n", rig._names[1], "address", "add", "198.51.100.99/24", "dev", "out0")
    address = socket.inet_aton(one.endpoints[0].ipv4_address)
    by_tcp, by_udp = _dns_server(rig, socket.SOCK_STREAM), _dns_server(rig, socket.SOCK_DGRAM)

    def serve_tcp() -> None:
        client, _ = by_tcp.accept()
        with client:
            reader = client.makefile("rb")
            query = reader.read(struct.unpack(">H", reader.read(2))[0])
            answer = _reply(query)
            client.sendall(struct.pack(">H", len(answer)) + answer)

    def serve_udp() -> None:
        query, asker = by_udp.recvfrom(4096)
        by_udp.sendto(_reply(query), asker)

    with ThreadPoolExecutor(2) as pool:
        serving = [pool.submit(serve_tcp), pool.submit(serve_udp)]
        assert _ask_by_tcp(one.netns_path, "one", "example.org", "one") == [
            (0, [address]),
            (0, [b"\1\2\3\4"]),
            (0, [address]),
        ]
        assert r.dns(one.netns_path, "example.net") == (0, [b"\1\2\3\4"])
        for server in serving:
            server.result()
    by_tcp.close()
    by_udp.close()
    # Names are answered while the service is down.
    os.kill(rig.process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
    assert r.dns(one.netns_path, "one") == (0, [address])
    os.kill(rig.process.pid, signal.SIGCONT)  # type: ignore[union-attr]
