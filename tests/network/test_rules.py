"""The firewall as data: texts as iptables-save prints them, and from what is there to what should be."""

from __future__ import annotations

import dataclasses

import pytest

from trine.network.firewall import changes as ch
from trine.network.firewall.changes import Actual, Change
from trine.network.firewall.restore import render
from trine.network.model import Endpoint, Network, Pool, Port
from trine.network.rules import Rule, base_rules, network_rules, port_rules

NETWORK = Network(
    id="n" * 64,
    name="bridge",
    driver="bridge",
    created_at_unix_nanos=0,
    bridge="trine0",
    pools=(Pool("172.17.0.0/16", "172.17.0.1"),),
)
SIX = dataclasses.replace(NETWORK, pools=(*NETWORK.pools, Pool("fd00:1::/64", "fd00:1::1")))
ENDPOINT = Endpoint(id="e", network_id=NETWORK.id, network_name="bridge", ipv4="172.17.0.2", ipv6="fd00:1::2")


def apply(actual: Actual, changes: list[Change]) -> Actual:
    """What iptables would do with the changes; raises where it would refuse."""
    chains = {key: list(rules) for key, rules in actual.chains.items()}
    for table, names in (
        ("filter", ("INPUT", "FORWARD", "OUTPUT")),
        ("nat", ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")),
        ("raw", ("PREROUTING", "OUTPUT")),
    ):
        for name in names:
            chains.setdefault((table, name), [])
    for change in changes:
        key = (change.table, change.chain)
        if change.verb == ch.NEW_CHAIN:
            assert key not in chains, f"chain {key} exists"
            chains[key] = []
        elif change.verb == ch.DELETE_CHAIN:
            assert chains.pop(key) == [], f"chain {key} is not empty"
        elif change.rule is not None and change.verb == ch.DELETE:
            chains[key].remove(change.rule.text())
        elif change.rule is not None and change.verb == ch.INSERT:
            chains[key].insert(0, change.rule.text())
        elif change.rule is not None:
            chains[key].append(change.rule.text())
    return Actual(chains)


def port_set() -> list[Rule]:
    return port_rules(NETWORK, ENDPOINT, Port(80, "tcp", "0.0.0.0", 8080), 4)


def test_the_whole_set_is_dockers_with_our_names() -> None:
    chains = apply(Actual(), ch.synchronise(Actual(), 4, [NETWORK], port_set())).chains
    assert chains["filter", "FORWARD"] == [
        "-j TRINE-USER",
        "-j TRINE-ISOLATION-STAGE-1",
        "-o trine0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-o trine0 -j TRINE",
        "-i trine0 ! -o trine0 -j ACCEPT",
        "-i trine0 -o trine0 -j ACCEPT",
    ]
    assert chains["filter", "TRINE"] == [
        "-d 172.17.0.2/32 ! -i trine0 -o trine0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "! -i trine0 -o trine0 -j DROP",
    ]
    assert chains["filter", "TRINE-ISOLATION-STAGE-1"] == [
        "-i trine0 ! -o trine0 -j TRINE-ISOLATION-STAGE-2",
        "-j RETURN",
    ]
    assert chains["filter", "TRINE-ISOLATION-STAGE-2"] == ["-o trine0 -j DROP", "-j RETURN"]
    assert chains["filter", "TRINE-USER"] == ["-j RETURN"]
    assert chains["nat", "PREROUTING"] == ["-m addrtype --dst-type LOCAL -j TRINE"]
    assert chains["nat", "OUTPUT"] == ["! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j TRINE"]
    assert chains["nat", "POSTROUTING"] == [
        "-s 172.17.0.0/16 ! -o trine0 -j MASQUERADE",
        "-s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE",
    ]
    assert chains["nat", "TRINE"] == [
        "-i trine0 -j RETURN",
        "! -i trine0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
    ]
    assert chains["raw", "PREROUTING"] == ["-j TRINE"]
    assert chains["raw", "TRINE"] == [
        "-d 127.0.0.0/8 ! -i lo -j DROP",
        "-d 172.17.0.0/16 ! -i trine0 -m addrtype ! --dst-type LOCAL -j DROP",
    ]


@pytest.mark.parametrize(
    ("port", "version", "first"),
    [
        (
            Port(53, "udp", "127.0.0.1", 5300),
            4,
            "-d 127.0.0.1/32 ! -i trine0 -p udp -m udp --dport 5300 -j DNAT --to-destination 172.17.0.2:53",
        ),
        (
            Port(80, "sctp", "0.0.0.0", 80),
            4,
            "! -i trine0 -p sctp -m sctp --dport 80 -j DNAT --to-destination 172.17.0.2:80",
        ),
        (
            Port(80, "tcp", "::", 80),
            6,
            "! -i trine0 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00:1::2]:80",
        ),
        (Port(80, "tcp", "::", 80), 4, None),
        (Port(80, "tcp", "0.0.0.0", 80), 6, None),
    ],
)
def test_port_rules(port: Port, version: int, first: str | None) -> None:
    rules = port_rules(SIX, ENDPOINT, port, version)
    assert (rules[0].text() if rules else None) == first


def test_options_change_the_rules() -> None:
    closed = [r.text() for r in network_rules(dataclasses.replace(NETWORK, icc=False), 4)]
    assert "-i trine0 -o trine0 -j DROP" in closed and "-i trine0 -o trine0 -j ACCEPT" not in closed
    plain = network_rules(dataclasses.replace(NETWORK, masquerade=False), 4)
    assert not any(r.target == "MASQUERADE" for r in plain)
    assert not any(r.table == "raw" for r in plain)  # routed on purpose
    inner = [r.text() for r in network_rules(dataclasses.replace(NETWORK, internal=True), 4)]
    assert "! -s 172.17.0.0/16 -o trine0 -j DROP" in inner
    assert "! -d 172.17.0.0/16 -i trine0 -j DROP" in inner
    assert not any("MASQUERADE" in text for text in inner)
    # Without an IPv6 pool only icc=false needs a rule: link-local addresses are there all the same.
    assert network_rules(NETWORK, 6) == []
    assert len(network_rules(dataclasses.replace(NETWORK, icc=False), 6)) == 1


def all_rules() -> list[Rule]:
    rules = [*base_rules(4), *base_rules(6)]
    for network in (
        SIX,
        dataclasses.replace(SIX, icc=False),
        dataclasses.replace(SIX, internal=True),
        dataclasses.replace(SIX, masquerade=False),
    ):
        rules += [*network_rules(network, 4), *network_rules(network, 6)]
    for host in ("0.0.0.0", "127.0.0.1", "::", "::1"):
        for protocol in ("tcp", "udp", "sctp"):
            for version in (4, 6):
                rules += port_rules(SIX, ENDPOINT, Port(80, protocol, host, 8080), version)
    return rules


def test_every_rule_is_read_back_as_it_was_written() -> None:
    for rule in all_rules():
        found = ch.parse_rule(rule.table, rule.chain, rule.text())
        assert found is not None and dataclasses.replace(found, head=rule.head) == rule


@pytest.mark.parametrize(
    "text",
    [
        "-i trine0 -m comment --comment mine -j DROP",
        "-p tcp -m tcp --sport 80 -j ACCEPT",
        "-i trine0 -m mark --mark 0x1 -j ACCEPT",
        "-s 10.0.0.0/8 -j SNAT --to-source 1.2.3.4",
        "",
    ],
)
def test_rules_of_others_are_not_read_as_ours(text: str) -> None:
    assert ch.parse_rule("filter", "TRINE", text) is None


def test_synchronise_settles() -> None:
    once = apply(Actual(), ch.synchronise(Actual(), 4, [NETWORK], port_set()))
    assert ch.synchronise(once, 4, [NETWORK], port_set()) == []


def test_synchronise_repairs_and_keeps_strangers() -> None:
    whole = apply(Actual(), ch.synchronise(Actual(), 4, [NETWORK], port_set()))
    strangers = {
        ("filter", "FORWARD"): ["-i trine0 -s 172.17.0.66/32 -j DROP"],
        ("filter", "TRINE-USER"): ["-i trine0 -j LOG"],
        ("nat", "TRINE"): ["-i br-other -j RETURN"],
        ("nat", "POSTROUTING"): ["-s 10.8.0.0/24 -j MASQUERADE", "-s 9.9.9.9/32 -d 9.9.9.9/32 -j MASQUERADE"],
    }
    damaged = {key: [*strangers.get(key, []), *rules[1:]] for key, rules in whole.chains.items()}
    damaged["nat", "TRINE"].append(
        "! -i trine0 -p tcp -m tcp --dport 99 -j DNAT --to-destination 172.17.0.9:99"
    )
    damaged["nat", "TRINE"].append(damaged["nat", "TRINE"][-1])
    damaged["nat", "POSTROUTING"].append(
        "-s 172.17.0.9/32 -d 172.17.0.9/32 -p tcp -m tcp --dport 99 -j MASQUERADE"
    )
    actual = Actual(damaged)
    repaired = apply(actual, ch.synchronise(actual, 4, [NETWORK], port_set()))
    for key, rules in whole.chains.items():
        ours = [rule for rule in repaired.chains[key] if rule not in strangers.get(key, [])]
        assert sorted(ours) == sorted(rules), key
    for key, rules in strangers.items():
        assert all(rule in repaired.chains[key] for rule in rules)
    forward = repaired.chains["filter", "FORWARD"]
    assert forward[:2] == ["-j TRINE-USER", "-j TRINE-ISOLATION-STAGE-1"]


def test_a_changed_option_replaces_the_group_in_forward() -> None:
    whole = apply(Actual(), ch.synchronise(Actual(), 4, [NETWORK], []))
    closed = dataclasses.replace(NETWORK, icc=False)
    changed = apply(whole, ch.synchronise(whole, 4, [closed], []))
    assert "-i trine0 -o trine0 -j DROP" in changed.chains["filter", "FORWARD"]
    assert "-i trine0 -o trine0 -j ACCEPT" not in changed.chains["filter", "FORWARD"]


def test_a_new_network_comes_below_our_jumps_and_above_all_others() -> None:
    whole = apply(Actual(), ch.synchronise(Actual(), 4, [NETWORK], []))
    whole.chains["filter", "FORWARD"].append("-j REJECT")
    other = dataclasses.replace(
        NETWORK, id="m" * 64, bridge="br-1", pools=(Pool("172.18.0.0/16", "172.18.0.1"),)
    )
    forward = apply(whole, ch.add_network(other, 4)).chains["filter", "FORWARD"]
    assert forward[:2] == ["-j TRINE-USER", "-j TRINE-ISOLATION-STAGE-1"]
    assert forward.index("-o br-1 -j TRINE") < forward.index("-j REJECT")


def test_removal_leaves_nothing_of_ours_and_all_of_others() -> None:
    before = apply(Actual(), [])
    before.chains["filter", "FORWARD"].append("-j REJECT")
    whole = apply(before, ch.synchronise(before, 4, [NETWORK], port_set()))
    assert apply(whole, ch.remove_all(whole, 4, [NETWORK], port_set())).chains == before.chains
    assert ch.remove_all(before, 4, [NETWORK], []) == []


def test_shared_chains_stay_while_another_instance_uses_them() -> None:
    other = dataclasses.replace(
        NETWORK, id="m" * 64, bridge="trine9", pools=(Pool("172.18.0.0/16", "172.18.0.1"),)
    )
    alone = apply(Actual(), ch.synchronise(Actual(), 4, [other], []))
    both = apply(alone, ch.synchronise(alone, 4, [NETWORK], port_set()))
    left = apply(both, ch.remove_all(both, 4, [NETWORK], port_set()))
    assert {k: sorted(v) for k, v in left.chains.items()} == {k: sorted(v) for k, v in alone.chains.items()}


def test_parse_save() -> None:
    text = (
        "# c\n*nat\n:PREROUTING ACCEPT [1:2]\n:TRINE - [0:0]\n"
        "-A TRINE -i trine0 -j RETURN\n-A TRINE\nCOMMIT\n"
    )
    actual = ch.parse_save(text)
    assert actual.chains == {("nat", "PREROUTING"): [], ("nat", "TRINE"): ["-i trine0 -j RETURN", ""]}
    assert actual.policies == {("nat", "PREROUTING"): "ACCEPT"}
    assert actual.count_rules() == 2


def test_render_groups_by_table_and_keeps_order() -> None:
    rule = Rule("nat", "TRINE", "RETURN", in_interface="trine0")
    jump = Rule("filter", "FORWARD", "TRINE-USER", head=True)
    changes = [Change(ch.NEW_CHAIN, "nat", "TRINE"), ch.add(jump), ch.add(rule), ch.delete(jump)]
    assert render(changes) == (
        "*nat\n-N TRINE\n-A TRINE -i trine0 -j RETURN\nCOMMIT\n"
        "*filter\n-I FORWARD -j TRINE-USER\n-D FORWARD -j TRINE-USER\nCOMMIT\n"
    )
