"""Bridge, links, addresses, NAT and the rules, as the kernel has them."""

from __future__ import annotations

import json
import subprocess
import time

from support.place import OwnPlace
from support.stack import Stack
from system.conftest import HOST_ADDRESS, OUTSIDE_ADDRESS


def ip_json(stack: Stack, *words: str) -> list[dict[str, object]]:
    done = stack.sh(f"ip -j {' '.join(words)}")
    found: list[dict[str, object]] = [entry for entry in json.loads(done.stdout) if entry]
    return found


def test_the_default_bridge(stack: Stack) -> None:
    [bridge] = ip_json(stack, "addr show trine0")
    addresses = [(a["local"], a["prefixlen"]) for a in bridge["addr_info"]]  # type: ignore[attr-defined]
    assert ("172.17.0.1", 16) in addresses


def test_a_container_hangs_on_the_bridge(stack: Stack) -> None:
    stack.sleeper("one")
    ports = [entry["ifname"] for entry in ip_json(stack, "link show master trine0 type veth")]
    assert len(ports) == 1
    address = stack.inspect("one", "{{.NetworkSettings.IPAddress}}")
    mac = stack.inspect("one", "{{.NetworkSettings.MacAddress}}")
    assert mac == "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
    inside = stack.must("exec", "one", "ip", "addr", "show", "eth0")
    assert mac in inside and f"{address}/16" in inside
    assert "default via 172.17.0.1 dev eth0" in stack.must("exec", "one", "ip", "route")
    stack.must("rm", "-f", "one")


def test_containers_ping_each_other_and_the_world_outside(stack: Stack, outside: OwnPlace) -> None:
    stack.sleeper("one")
    stack.sleeper("two")
    address = stack.inspect("two", "{{.NetworkSettings.IPAddress}}")
    for target in (address, "172.17.0.1", HOST_ADDRESS, OUTSIDE_ADDRESS):
        stack.must("exec", "one", "ping", "-c", "1", "-W", "3", target)


def test_the_world_sees_the_host_not_the_container(stack: Stack, outside: OwnPlace) -> None:
    stack.sleeper("one")
    script = (
        "busybox timeout 10 busybox nc -l -p 7000 -e busybox sh -c 'busybox netstat -tn | busybox grep 7000'"
    )
    listening = subprocess.Popen(outside.command("bash", "-c", script), stdin=subprocess.DEVNULL)
    try:
        seen = stack.must(
            "exec",
            "one",
            "sh",
            "-c",
            f"for i in 1 2 3 4 5; do nc -w 3 {OUTSIDE_ADDRESS} 7000 && break; sleep 0.2; done",
        )
        assert f"{HOST_ADDRESS}:" in seen and "172.17." not in seen
    finally:
        listening.kill()
        listening.wait()


def test_the_nat_table_reads_like_dockers(stack: Stack) -> None:
    stack.sleeper("web", "-p", "8080:80")
    address = stack.inspect("web", "{{.NetworkSettings.IPAddress}}")
    text = stack.sh("iptables-nft-save -t nat; iptables-legacy-save -t nat").stdout
    assert "-A PREROUTING -m addrtype --dst-type LOCAL -j TRINE" in text
    assert "-A OUTPUT" in text and "--dst-type LOCAL -j TRINE" in text
    assert "-A POSTROUTING -s 172.17.0.0/16 ! -o trine0 -j MASQUERADE" in text
    assert f"-A POSTROUTING -s {address}/32 -d {address}/32 -p tcp -m tcp --dport 80 -j MASQUERADE" in text
    assert "-A TRINE -i trine0 -j RETURN" in text
    assert f"--dport 8080 -j DNAT --to-destination {address}:80" in text
    filter_text = stack.sh("iptables-nft-save -t filter; iptables-legacy-save -t filter").stdout
    for chain in ("TRINE", "TRINE-USER", "TRINE-ISOLATION-STAGE-1", "TRINE-ISOLATION-STAGE-2"):
        assert f":{chain} " in filter_text
    assert f"-A TRINE -d {address}/32 ! -i trine0 -o trine0 -p tcp -m tcp --dport 80 -j ACCEPT" in filter_text


def test_rules_of_others_are_left_alone(stack: Stack) -> None:
    stack.sh(
        "iptables -A INPUT -p tcp --dport 12345 -j DROP; iptables -t nat -A PREROUTING -p tcp --dport 12346 -j REDIRECT --to-ports 1"
    )
    before = stack.sh("iptables-save | grep -E '1234[56]'").stdout
    stack.sleeper("web", "-p", "8080:80")
    stack.must("network", "create", "extra")
    stack.must("rm", "-f", "web")
    stack.must("network", "rm", "extra")
    after = stack.sh("iptables-save | grep -E '1234[56]'").stdout
    stack.sh(
        "iptables -D INPUT -p tcp --dport 12345 -j DROP; iptables -t nat -D PREROUTING -p tcp --dport 12346 -j REDIRECT --to-ports 1"
    )
    assert before == after and before.count("\n") == 2


def test_trine_user_chain_decides_first(stack: Stack, outside: OwnPlace) -> None:
    stack.sleeper("one")
    stack.must("exec", "one", "ping", "-c", "1", "-W", "3", OUTSIDE_ADDRESS)
    assert stack.sh(f"iptables -I TRINE-USER -d {OUTSIDE_ADDRESS} -j DROP").returncode == 0
    try:
        assert stack.trine("exec", "one", "ping", "-c", "1", "-W", "1", OUTSIDE_ADDRESS).returncode == 1
    finally:
        stack.sh(f"iptables -D TRINE-USER -d {OUTSIDE_ADDRESS} -j DROP")


def test_network_inspect_has_dockers_keys(stack: Stack) -> None:
    [document] = json.loads(stack.must("network", "inspect", "bridge"))
    wanted = "Name Id Created Scope Driver EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom ConfigOnly Containers Options Labels"
    assert set(wanted.split()) <= set(document)
    options = document["Options"]
    suffixes = {key.rsplit(".", 1)[-1]: value for key, value in options.items()}
    assert suffixes == {
        "default_bridge": "true",
        "enable_icc": "true",
        "enable_ip_masquerade": "true",
        "host_binding_ipv4": "0.0.0.0",
        "name": "trine0",
        "mtu": "1500",
    }


def test_names_are_resolved_in_a_network_of_ones_own(stack: Stack) -> None:
    stack.must("network", "create", "app")
    stack.sleeper("db", "--network", "app", "--network-alias", "store")
    for name in ("db", "store"):
        stack.must("run", "--rm", "--network", "app", "busybox", "ping", "-c", "1", "-W", "3", name)
    assert stack.must("run", "--rm", "--network", "app", "busybox", "grep", "nameserver", "/etc/resolv.conf")
    assert stack.trine(
        "run", "--rm", "--network", "app", "busybox", "ping", "-c", "1", "-W", "1", "nobody"
    ).returncode


def test_ipv6(stack: Stack) -> None:
    stack.must("network", "create", "--ipv6", "--subnet", "fd42:1::/64", "six")
    stack.sleeper("aa6", "--network", "six")
    stack.sleeper("bb6", "--network", "six")
    address = stack.inspect("bb6", '{{(index .NetworkSettings.Networks "six").GlobalIPv6Address}}')
    assert address.startswith("fd42:1::")
    stack.must("exec", "aa6", "ping6", "-c", "1", "-W", "3", address)


def test_the_veth_goes_with_the_container(stack: Stack) -> None:
    before = len(ip_json(stack, "link show type veth"))
    stack.must("run", "--rm", "busybox", "true")
    deadline = time.monotonic() + 5
    while len(ip_json(stack, "link show type veth")) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(ip_json(stack, "link show type veth")) == before


def test_iperf_between_containers_runs(stack: Stack) -> None:
    library = "/usr/lib/x86_64-linux-gnu"
    options = ("-v", "/usr/bin/iperf3:/iperf3:ro", "-v", f"{library}:/host:ro", "-e", "LD_LIBRARY_PATH=/host")
    stack.must("pull", "-q", "debian")
    stack.must("run", "-d", "--name", "iserver", *options, "debian", "/iperf3", "-s")
    address = stack.inspect("iserver", "{{.NetworkSettings.IPAddress}}")
    text = stack.must("run", "--rm", *options, "debian", "sh", "-c",
                      f"sleep 0.5; exec /iperf3 -J -t 1 -c {address}")  # fmt: skip
    assert json.loads(text)["end"]["sum_received"]["bytes"] > 0
