"""The firewall as data: which rules a network and a published port need, with Docker's meaning.

A rule renders to exactly the text ``iptables-save`` prints, so "is it there" is a comparison of
strings. Every rule that stands in a shared chain names a bridge or an address of ours, so several
instances (and a dockerd) share one host: each adds and deletes its own rules, nobody flushes.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from trine.network.model import Endpoint, Network, Port

MAIN = "TRINE"
USER = "TRINE-USER"
STAGE_1 = "TRINE-ISOLATION-STAGE-1"
STAGE_2 = "TRINE-ISOLATION-STAGE-2"

# Our chains, by table.
CHAINS: dict[str, tuple[str, ...]] = {
    "filter": (MAIN, STAGE_1, STAGE_2, USER),
    "nat": (MAIN,),
    "raw": (MAIN,),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. A value that starts with "! " is negated, as iptables-save writes it."""

    table: str
    chain: str
    target: str
    source: str = ""
    destination: str = ""
    in_interface: str = ""
    out_interface: str = ""
    protocol: str = ""
    destination_port: int = 0
    states: str = ""  # conntrack states
    destination_type: str = ""  # addrtype
    to: str = ""  # of DNAT
    head: bool = False  # goes before what is there, not behind it

    def text(self) -> str:
        """Return the rule as iptables-save prints it behind "-A CHAIN"."""
        parts = []
        for option, value in (
            ("-s", self.source),
            ("-d", self.destination),
            ("-i", self.in_interface),
            ("-o", self.out_interface),
            ("-p", self.protocol),
        ):
            if value.startswith("! "):
                parts.append(f"! {option} {value[2:]}")
            elif value:
                parts.append(f"{option} {value}")
        if self.states:
            parts.append(f"-m conntrack --ctstate {self.states}")
        if self.destination_type.startswith("! "):
            parts.append(f"-m addrtype ! --dst-type {self.destination_type[2:]}")
        elif self.destination_type:
            parts.append(f"-m addrtype --dst-type {self.destination_type}")
        if self.destination_port:
            parts.append(f"-m {self.protocol} --dport {self.destination_port}")
        parts.append(f"-j {self.target}")
        if self.to:
            parts.append(f"--to-destination {self.to}")
        return " ".join(parts)


def base_rules(version: int) -> list[Rule]:
    """Return the jumps from the built-in chains and the ends of ours, for IPv4 or IPv6."""
    loopback = "127.0.0.0/8" if version == 4 else "::1/128"
    rules = [
        Rule("raw", "PREROUTING", MAIN, head=True),
        Rule("nat", "PREROUTING", MAIN, destination_type="LOCAL"),
        Rule("nat", "OUTPUT", MAIN, destination=f"! {loopback}", destination_type="LOCAL"),
        Rule("filter", USER, "RETURN"),
        Rule("filter", STAGE_1, "RETURN"),
        Rule("filter", STAGE_2, "RETURN"),
        *jump_rules(),
    ]
    if version == 4:
        # Docker lets a neighbour reach ports published on 127.0.0.1 by routing 127.0.0.1 to this host.
        rules.append(Rule("raw", MAIN, "DROP", destination=loopback, in_interface="! lo"))
    return rules


def jump_rules() -> list[Rule]:
    """Return the jumps at the top of FORWARD; the last one ends up first."""
    return [
        Rule("filter", "FORWARD", STAGE_1, head=True),
        Rule("filter", "FORWARD", USER, head=True),
    ]


def network_rules(network: Network, version: int) -> list[Rule]:
    """Return the rules of one bridge network, in the order in which they are to be applied.

    Those with ``head`` are inserted one before the other, so the last of them comes first.
    """
    pool = network.pool4 if version == 4 else network.pool6
    bridge = network.bridge
    subnet = pool.subnet if pool is not None else ""
    if version == 6 and not subnet:
        # Containers have link-local addresses even without an IPv6 pool: keep icc=false true for them.
        if network.icc:
            return []
        return [
            Rule("filter", "FORWARD", "DROP", in_interface=bridge, out_interface=bridge, head=True),
        ]
    rules = [
        Rule(
            "filter",
            "FORWARD",
            "ACCEPT" if network.icc else "DROP",
            in_interface=bridge,
            out_interface=bridge,
            head=True,
        )
    ]
    if network.internal:
        rules.append(
            Rule("filter", STAGE_1, "DROP", destination=f"! {subnet}", in_interface=bridge, head=True)
        )
        rules.append(Rule("filter", STAGE_1, "DROP", source=f"! {subnet}", out_interface=bridge, head=True))
    else:
        rules += [
            Rule("filter", "FORWARD", "ACCEPT", in_interface=bridge, out_interface=f"! {bridge}", head=True),
            Rule("filter", "FORWARD", MAIN, out_interface=bridge, head=True),
            Rule(
                "filter", "FORWARD", "ACCEPT", out_interface=bridge, states="RELATED,ESTABLISHED", head=True
            ),
            Rule("filter", STAGE_1, STAGE_2, in_interface=bridge, out_interface=f"! {bridge}", head=True),
            # What no published port accepted, nobody from outside may reach.
            Rule("filter", MAIN, "DROP", in_interface=f"! {bridge}", out_interface=bridge),
        ]
    # Other networks must not reach an internal one either.
    rules.append(Rule("filter", STAGE_2, "DROP", out_interface=bridge, head=True))
    if network.masquerade and not network.internal:
        rules.append(
            Rule("nat", "POSTROUTING", "MASQUERADE", source=subnet, out_interface=f"! {bridge}", head=True)
        )
    # From a container to a port published on the host: the port holder answers, no DNAT.
    rules.append(Rule("nat", MAIN, "RETURN", in_interface=bridge, head=True))
    if network.masquerade or network.internal:
        # Nobody routes to container addresses directly; replies come with the host's address.
        rules.append(
            Rule(
                "raw",
                MAIN,
                "DROP",
                destination=subnet,
                in_interface=f"! {bridge}",
                destination_type="! LOCAL",
            )
        )
    return rules


def _host(address: str) -> str:
    parsed = ipaddress.ip_address(address)
    return f"{parsed}/{parsed.max_prefixlen}"


def port_rules(network: Network, endpoint: Endpoint, port: Port, version: int) -> list[Rule]:
    """Return the rules of one published port on one host address; none when versions do not match."""
    address = endpoint.ipv4 if version == 4 else endpoint.ipv6
    host = ipaddress.ip_address(port.host_ip)
    if not address or host.version != version:
        return []
    bridge = network.bridge
    target = _host(address)
    written = address if version == 4 else f"[{address}]"
    return [
        Rule(
            "nat",
            MAIN,
            "DNAT",
            destination="" if host.is_unspecified else _host(port.host_ip),
            in_interface=f"! {bridge}",
            protocol=port.protocol,
            destination_port=port.host_port,
            to=f"{written}:{port.container_port}",
        ),
        Rule(
            "nat",
            "POSTROUTING",
            "MASQUERADE",
            source=target,
            destination=target,
            protocol=port.protocol,
            destination_port=port.container_port,
        ),
        Rule(
            "filter",
            MAIN,
            "ACCEPT",
            destination=target,
            in_interface=f"! {bridge}",
            out_interface=bridge,
            protocol=port.protocol,
            destination_port=port.container_port,
            head=True,
        ),
    ]
