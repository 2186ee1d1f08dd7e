"""Address management by tables: subnets, addresses, MAC addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.kit.errors import ConflictError, EngineError, InvalidArgumentError, ResourceExhaustedError
from trine.network import ipam
from trine.network.ipam import AddressPool, DefaultPool


def net(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text)


@pytest.mark.parametrize(
    ("used", "host", "expected"),
    [
        ([], [], "172.17.0.0/16"),
        ([], ["172.17.0.0/16"], "172.18.0.0/16"),  # a docker0 is there
        ([], ["172.17.5.0/24"], "172.18.0.0/16"),  # a part of it is enough
        ([], ["172.16.0.0/12"], "192.168.0.0/20"),  # a VPN covers them all
        (["172.17.0.0/16", "172.18.0.0/16"], ["172.19.255.53/32"], "172.20.0.0/16"),  # a name server
        ([], ["fd00::/8"], "172.17.0.0/16"),
        (["172.16.0.0/12", "192.168.0.0/20"], [], "192.168.16.0/20"),
    ],
)
def test_next_free_subnet(used: list[str], host: list[str], expected: str) -> None:
    found = ipam.choose_subnet(ipam.DEFAULT_POOLS, [net(u) for u in used], [net(h) for h in host])
    assert str(found) == expected


def test_no_subnet_left() -> None:
    with pytest.raises(ResourceExhaustedError, match="non-overlapping IPv4 address pool among the defaults"):
        ipam.choose_subnet(ipam.DEFAULT_POOLS, [], [net("172.16.0.0/12"), net("192.168.0.0/16")])


def test_unique_local_subnet() -> None:
    one = ipam.choose_subnet6(ipam.DEFAULT_POOLS, [], [])
    two = ipam.choose_subnet6(ipam.DEFAULT_POOLS, [one], [])
    assert one != two
    for subnet in (one, two):
        assert subnet.prefixlen == 64 and subnet.subnet_of(net("fd00::/8"))  # type: ignore[arg-type]
    own = [DefaultPool(net("fd12::/48"), 64)]
    assert str(ipam.choose_subnet6(own, [net("fd12::/64")], [])) == "fd12:0:0:1::/64"


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.0/33", "hello", "10.0.0/24", "", "10.0.0.0/8/9"])
def test_bad_subnets(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="invalid CIDR address"):
        ipam.parse_subnet(text)


def test_host_bits_are_dropped_as_docker_does() -> None:
    assert str(ipam.parse_subnet("10.1.2.3/24")) == "10.1.2.0/24"


def test_overlap_is_refused() -> None:
    with pytest.raises(ConflictError) as error:
        ipam.check_subnet(net("10.0.5.0/24"), [net("10.0.0.0/16")])
    assert error.value.message == "Pool overlaps with other one on this address space"
    ipam.check_subnet(net("10.1.0.0/24"), [net("10.0.0.0/16"), net("fd00::/64")])


@pytest.mark.parametrize("text", ["10.0.0.0/31", "10.0.0.0/32", "fd00::/127"])
def test_too_small_subnets(text: str) -> None:
    with pytest.raises(EngineError):
        ipam.check_subnet(net(text), [])


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("base=10.0.0.0/8,size=24", True),
        ("base=10.0.0.0/24,size=24", True),
        ("base=fd00::/48,size=64", True),
        ("base=10.0.0.0/24,size=16", False),
        ("base=10.0.0.0/8,size=33", False),
        ("base=10.0.0.0/8", False),
        ("size=24", False),
        ("base=x,size=24", False),
        ("", False),
    ],
)
def test_default_address_pool_flag(text: str, good: bool) -> None:
    if good:
        ipam.parse_default_pool(text)
    else:
        with pytest.raises(InvalidArgumentError, match="--default-address-pool"):
            ipam.parse_default_pool(text)


def test_addresses_are_handed_out_lowest_first() -> None:
    pool = AddressPool(net("10.0.0.0/29"))
    assert [str(pool.allocate()) for _ in range(6)] == [f"10.0.0.{n}" for n in range(1, 7)]
    assert pool.allocate() is None  # network and broadcast addresses are never given
    pool.release(ipaddress.ip_address("10.0.0.3"))
    pool.release(ipaddress.ip_address("10.0.0.3"))
    assert str(pool.allocate()) == "10.0.0.3"
    assert pool.allocate() is None


def test_a_range_and_fixed_addresses() -> None:
    pool = AddressPool(net("10.0.0.0/24"), net("10.0.0.128/30"))
    pool.take(ipaddress.ip_address("10.0.0.129"))
    pool.take(ipaddress.ip_address("10.0.0.7"))  # outside the range, inside the subnet
    with pytest.raises(ConflictError, match="Address already in use"):
        pool.take(ipaddress.ip_address("10.0.0.7"))
    for outside in ("10.0.1.1", "fd00::1"):
        with pytest.raises(InvalidArgumentError, match="out of range"):
            pool.take(ipaddress.ip_address(outside))
    assert [str(pool.allocate()) for _ in range(3)] == ["10.0.0.128", "10.0.0.130", "10.0.0.131"]
    assert pool.allocate() is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 15)), max_size=200))
def test_an_address_is_never_given_twice(steps: list[tuple[bool, int]]) -> None:
    pool = AddressPool(net("10.0.0.0/28"))
    given_out: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    for allocate, which in steps:
        if allocate:
            found = pool.allocate()
            assert (found is None) == (len(given_out) == 14)
            if found is not None:
                assert found not in given_out and found == min(
                    a for a in net("10.0.0.0/28").hosts() if a not in given_out
                )
                given_out.add(found)
        elif given_out:
            address = sorted(given_out, key=int)[which % len(given_out)]
            given_out.remove(address)
            pool.release(address)


def test_mac_addresses() -> None:
    assert ipam.mac_address(ipaddress.ip_address("172.17.0.2")) == "02:42:ac:11:00:02"
    assert ipam.random_mac().startswith("02:42:") and len(ipam.random_mac()) == 17
