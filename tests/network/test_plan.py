"""Decisions by tables: networks, endpoints, options, filters, resolv.conf, the default bridge."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from typing import Any

import pytest

from trine.kit.errors import EngineError
from trine.network import builtin, model, options, plan, resolv
from trine.network.builtin import Found
from trine.network.model import Endpoint, Network, Pool, Port
from trine.network.networks import parse_filters
from trine.network.plan import EndpointWish, NetworkRequest, Surroundings
from trine.network.state import Config, State

TAKEN = Network(
    id="a" * 64,
    name="taken",
    driver="bridge",
    created_at_unix_nanos=5,
    bridge="br-taken",
    pools=(Pool("10.5.0.0/16", "10.5.0.1"),),
    labels={"tier": "back"},
)
AROUND = Surroundings((TAKEN,), (ipaddress.ip_network("172.17.0.0/16"),))


def planned(**fields: Any) -> Network:
    return plan.plan_network(NetworkRequest(**fields), AROUND, "b" * 64, 7)


def test_a_network_without_wishes() -> None:
    network = planned(name="app")
    assert network.bridge == "br-" + "b" * 12
    assert network.pools == (Pool("172.18.0.0/16", "172.18.0.1"),)
    assert (network.mtu, network.icc, network.masquerade, network.driver) == (1500, True, True, "bridge")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "bridge"}, "operation is not permitted on predefined bridge network"),
        ({"name": "none"}, "operation is not permitted on predefined none network"),
        ({"name": "taken"}, "network with name taken already exists"),
        ({"name": "a\tb"}, "invalid network name: 'a\\tb'"),
        ({"name": ""}, "invalid network name: ''"),
        ({"name": "a\nb"}, "invalid network name: 'a\\nb'"),
        ({"name": "x", "driver": "host"}, 'only one instance of "host" network is allowed'),
        ({"name": "x", "driver": "overlay"}, 'plugin "overlay" not found'),
        (
            {"name": "x", "pools": (Pool("10.5.1.0/24", ""),)},
            "Pool overlaps with other one on this address space",
        ),
        (
            {"name": "x", "pools": (Pool("10.5.1.0", ""),)},
            "Invalid subnet 10.5.1.0 : invalid CIDR address: 10.5.1.0",
        ),
        (
            {"name": "x", "pools": (Pool("10.6.0.0/24", "10.7.0.1"),)},
            "no matching subnet for gateway 10.7.0.1",
        ),
        ({"name": "x", "pools": (Pool("10.6.0.0/24", "gw"),)}, "invalid IP address: gw"),
        (
            {"name": "x", "pools": (Pool("", "10.6.0.1"),)},
            "every ip-range or gateway must have a corresponding subnet",
        ),
        (
            {"name": "x", "pools": (Pool("10.6.0.0/31", ""),)},
            "failed to allocate gateway (): No available addresses on this pool",
        ),
        ({"name": "x", "options": {model.MTU: "-5"}}, "invalid MTU number: -5"),
        (
            {"name": "x", "pools": (Pool("10.6.0.0/24", "", "10.7.0.0/25"),)},
            "no matching subnet for range 10.7.0.0/25",
        ),
        (
            {"name": "x", "pools": (Pool("10.6.0.0/24", "", "", {"r": "10.7.0.9"}),)},
            "no matching subnet for aux-address 10.7.0.9",
        ),
        (
            {"name": "x", "pools": (Pool("10.6.0.0/24", "10.6.0.9", "", {"r": "10.6.0.9"}),)},
            "failed to allocate secondary ip address (r:10.6.0.9): Address already in use",
        ),
        (
            {"name": "x", "pools": (Pool("10.6.0.0/24", ""), Pool("10.7.0.0/24", ""))},
            "bridge driver doesn't support multiple subnets",
        ),
        (
            {"name": "x", "options": {model.MTU: "big"}},
            f'failed to parse {model.MTU} value: big (strconv.Atoi: parsing "big": invalid syntax)',
        ),
        (
            {"name": "x", "options": {model.ENABLE_ICC: "maybe"}},
            f"failed to parse {model.ENABLE_ICC} value: maybe "
            '(strconv.ParseBool: parsing "maybe": invalid syntax)',
        ),
        (
            {"name": "x", "options": {model.HOST_BINDING: "here"}},
            f"failed to parse {model.HOST_BINDING} value: here (nil ip)",
        ),
        (
            {"name": "x", "options": {model.BRIDGE_NAME: "br-taken"}},
            f"cannot create network {'b' * 64} (br-taken): conflicts with network {'a' * 64} (br-taken): "
            "networks have same bridge name",
        ),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError) as error:
        planned(**fields)
    assert error.value.message == message


@pytest.mark.parametrize("name", ["a/b", "x" * 16, "a b", "-i", "a\nb", "..", "é0"])
def test_bridge_names_the_kernel_or_iptables_would_misread(name: str) -> None:
    with pytest.raises(EngineError):
        options.parse({model.BRIDGE_NAME: name})


def test_the_six_options() -> None:
    network = planned(
        name="x",
        options={
            model.BRIDGE_NAME: "mine0",
            model.ENABLE_MASQUERADE: "false",
            model.ENABLE_ICC: "0",
            model.HOST_BINDING: "127.0.0.1",
            model.MTU: "1400",
            model.INTERFACE_PREFIX: "lan",
            "other": "kept",
        },
    )
    assert (network.bridge, network.masquerade, network.icc) == ("mine0", False, False)
    assert (network.host_binding, network.mtu, network.interface_prefix) == ("127.0.0.1", 1400, "lan")
    assert network.options["other"] == "kept"


def test_pools_as_asked() -> None:
    network = planned(
        name="x",
        enable_ipv6=True,
        pools=(Pool("10.6.0.0/16", "", "10.6.5.0/24", {"nas": "10.6.5.0"}), Pool("fd09::/64", "fd09::9")),
    )
    assert network.pools == (
        Pool("10.6.0.0/16", "10.6.5.1", "10.6.5.0/24", {"nas": "10.6.5.0"}, True),
        Pool("fd09::/64", "fd09::9", "", {}, True),
    )
    made = planned(name="x", enable_ipv6=True)
    assert made.pool6 is not None and made.pool6.subnet.startswith("fd")


def test_a_bridge_that_exists_brings_its_subnet() -> None:
    request = NetworkRequest("x")
    assert plan.on_existing_bridge(request, ["fe80::1/64", "10.4.0.9/24"]).pools == (
        Pool("10.4.0.0/24", "10.4.0.9"),
    )
    assert plan.on_existing_bridge(request, ["fe80::1/64"]) == request
    asked = NetworkRequest("x", pools=(Pool("10.6.0.0/24", ""),))
    assert plan.on_existing_bridge(asked, ["10.4.0.9/24"]) == asked


def endpoint_error(network: Network, **fields: Any) -> str:
    with pytest.raises(EngineError) as error:
        plan.check_endpoint(EndpointWish(network.name, **fields), network)
    return error.value.message


def test_endpoints_get_only_what_their_network_can_give() -> None:
    default = dataclasses.replace(TAKEN, name="bridge", builtin=True)
    own = dataclasses.replace(TAKEN, pools=(dataclasses.replace(TAKEN.pools[0], chosen_by_user=True),))
    host = Network(id="h", name="host", driver="host", created_at_unix_nanos=0, builtin=True)
    only_user = "user specified IP address is supported on user defined networks only"
    aliases = "network-scoped alias is supported only for containers in user defined networks"
    assert endpoint_error(default, ipv4="10.5.0.9") == only_user
    assert endpoint_error(host, ipv4="10.5.0.9") == only_user
    assert endpoint_error(default, aliases=("x",)) == aliases
    assert endpoint_error(host, aliases=("x",)) == aliases
    assert "networks with user configured subnets" in endpoint_error(TAKEN, ipv4="10.5.0.9")
    assert endpoint_error(own, ipv4="10.5.0") == "invalid IPv4 address: 10.5.0"
    assert endpoint_error(own, ipv6="10.5.0.9") == "invalid IPv6 address: 10.5.0.9"
    assert endpoint_error(own, mac="01:00:00:00:00:01").startswith("invalid MAC address")  # multicast
    assert endpoint_error(own, mac="02:42").startswith("invalid MAC address")
    assert endpoint_error(own, aliases=("a\nb",)).startswith("invalid alias")
    assert endpoint_error(own, link_local=("10.1.1.1",)) == "invalid link local IP address: 10.1.1.1"
    assert endpoint_error(own, link_local=("x",)) == "Invalid link-local IP address: [x]"
    plan.check_endpoint(EndpointWish("taken", link_local=("169.254.5.5", "fe80::99")), default)
    plan.check_endpoint(EndpointWish("taken", ("x",), "10.5.0.9", mac="02-42-AC-11-00-09"), own)


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (Port(0), "invalid containerPort: 0"),
        (Port(70000), "invalid containerPort: 70000"),
        (Port(80, "icmp"), "invalid proto: icmp"),
        (Port(80, "tcp", "", 70000), "invalid hostPort: 70000"),
        (Port(80, "tcp", "", 9000, 8000), "invalid range: 9000-8000"),
        (Port(80, "tcp", "localhost", 80), "invalid IP address: localhost"),
    ],
)
def test_ports(port: Port, message: str) -> None:
    with pytest.raises(EngineError) as error:
        plan.check_ports([port])
    assert error.value.message == message


def endpoint(network: str, four: str = "", six: str = "") -> Endpoint:
    return Endpoint("e", f"id of {network}", network, ipv4_gateway=four, ipv6_gateway=six)


def test_the_default_gateway_is_dockers_choice() -> None:
    inside, b, a = endpoint("0"), endpoint("b", "10.0.2.1"), endpoint("a", "10.0.1.1")
    both, six = endpoint("z", "10.0.3.1", "fd00::1"), endpoint("c", "", "fd01::1")
    assert plan.gateway_endpoint([inside, b, a]) == a
    assert plan.gateway_endpoint([a, both]) == plan.gateway6_endpoint([a, both, six]) == both
    assert plan.gateway6_endpoint([a, six]) == six
    asked = dataclasses.replace(b, gateway_priority=1)
    assert plan.gateway_endpoint([a, both, asked, dataclasses.replace(a, gateway_priority=-1)]) == asked
    assert plan.gateway_endpoint([inside]) is plan.gateway6_endpoint([a]) is None


def test_looking_networks_up() -> None:
    state = State()
    for number, name in ((1, "one"), (2, "two"), (3, "a" * 3)):
        state.add_network(dataclasses.replace(TAKEN, id=f"aa{number}" + "0" * 61, name=name))
    assert state.find_network("one").id.startswith("aa1")
    assert state.find_network("aa2").name == "two"
    assert state.find_network("aaa").name == "aaa"  # a name goes before a prefix
    for name, reason in (("aa", "AMBIGUOUS_ID"), ("zz", "NO_SUCH_NETWORK"), ("", "NO_SUCH_NETWORK")):
        with pytest.raises(EngineError) as error:
            state.find_network(name)
        assert error.value.reason == reason


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], True),
        (["name=tak"], True),
        (["name=^ken"], False),
        (["name=no", "name=taken"], True),
        (["id=aaa"], True),
        (["driver=bridge"], True),
        (["driver=host"], False),
        (["type=custom"], True),
        (["type=builtin"], False),
        (["label=tier"], True),
        (["label=tier=back"], True),
        (["label=tier=front"], False),
        (["label=tier", "label=x"], False),
        (["dangling=true"], True),
        (["dangling=false"], False),
        (["scope=local"], True),
        (["scope=swarm"], False),
    ],
)
def test_filters(filters: list[str], expected: bool) -> None:
    known = {"name", "id", "driver", "type", "label", "dangling", "scope"}
    assert parse_filters(filters, known)(TAKEN, False) is expected


@pytest.mark.parametrize("bad", ["colour=red", "name", "type=odd", "dangling=perhaps"])
def test_bad_filters(bad: str) -> None:
    with pytest.raises(EngineError, match=r"nvalid filter|invalid value for filter"):
        parse_filters([bad], {"name", "type", "dangling"})


def test_prune_filters() -> None:
    for text, expected in (("until=1", True), ("until=24h", True), ("until=2000-01-01T00:00:00Z", True)):
        assert parse_filters([text], {"until"})(TAKEN, False) is expected
    young = dataclasses.replace(TAKEN, created_at_unix_nanos=2**62)
    assert not parse_filters(["until=1h30m"], {"until"})(young, False)
    with pytest.raises(EngineError):
        parse_filters(["until=soon"], {"until"})


HOST_CONF = """# made by hand
nameserver 127.0.0.53
nameserver 10.0.0.2 ; second
nameserver fd00::53
search corp.example lab.example
options timeout:1 edns0
"""


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (
            HOST_CONF,
            {"embedded": False},
            "search corp.example lab.example\nnameserver 10.0.0.2\noptions timeout:1 edns0\n",
        ),
        (
            HOST_CONF,
            {"embedded": False, "ipv6": True},
            "search corp.example lab.example\nnameserver 10.0.0.2\nnameserver fd00::53\n"
            "options timeout:1 edns0\n",
        ),
        (
            HOST_CONF,
            {"embedded": True},
            "search corp.example lab.example\nnameserver 127.0.0.11\noptions timeout:1 edns0 ndots:0\n",
        ),
        (
            HOST_CONF,
            {"embedded": True, "options": ["ndots:2"], "search": ["."]},
            "nameserver 127.0.0.11\noptions ndots:2\n",
        ),
        (HOST_CONF, {"embedded": False, "host_network": True}, HOST_CONF),
        ("nameserver ::1\n", {"embedded": False}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ("", {"embedded": False}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ("nameserver junk\nnameserver\n", {"embedded": False}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        (
            HOST_CONF,
            {"embedded": False, "servers": ["9.9.9.9"], "search": ["x"]},
            "search x\nnameserver 9.9.9.9\noptions timeout:1 edns0\n",
        ),
    ],
)
def test_resolv_conf(text: str, arguments: dict[str, Any], expected: str) -> None:
    assert resolv.for_container(text, **arguments) == expected


def default(found: Found, around: Surroundings = AROUND, **flags: Any) -> Network:
    config = Config(Path("/d"), Path("/x"), **flags)
    return builtin.plan_default(config, found, around, "c" * 64, 9)


NOTHING = Found(None, False, (), False)


def test_default_bridge() -> None:
    network = default(NOTHING)
    assert (network.bridge, network.pools) == ("trine0", (Pool("172.18.0.0/16", "172.18.0.1"),))
    assert default(NOTHING, bip="10.9.0.5/24").pools == (Pool("10.9.0.0/24", "10.9.0.5"),)
    fixed = default(NOTHING, bip="10.9.0.5/24", fixed_cidr="10.9.0.128/25")
    assert fixed.pools == (Pool("10.9.0.0/24", "10.9.0.5", "10.9.0.128/25"),)
    six = default(NOTHING, ipv6=True, fixed_cidr_v6="fd05::/64")
    assert six.pool6 == Pool("fd05::/64", "fd05::1")
    closed = default(NOTHING, icc=False, ip_masq=False, mtu=1400)
    assert (closed.icc, closed.masquerade, closed.mtu) == (False, False, 1400)
    assert closed.options[model.ENABLE_ICC] == "false"


def test_default_bridge_keeps_its_addresses() -> None:
    stored = default(NOTHING)
    busy = Surroundings((), (ipaddress.ip_network("172.18.0.0/16"),))
    # The bridge of an earlier run, a row whose subnet is still free, a row whose subnet was taken.
    assert default(Found(None, True, ("172.25.0.1/16",), False)).pools[0].subnet == "172.25.0.0/16"
    assert default(Found(stored, False, (), False)).pools == stored.pools
    assert default(Found(stored, False, (), False), busy).pools[0].subnet == "172.17.0.0/16"
    # Containers are on it: it stays, whatever the flags say.
    assert default(Found(stored, True, ("172.18.0.1/16",), True), bip="10.9.0.1/24").pools == stored.pools


def test_somebody_elses_bridge_is_never_ours_to_delete() -> None:
    network = default(Found(None, True, ("10.4.0.1/24",), False), bridge="lan0")
    assert network.foreign_bridge and network.pools == (Pool("10.4.0.0/24", "10.4.0.1"),)
    assert not default(NOTHING, bridge="lan0").foreign_bridge
    with pytest.raises(EngineError, match="specify only one"):
        default(Found(None, True, ("10.4.0.1/24",), False), bridge="lan0", bip="10.5.0.1/24")


@pytest.mark.parametrize(
    "flags",
    [
        {"bip": "10.9.0.0/24"},
        {"bip": "10.9.0.1"},
        {"bip": "x"},
        {"bip": "10.9.0.1/24", "fixed_cidr": "10.8.0.0/25"},
        {"bridge": "a name too long for linux"},
    ],
)
def test_impossible_flags(flags: dict[str, Any]) -> None:
    with pytest.raises(EngineError):
        default(NOTHING, **flags)


def test_rows_are_read_back_as_written() -> None:
    network = planned(name="x", enable_ipv6=True, labels={"a": "b"})
    assert model.network_from_json(model.to_json(network)) == network
    sandbox = model.Sandbox(
        id="s",
        container_name="c",
        hostname="h",
        netns_path="/n",
        endpoints=(model.Endpoint("e", "n", "x", aliases=("a",), links=("b:c",)),),
        requested_ports=(Port(80),),
        ports=(Port(80, "tcp", "::", 8080),),
        dns_servers=("1.1.1.1",),
        sysctls={"net.x": "1"},
    )
    assert model.sandbox_from_json(model.to_json(sandbox)) == sandbox
