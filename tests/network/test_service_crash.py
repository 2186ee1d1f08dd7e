"""kill -9 of the service, of the port holder and of both, with containers running; and clean removal."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from network import rig as r
from network.rig import Rig, port
from trine.v1 import network_pb2 as pb


def furnish(host: Rig) -> list[socket.socket]:
    """Two containers with names, one of them with a port, and the servers in it."""
    host.network("app")
    web = host.sandbox("web", "app", ports=[port(8080, 80), port(8080, 80, "udp")])
    host.sandbox("client", "app")
    return [r.tcp_server(web.netns_path, 80), r.udp_server(web.netns_path, 80)]


def check(host: Rig) -> None:
    """Everything a running container relies on."""
    assert r.tcp(host.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
    assert r.tcp(host.host, "127.0.0.1", 8080).startswith("hello")
    assert r.tcp(host.host, "::1", 8080).startswith("hello")
    assert r.udp(host.host, "127.0.0.1", 8080).startswith("hello")
    assert r.dns(host.pin("client"), "web")[1]
    assert r.ping(host.pin("client"), r.OUTSIDE4)


def test_service_killed_and_adopted(each_backend: Rig) -> None:
    host = each_backend
    host.start()
    servers = furnish(host)
    check(host)
    holder, rules, links = host.holder_pid(), host.rules(), host.links()
    host.kill()
    check(host)
    host.start()
    assert host.holder_pid() == holder
    assert host.rules() == rules and host.links() == links
    check(host)
    again = host.stub.GetSandbox(pb.GetSandboxRequest(id="web")).sandbox
    assert {p.host_port for p in again.ports} == {8080}
    assert host.sandbox("third", "app").endpoints[0].ipv4_address == "172.18.0.4"
    for name in ("web", "client", "third"):
        host.delete(name)
    for server in servers:
        r.stop(server)
    r.wait_for(lambda: not host.veths(), "links gone")
    assert r.tcp(host.outside, r.HOST4, 8080, 0.3) == ""


def test_graceful_stop_touches_nothing(rig: Rig) -> None:
    rig.start()
    servers = furnish(rig)
    rules, links = rig.rules(), rig.links()
    rig.stop()
    assert (rig.rules(), rig.links()) == (rules, links)
    check(rig)
    rig.start()
    assert (rig.rules(), rig.links()) == (rules, links)
    check(rig)
    for server in servers:
        r.stop(server)


def test_holder_killed_is_replaced_with_all_its_ports(rig: Rig) -> None:
    rig.start()
    servers = furnish(rig)
    first = rig.holder_pid()
    os.kill(first, signal.SIGKILL)

    def replaced() -> bool:
        try:
            return rig.holder_pid() != first
        except OSError:
            return False

    r.wait_for(replaced, "a new holder")
    r.wait_for(lambda: r.tcp(rig.host, "127.0.0.1", 8080, 0.5), "the port held again")
    r.wait_for(lambda: r.tcp(rig.host, "::1", 8080, 0.5), "the port held again")
    check(rig)
    for server in servers:
        r.stop(server)


def test_a_holder_that_hangs_is_replaced_at_start(rig: Rig) -> None:
    rig.start()
    servers = furnish(rig)
    first = rig.holder_pid()
    rig.kill()
    os.kill(first, signal.SIGSTOP)
    rig.start()
    check(rig)
    assert rig.holder_pid() != first
    for server in servers:
        r.stop(server)


def test_a_holder_that_hangs_is_replaced_by_who_needs_it(rig: Rig) -> None:
    """A container with a port starts and goes all the same, after a deadline."""
    rig.start()
    servers = furnish(rig)
    first = rig.holder_pid()
    os.kill(first, signal.SIGSTOP)
    late = rig.sandbox(
        "late", "app", ports=[pb.PortMapping(container_port=80, host_port=9099, protocol="tcp")]
    )
    assert late.ports[0].host_port == 9099
    check(rig)
    assert rig.holder_pid() != first
    for server in servers:
        r.stop(server)


def test_both_killed(rig: Rig) -> None:
    rig.start()
    servers = furnish(rig)
    os.kill(rig.holder_pid(), signal.SIGKILL)
    rig.kill()
    # The kernel's part goes on alone.
    assert r.tcp(rig.outside, r.HOST4, 8080) == f"hello {r.OUTSIDE4}"
    rig.start()
    check(rig)
    for server in servers:
        r.stop(server)


def test_rules_somebody_flushed_come_back(each_backend: Rig) -> None:
    host = each_backend
    host.start()
    servers = furnish(host)
    rules = host.rules()
    program = f"iptables-{host.backend}"
    for table in ("filter", "nat", "raw"):
        host.on_host(program, "-t", table, "-F")
        host.on_host(program, "-t", table, "-X")
    # The next publish notices that its chains are gone, and brings everything back …
    host.sandbox("late", "app", ports=[port(8099, 80)])
    late = r.tcp_server(host.pin("late"), 80)
    assert r.tcp(host.outside, r.HOST4, 8099).startswith("hello")
    check(host)
    host.delete("late")
    assert sorted(host.rules()) == sorted(rules)
    # … and so does a restart.
    for table in ("filter", "nat", "raw"):
        host.on_host(program, "-t", table, "-F")
    host.restart()
    assert sorted(host.rules()) == sorted(rules)
    check(host)
    for server in [*servers, late]:
        r.stop(server)


def test_orphans_are_removed_and_strangers_are_not(each_backend: Rig) -> None:
    host = each_backend
    host.start()
    host.sandbox("web", "bridge", ports=[port(8080, 80)])
    host.kill()
    name = host._names[0]
    program = f"iptables-{host.backend}"
    r.run("ip", "-n", name, "link", "add", "vethdead", "type", "veth", "peer", "name", "x0")
    r.run("ip", "-n", name, "link", "set", "vethdead", "master", "trine0")
    r.run("ip", "-n", name, "link", "add", "vethelse", "type", "veth", "peer", "name", "x1")
    (host.exec_root / "netns" / "dead").touch()
    stale = [
        "TRINE",
        "!",
        "-i",
        "trine0",
        "-p",
        "tcp",
        "--dport",
        "99",
        "-j",
        "DNAT",
        "--to-destination",
        "172.17.0.99:99",
    ]
    host.on_host(program, "-t", "nat", "-A", *stale)
    strangers = (
        ["-t", "nat", "-I", "POSTROUTING", "-s", "10.0.0.0/8", "-j", "MASQUERADE"],
        ["-A", "FORWARD", "-i", "trine0", "-s", "172.17.0.66", "-j", "DROP"],
        ["-I", "TRINE-USER", "-i", "trine0", "-d", "10.1.1.1", "-j", "DROP"],
        ["-t", "nat", "-A", "TRINE", "-i", "br-other", "-j", "RETURN"],
        ["-A", "FORWARD"],  # counts only
        ["-A", "INPUT", "-m", "comment", "--comment", 'two words "quoted"', "-j", "ACCEPT"],
    )
    for rule in strangers:
        host.on_host(program, *rule)
    host.start()
    rules = host.rules()
    assert not any("172.17.0.99" in rule for rule in rules)
    for part in ("-s 10.0.0.0/8 -j MASQUERADE", "172.17.0.66/32", "10.1.1.1/32", "br-other"):
        assert any(part in rule for rule in rules), part
    assert "vethdead" not in host.links() and "vethelse" in host.links()
    assert host.pins() == {"web"}
    assert len(host.veths() - {"vethelse"}) == 1


@pytest.mark.parametrize("delay", range(6))
def test_killed_in_the_middle_of_creates_and_deletes(rig: Rig, delay: int) -> None:
    """Kill at six different moments of a busy time; afterwards rows and kernel agree."""
    rig.start()
    rig.sandbox("keeper", "bridge", ports=[port(8070, 80)])
    stub = rig.stub
    process = rig.process
    assert process is not None

    def churn(number: int) -> None:
        for turn in range(20):
            key = f"c{number}-{turn}"
            try:
                rig.sandbox(key, "bridge", ports=[port(0, 80)] if number % 2 else [])
                if number % 3:
                    stub.DeleteSandbox(pb.DeleteSandboxRequest(id=key))
                if number == 0 and turn % 3 == 0:
                    stub.CreateNetwork(pb.CreateNetworkRequest(name=key))
            except (grpc.RpcError, ValueError):
                return

    with ThreadPoolExecutor(6) as pool:
        working = [pool.submit(churn, n) for n in range(6)]
        # The moments differ because the work before them does: after n-th sandbox is there.
        made = threading.Event()

        def count() -> bool:
            try:
                return (
                    len(stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes) > 2 * delay or made.is_set()
                )
            except grpc.RpcError:
                return True

        r.wait_for(count, "some sandboxes")
        process.kill()
        for one in working:
            one.result()
    rig.kill()
    rig.start()
    sandboxes = {s.id: s for s in rig.stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes}
    assert "keeper" in sandboxes
    wanted = {s.endpoints[0].host_interface_name for s in sandboxes.values()}
    r.wait_for(lambda: rig.veths() == wanted, "links as in the rows")
    assert rig.pins() == set(sandboxes)
    dnat = sorted(rule.split("--to-destination ")[1] for rule in rig.rules() if "DNAT" in rule)
    assert dnat == sorted(
        f"{s.endpoints[0].ipv4_address}:{p.container_port}"
        for s in sandboxes.values()
        for p in s.ports
        if p.host_ip == "0.0.0.0"
    )
    for sandbox in sandboxes.values():
        assert r.ping(sandbox.netns_path, "172.17.0.1")
    networks = rig.stub.ListNetworks(pb.ListNetworksRequest(filters=["type=custom"])).networks
    bridges = {name for name in rig.links() if name.startswith("br-")}
    assert bridges == {n.bridge_name for n in networks}
    held = _held_ports(rig)
    assert held == {p.host_port for s in sandboxes.values() for p in s.ports}
    with sqlite3.connect(rig.exec_root / "sandboxes.db") as database:
        r.wait_for(
            lambda: database.execute("SELECT count(*) FROM trash").fetchone()[0] == 0, "nothing left to clear"
        )


def _held_ports(rig: Rig) -> set[int]:
    """Which TCP ports listen on the host (proc_net_tcp)."""

    def read() -> set[int]:
        found = set()
        for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                found.add(int(words[1].split(":")[1], 16))
        return found

    return r.in_netns(rig.host, read)


def test_trash_never_frees_an_address_in_use(rig: Rig) -> None:
    """A row of an old sandbox whose address another has by now is cleared without releasing it."""
    rig.start()
    rig.sandbox("one", "bridge")
    rig.kill()
    with sqlite3.connect(rig.exec_root / "sandboxes.db") as database:
        content = database.execute("SELECT content FROM sandbox").fetchone()[0]
        interface = content.split('"host_interface":"')[1].split('"')[0]
        old = content.replace(interface, "vethold")
        database.execute("INSERT INTO trash (content) VALUES (?)", (old,))
    rig.start()

    def cleared() -> bool:
        with sqlite3.connect(rig.exec_root / "sandboxes.db") as database:
            return bool(database.execute("SELECT count(*) FROM trash").fetchone()[0] == 0)

    r.wait_for(cleared, "trash cleared")
    found = [rig.sandbox(name, "bridge").endpoints[0].ipv4_address for name in ("two", "three")]
    assert found == ["172.17.0.3", "172.17.0.4"]


def test_cleanup_leaves_the_host_as_it_was(each_backend: Rig) -> None:
    host = each_backend
    host.on_host(f"iptables-{host.backend}", "-A", "FORWARD", "-s", "10.0.0.0/8", "-j", "DROP")
    before_links = host.links()
    host.start()
    servers = furnish(host)
    host.network("six", enable_ipv6=True)
    holder = host.holder_pid()
    host.stop()
    done = subprocess.run(host.command("--cleanup"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rules = [rule for v in (4, 6) for rule in host.rules(v)]
    assert not any("TRINE" in rule or "trine0" in rule or "br-" in rule for rule in rules), rules
    assert "-A FORWARD -s 10.0.0.0/8 -j DROP" in rules
    assert host.links() == before_links
    assert not host.pins()
    with pytest.raises(ProcessLookupError):
        r.wait_for(lambda: os.kill(holder, 0), "the holder's end", 2)
    for server in servers:
        r.stop(server)
    host.start()
    assert [n.name for n in host.stub.ListNetworks(pb.ListNetworksRequest()).networks] == [
        "app",
        "bridge",
        "host",
        "none",
        "six",
    ]
    assert host.stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes == []


def test_two_instances_share_a_host(each_backend: Rig) -> None:
    host = each_backend
    host.start()
    second = Rig.__new__(Rig)
    second.__dict__.update(host.__dict__)
    second.exec_root, second.data_root = host.directory / "x2", host.directory / "d2"
    second.flags = ["--bridge", "trine9"]
    second.process = None
    second.start()
    try:
        one = host.sandbox("one", "bridge", ports=[port(8080, 80)])
        two = second.sandbox("two", "bridge", ports=[port(8081, 80)])
        assert two.endpoints[0].ipv4_address == "172.18.0.2"
        servers = [r.tcp_server(s.netns_path, 80) for s in (one, two)]
        for number in (8080, 8081):
            assert r.tcp(host.outside, r.HOST4, number).startswith("hello")
        assert not r.ping(one.netns_path, two.endpoints[0].ipv4_address, 0.3)
        assert r.tcp(one.netns_path, r.HOST4, 8081).startswith("hello")
        # A third that wants the bridge of the first is refused.
        third = subprocess.run(
            [*host.command(), "--exec-root", f"{host.directory}/x3", "--data-root", f"{host.directory}/d3"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert third.returncode == 1
        assert "bridge trine0 is used by another trine-network" in third.stderr
        second.stop()
        subprocess.run(second.command("--cleanup"), check=True)
        assert r.tcp(host.outside, r.HOST4, 8080).startswith("hello")
        assert r.tcp(host.outside, r.HOST4, 8081, 0.3) == ""
        assert not any("trine9" in rule for rule in host.rules())
        assert r.ping(one.netns_path, r.OUTSIDE4)
        for server in servers:
            r.stop(server)
    finally:
        second.stop()
        subprocess.run(second.command("--cleanup"), capture_output=True, check=False)
