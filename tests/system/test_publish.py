"""Published ports: who reaches them, by which address, and who must not."""

from __future__ import annotations

import socket

import pytest

from support.place import OwnPlace
from support.stack import Stack
from system.conftest import HOST_ADDRESS, OUTSIDE_ADDRESS, run_in


def serve(stack: Stack, name: str, *options: str) -> None:
    stack.must("run", "-d", "--name", name, *options, "busybox", "sh", "-c",
               f"mkdir /w; echo {name} >/w/index.html; exec httpd -f -h /w")  # fmt: skip


def fetch(place: OwnPlace | None, stack: Stack, url: str) -> str:
    script = f"curl -sS -m 3 --retry 20 --retry-all-errors --retry-delay 0 --retry-max-time 5 '{url}'"
    return (run_in(place, script) if place else stack.sh(script)).stdout.strip()


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "[::1]", HOST_ADDRESS, "172.17.0.1"])
def test_the_host_reaches_it_by_every_address(stack: Stack, address: str) -> None:
    serve(stack, "web", "-p", "8080:80")
    assert fetch(None, stack, f"http://{address}:8080/") == "web"


def test_the_world_outside_reaches_it(stack: Stack, outside: OwnPlace) -> None:
    serve(stack, "web", "-p", "8080:80")
    assert fetch(outside, stack, f"http://{HOST_ADDRESS}:8080/") == "web"


def test_the_container_sees_the_true_client(stack: Stack, outside: OwnPlace) -> None:
    stack.must("run", "-d", "--name", "echo", "-p", "8081:80", "debian", "perl", "-MIO::Socket::INET", "-e",
               "$s = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die;"
               "while ($c = $s->accept) { print $c $c->peerhost; close $c }")  # fmt: skip
    script = f"for i in $(seq 50); do timeout 3 bash -c 'exec 3<>/dev/tcp/{HOST_ADDRESS}/8081; cat <&3' && exit; sleep 0.1; done"
    assert run_in(outside, script).stdout == OUTSIDE_ADDRESS


def test_a_container_reaches_itself_and_its_neighbour_through_the_host(stack: Stack) -> None:
    serve(stack, "web", "-p", "8080:80")
    stack.sleeper("near")
    for name in ("web", "near"):
        assert (
            # (wget of Debian's busybox-static dies of SIGSEGV where there is no C library to look names up with.)
            stack.must(
                "exec",
                name,
                "sh",
                "-c",
                f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {HOST_ADDRESS} 8080 | tail -n 1",
            )
            == "web"
        )


def test_a_loopback_port_is_for_the_host_only(stack: Stack, outside: OwnPlace) -> None:
    serve(stack, "inner", "-p", "127.0.0.1:8082:80")
    assert fetch(None, stack, "http://127.0.0.1:8082/") == "inner"
    assert fetch(outside, stack, f"http://{HOST_ADDRESS}:8082/") == ""
    # A neighbour that sends to 127.0.0.1 or to the container itself through us is dropped.
    address = stack.inspect("inner", "{{.NetworkSettings.IPAddress}}")
    run_in(outside, f"ip route add 172.17.0.0/16 via {HOST_ADDRESS}; sysctl -qw net.ipv4.conf.all.route_localnet=1; "
                    f"ip addr add 127.0.0.9/32 dev eth0; ip route add 127.0.0.1/32 via {HOST_ADDRESS} table 9; true")  # fmt: skip
    try:
        assert fetch(outside, stack, f"http://{address}:80/") == ""
    finally:
        run_in(outside, "ip route del 172.17.0.0/16")


def test_an_unpublished_container_is_closed_to_neighbours(stack: Stack, outside: OwnPlace) -> None:
    serve(stack, "closed")
    address = stack.inspect("closed", "{{.NetworkSettings.IPAddress}}")
    assert fetch(None, stack, f"http://{address}/") == "closed"
    run_in(outside, f"ip route add 172.17.0.0/16 via {HOST_ADDRESS}")
    try:
        assert run_in(outside, f"curl -s -m 2 http://{address}/").stdout == ""
    finally:
        run_in(outside, "ip route del 172.17.0.0/16")


def test_udp(stack: Stack, outside: OwnPlace) -> None:
    stack.must("run", "-d", "--name", "udp", "-p", "9953:9953/udp", "debian", "perl", "-MIO::Socket::INET", "-e",
               "$s = IO::Socket::INET->new(LocalPort => 9953, Proto => 'udp') or die;"
               "while ($s->recv($m, 99)) { $s->send('pong') if $m eq \"ping\\n\" }")  # fmt: skip
    for place in (None, outside):
        script = (f"for i in $(seq 30); do exec 3<>/dev/udp/{HOST_ADDRESS}/9953; echo ping >&3; "
                  "timeout 0.5 head -c 4 <&3 2>/dev/null && exit; exec 3>&-; sleep 0.1; done")  # fmt: skip
        done = run_in(place, script) if place else stack.sh(script)
        assert done.stdout.strip() == "pong"


def test_the_port_closes_with_the_container(stack: Stack) -> None:
    serve(stack, "web", "-p", "8080:80")
    assert fetch(None, stack, "http://localhost:8080/") == "web"
    stack.must("stop", "-t", "0", "web")
    assert stack.sh("curl -s -m 3 localhost:8080").returncode == 7
    stack.must("start", "web")
    assert fetch(None, stack, "http://localhost:8080/") == "web"
    stack.must("rm", "-f", "web")
    assert stack.sh("curl -s -m 3 localhost:8080").returncode == 7


def test_a_port_that_another_program_holds(stack: Stack) -> None:
    held = stack.place.call(lambda: socket.create_server(("0.0.0.0", 8090)))
    try:
        done = stack.trine("run", "-d", "--name", "clash", "-p", "8090:80", "busybox", "sleep", "9")
    finally:
        held.close()
    assert done.returncode == 125
    assert "address already in use" in done.stderr or "port is already allocated" in done.stderr
    assert stack.inspect("clash", "{{.State.Status}}") == "created"


def test_a_hundred_ports(stack: Stack, outside: OwnPlace) -> None:
    options = [word for port in range(9000, 9100) for word in ("-p", f"{port}:80")]
    serve(stack, "many", *options)
    for port in (9000, 9057, 9099):
        assert fetch(None, stack, f"http://localhost:{port}/") == "many"
        assert fetch(outside, stack, f"http://{HOST_ADDRESS}:{port}/") == "many"
    assert len(stack.must("port", "many").splitlines()) >= 100
    stack.must("rm", "-f", "many")
    assert "9057" not in stack.sh("iptables-nft-save; iptables-legacy-save; ss -ltn").stdout
