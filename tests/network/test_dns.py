"""Embedded DNS without a network: what is parsed, what is answered, what a hostile packet does."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.rig import names, parse_dns
from trine.network import dns_messages as dns
from trine.network.dns import Directory


def query(name: str, kind: int = dns.A, klass: int = 1, flags: int = 0x0100) -> bytes:
    return (
        struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 0) + dns.encode_name(name) + struct.pack(">HH", kind, klass)
    )


def endpoint(name: str, ipv4: str, network: str = "n1", **more: Any) -> dict[str, Any]:
    return {
        "network": network,
        "network_name": f"{network}-name",
        "name": name,
        "names": more.get("names", []),
        "ipv4": ipv4,
        "ipv6": more.get("ipv6", ""),
    }


def test_a_query_is_read() -> None:
    found = dns.parse_query(query("Web.Example") + b"additional record")
    assert found is not None
    assert (found.name, found.kind, found.identifier) == ("web.example", dns.A, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 11,
        query("x", flags=0x8100),  # a response
        query("x", flags=0x2800),  # another opcode
        query("x", klass=3),  # CHAOS
        query("x")[:-3],  # cut short
        struct.pack(">HHHHHH", 7, 0, 2, 0, 0, 0) + query("x")[12:],  # two questions
        struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a pointer to itself
        struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + b"\x3fabc",  # a label longer than the packet
    ],
)
def test_what_is_no_query(data: bytes) -> None:
    assert dns.parse_query(data) is None
    assert len(dns.failure(data)) >= 12


@given(st.binary(max_size=600))
def test_no_packet_breaks_the_parser(data: bytes) -> None:
    dns.parse_query(data)
    answer = dns.failure(data)
    assert answer[2] & 0x80  # always a response, never something that asks again


def test_answers() -> None:
    data = query("web")
    question = dns.parse_query(data)
    assert question is not None
    answer = dns.answer(data, question, [(dns.A, b"\1\2\3\4"), (dns.A, b"\5\6\7\10")])
    assert answer[:2] == data[:2]
    assert parse_dns(answer, len(data)) == (0, [b"\1\2\3\4", b"\5\6\7\10"])
    assert parse_dns(dns.answer(data, question, [], dns.SERVFAIL), len(data)) == (2, [])


def test_an_answer_too_long_for_udp_says_so() -> None:
    data = query("many")
    question = dns.parse_query(data)
    assert question is not None
    records = [(dns.A, bytes([10, 0, 0, n])) for n in range(50)]
    assert dns.udp_limit(data, question) == 512
    short = dns.answer(data, question, records, limit=512)
    assert len(short) <= 512 and short[2] & 0x02
    assert 20 < len(parse_dns(short, len(data))[1]) < 50
    # By EDNS a client says that it takes more; less than 512 it cannot say.
    for size, limit in ((4096, 4096), (100, 512)):
        asked = data + b"\0" + struct.pack(">HHIH", 41, size, 0, 0)
        assert dns.udp_limit(asked, question) == limit
    whole = dns.answer(data, question, records, limit=4096)
    assert not whole[2] & 0x02 and len(parse_dns(whole, len(data))[1]) == 50


def a(address: str) -> tuple[int, bytes]:
    return (dns.A, socket.inet_aton(address))


def test_directory() -> None:
    directory = Directory()
    directory.put("s1", [endpoint("web", "10.0.0.2", names=["WWW", "shared"], ipv6="fd00::2")])
    directory.put("s2", [endpoint("db", "10.0.0.3", names=["shared"])])
    directory.put("s3", [endpoint("far", "10.1.0.2", "n2"), endpoint("far", "10.0.0.4")])
    directory.put("s4", [endpoint("alone", "10.2.0.2", "n3")])
    look = directory.look_up
    assert look("s2", "web", dns.A, {}) == [a("10.0.0.2")]
    assert look("s2", "www", dns.A, {}) == [a("10.0.0.2")]
    assert look("s2", "web.n1-name", dns.A, {}) == [a("10.0.0.2")]
    assert look("s2", "web", dns.AAAA, {}) == [(dns.AAAA, socket.inet_pton(socket.AF_INET6, "fd00::2"))]
    assert look("s2", "db", dns.AAAA, {}) == []  # known, but has none
    assert look("s2", "web", 15, {}) == []  # MX of a known name
    assert sorted(look("s3", "shared", dns.A, {}) or []) == [a("10.0.0.2"), a("10.0.0.3")]
    assert look("s2", "alias", dns.A, {"alias": "web"}) == [a("10.0.0.2")]
    # Not on my networks: not mine to know. Nor is anything for who is on none.
    assert look("s4", "web", dns.A, {}) is None
    assert look("s9", "web", dns.A, {}) is None
    assert look("s2", "example.org", dns.A, {}) is None
    reverse = look("s2", "2.0.0.10.in-addr.arpa", dns.PTR, {})
    assert reverse is not None and names([reverse[0][1]]) == ["web.n1-name"]
    assert look("s4", "2.0.0.10.in-addr.arpa", dns.PTR, {}) is None
    # Renamed, then gone.
    directory.put("s1", [endpoint("shop", "10.0.0.2")])
    assert look("s2", "web", dns.A, {}) is None
    assert look("s2", "shared", dns.A, {}) == [a("10.0.0.3")]
    directory.remove("s1")
    directory.remove("s1")
    assert look("s2", "shop", dns.A, {}) is None
    assert look("s2", "2.0.0.10.in-addr.arpa", dns.PTR, {}) is None
