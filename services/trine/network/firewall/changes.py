"""From what is there and what should be there to a list of changes. Decides only."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trine.network.model import Net, Network
from trine.network.rules import (
    CHAINS,
    MAIN,
    STAGE_1,
    STAGE_2,
    USER,
    Rule,
    base_rules,
    jump_rules,
    network_rules,
)

NEW_CHAIN = "new-chain"
DELETE_CHAIN = "delete-chain"
INSERT = "insert"
APPEND = "append"
DELETE = "delete"
POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a transaction."""

    verb: str
    table: str
    chain: str
    rule: Rule | None = None
    policy: str = ""


@dataclass
class Actual:
    """What a backend reported: rules by (table, chain), in order, and policies of built-in chains."""

    chains: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    policies: dict[tuple[str, str], str] = field(default_factory=dict)

    def has(self, rule: Rule) -> bool:
        """Tell whether a rule is there."""
        return rule.text() in self.chains.get((rule.table, rule.chain), ())

    def count_rules(self) -> int:
        """Return the number of rules of everybody."""
        return sum(len(rules) for rules in self.chains.values())


def parse_save(text: str) -> Actual:
    """Parse the output of iptables-save."""
    actual = Actual()
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            actual.chains.setdefault((table, name), [])
            if policy != "-":
                actual.policies[table, name] = policy
        elif line.startswith("-A "):
            name, _, rule = line[3:].partition(" ")  # a rule may be empty: it counts packets only
            actual.chains.setdefault((table, name), []).append(rule.strip())
    return actual


_GRAMMAR = re.compile(
    r"(?:(?P<ns>! )?-s (?P<s>\S+) ?)?"
    r"(?:(?P<nd>! )?-d (?P<d>\S+) ?)?"
    r"(?:(?P<ni>! )?-i (?P<i>\S+) ?)?"
    r"(?:(?P<no>! )?-o (?P<o>\S+) ?)?"
    r"(?:-p (?P<p>tcp|udp|sctp) ?)?"
    r"(?:-m conntrack --ctstate (?P<state>\S+) ?)?"
    r"(?:-m addrtype (?P<nt>! )?--dst-type (?P<type>\S+) ?)?"
    r"(?:-m (?:tcp|udp|sctp) --dport (?P<port>\d+) ?)?"
    r"-j (?P<target>\S+)(?: --to-destination (?P<to>\S+))?"
)


def parse_rule(table: str, chain: str, text: str) -> Rule | None:
    """Return the Rule that renders to ``text``, None when none does (so it is not one of ours)."""
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        return None

    def value(name: str) -> str:
        content = found[name] or ""
        return f"! {content}" if content and found[f"n{name}"] else content

    rule = Rule(
        table,
        chain,
        found["target"],
        source=value("s"),
        destination=value("d"),
        in_interface=value("i"),
        out_interface=value("o"),
        protocol=found["p"] or "",
        destination_port=int(found["port"] or 0),
        states=found["state"] or "",
        destination_type=("! " if found["nt"] else "") + (found["type"] or ""),
        to=found["to"] or "",
    )
    return rule if rule.text() == text else None


def add(rule: Rule) -> Change:
    """Return the change that adds a rule where it belongs."""
    return Change(INSERT if rule.head else APPEND, rule.table, rule.chain, rule)


def delete(rule: Rule) -> Change:
    """Return the change that deletes a rule."""
    return Change(DELETE, rule.table, rule.chain, rule)


def ensure_base(actual: Actual, version: int) -> list[Change]:
    """Return what is missing of our chains, their ends and the jumps to them."""
    changes = [
        Change(NEW_CHAIN, table, chain)
        for table, chains in CHAINS.items()
        for chain in chains
        if (table, chain) not in actual.chains
    ]
    changes += [add(rule) for rule in base_rules(version) if not actual.has(rule)]
    return changes


def lift_jumps() -> list[Change]:
    """Return the changes that bring our jumps back to the top of FORWARD."""
    return [change for rule in jump_rules() for change in (delete(rule), add(rule))]


def add_network(network: Network, version: int) -> list[Change]:
    """Return the changes for a new network; the base must be there."""
    rules = network_rules(network, version)
    changes = [add(rule) for rule in rules]
    return changes + lift_jumps() if any(rule.chain == "FORWARD" for rule in rules) else changes


def _is_ours(rule: Rule, bridges: frozenset[str], subnets: Sequence[Net]) -> bool:
    names = {rule.in_interface.removeprefix("! "), rule.out_interface.removeprefix("! ")}
    if rule.chain in (MAIN, STAGE_1, STAGE_2):
        return bool(names & bridges)
    if rule.table == "nat" and rule.chain == "POSTROUTING" and rule.target == "MASQUERADE":
        if names & bridges:
            return True
        if rule.source and rule.source == rule.destination and rule.destination_port:
            try:
                address = ipaddress.ip_interface(rule.source).ip
            except ValueError:
                return False
            return any(address in subnet for subnet in subnets)
    return False


def synchronise(
    actual: Actual,
    version: int,
    networks: Iterable[Network],
    ports: Sequence[Rule],
    gone: Iterable[Network] = (),
) -> list[Change]:
    """Return the changes that make the firewall what our rows say, touching nobody else's rules.

    ``networks`` and ``ports`` are what should be; ``gone`` are networks whose rules may be left over
    from a process that was killed.
    """
    networks, gone = list(networks), list(gone)
    changes = ensure_base(actual, version)
    everyone = [*networks, *gone]
    bridges = frozenset(n.bridge for n in everyone if n.bridge)
    subnets = [p.network for n in everyone for p in n.pools]
    wanted: dict[tuple[str, str, str], Rule] = {}
    for rule in [*(r for n in networks for r in network_rules(n, version)), *ports]:
        wanted.setdefault((rule.table, rule.chain, rule.text()), rule)
    for (table, chain), texts in actual.chains.items():
        for text, number in Counter(texts).items():
            found = parse_rule(table, chain, text)
            if found is None or not _is_ours(found, bridges, subnets):
                continue
            extra = number - 1 if (table, chain, text) in wanted else number
            changes += [delete(found)] * extra
    changes += _forward(actual, version, networks, gone)
    changes += [add(rule) for rule in wanted.values() if rule.chain != "FORWARD" and not actual.has(rule)]
    return changes


def restore_missing(
    actual: Actual, version: int, networks: Iterable[Network], ports: Sequence[Rule]
) -> list[Change]:
    """Return the changes that bring back what somebody flushed, while the service is at work.

    Unlike ``synchronise`` it takes no rule for stale: one that is not among ``ports`` may belong to a
    sandbox that is being made at this moment.
    """
    return [
        change
        for change in synchronise(actual, version, networks, ports)
        if change.verb != DELETE or change.chain == "FORWARD"
    ]


def _forward(actual: Actual, version: int, networks: list[Network], gone: list[Network]) -> list[Change]:
    """FORWARD depends on order: a network's group is left alone when whole, else made anew."""
    present = actual.chains.get(("filter", "FORWARD"), [])
    changes: list[Change] = []
    renewed = False
    for network in [*gone, *networks]:
        possible = dict.fromkeys(
            rule
            for icc in (True, False)
            for internal in (True, False)
            for rule in network_rules(_variant(network, icc, internal), version)
            if rule.chain == "FORWARD"
        )
        there = [rule for rule in possible if rule.text() in present]
        group = [r for r in network_rules(network, version) if r.chain == "FORWARD"]
        wanted = [] if network in gone else group
        order = [text for text in present if text in {rule.text() for rule in possible}]
        if order == [rule.text() for rule in reversed(wanted)]:
            continue
        changes += [delete(rule) for rule in there for _ in range(present.count(rule.text()))]
        changes += [add(rule) for rule in wanted]
        renewed = renewed or bool(wanted)
    counts = [present.count(rule.text()) for rule in jump_rules()]
    for rule, count in zip(jump_rules(), counts, strict=True):
        changes += [delete(rule)] * (count - 1)
    if renewed or any(count != 1 for count in counts):
        changes += lift_jumps()
    return changes


def _variant(network: Network, icc: bool, internal: bool) -> Network:
    return dataclasses.replace(network, icc=icc, internal=internal)


def remove_all(
    actual: Actual, version: int, networks: Iterable[Network], ports: Sequence[Rule]
) -> list[Change]:
    """Return the changes of an uninstall: our rules, and the shared chains when nobody else uses them."""
    gone = list(networks)
    if not any(key in actual.chains for key in (("nat", MAIN), ("filter", MAIN), ("raw", MAIN))):
        return []
    changes = [change for change in synchronise(actual, version, [], [], gone) if change.verb == DELETE]
    deleted = Counter((c.table, c.chain, c.rule.text()) for c in changes if c.rule is not None)
    for rule in ports:
        key = (rule.table, rule.chain, rule.text())
        if actual.has(rule) and not deleted[key]:
            changes.append(delete(rule))
            deleted[key] += 1
    base = {(r.table, r.chain, r.text()) for r in base_rules(version)}
    for (table, chain), texts in actual.chains.items():
        if chain not in CHAINS.get(table, ()):
            continue
        for text, number in Counter(texts).items():
            if (table, chain, text) in base or deleted[table, chain, text] >= number:
                continue
            return changes  # somebody else's rule stands in a shared chain: leave chains and jumps
    for rule in base_rules(version):
        present = actual.chains.get((rule.table, rule.chain), [])
        changes += [delete(rule)] * present.count(rule.text())
    changes += [
        Change(DELETE_CHAIN, table, chain)
        for table, chains in CHAINS.items()
        for chain in chains
        if (table, chain) in actual.chains
    ]
    return changes


__all__ = ["USER", "Actual", "Change", "parse_rule", "parse_save", "remove_all", "synchronise"]
