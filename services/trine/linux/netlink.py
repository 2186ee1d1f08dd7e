"""Route netlink by hand: many requests in one send, one answer for each (netlink(7), rtnetlink(7)).

A general library parses every link and address it meets; here a container's link is three messages
packed with struct and sent at once. The socket belongs to the network namespace of the thread that
made it, for as long as it is open, whatever namespace the caller is in later.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NETLINK_ROUTE = 0
_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NETLINK_CAP_ACK = 10

# <linux/netlink.h>
NLM_F_REQUEST = 1
NLM_F_ACK = 4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NLMSGERR_ATTR_MSG = 1
_NLM_F_ACK_TLVS = 0x200
_NLM_F_CAPPED = 0x100

# <linux/rtnetlink.h>
RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26
_RT_TABLE_MAIN = 254
_RTPROT_BOOT = 3
_RT_SCOPE_UNIVERSE = 0
_RT_SCOPE_LINK = 253
_RTN_UNICAST = 1

# <linux/if_link.h>
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_MASTER = 10
IFLA_LINKINFO = 18
IFLA_IFALIAS = 20
IFLA_NET_NS_FD = 28
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_VETH_INFO_PEER = 1
_BR_NF_CALL_IPTABLES = 36
_BR_NF_CALL_IP6TABLES = 37

_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_BROADCAST = 4
_IFA_F_NODAD = 0x02
_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5

IFF_UP = 1
_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBi")
_RTMSG = struct.Struct("=BBBBBBBBI")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Net = ipaddress.IPv4Network | ipaddress.IPv6Network


class NetlinkError(OSError):
    """The kernel refused one message of a batch; ``what`` says which, in words."""

    def __init__(self, number: int, what: str, detail: str = "") -> None:
        """Keep errno, what was asked, and the kernel's own sentence (NLMSGERR_ATTR_MSG) if it sent one."""
        text = os.strerror(number) + (f" ({detail})" if detail else "")
        super().__init__(number, f"{what}: {text}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Message:
    """One request of a batch."""

    kind: int  # RTM_*
    flags: int  # NLM_F_* besides REQUEST and ACK
    body: bytes
    what: str  # for the error text
    ignore: tuple[int, ...] = ()  # errno values that are as good as success


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    kind: str  # "veth", "bridge", … or empty
    up: bool
    mtu: int
    mac: str
    master: int  # index of the bridge, or 0
    alias: str


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NLA_F_NESTED, value)


def _mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _ifinfo(index: int = 0, up: bool | None = None) -> bytes:
    flags = IFF_UP if up else 0
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, 0 if up is None else IFF_UP)


def bridge_add(name: str, mac: str, mtu: int = 0) -> Message:
    """Make a bridge, down; EEXIST is an error."""
    body = _ifinfo() + _text(IFLA_IFNAME, name) + _attribute(IFLA_ADDRESS, _mac(mac))
    if mtu:
        body += _number(IFLA_MTU, mtu)
    body += _nested(IFLA_LINKINFO, _text(_IFLA_INFO_KIND, "bridge"))
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"add bridge {name}")


def bridge_netfilter(name: str, on: bool) -> Message:
    """Make what a bridge passes on go through iptables and ip6tables, whatever the host's switch says."""
    data = _attribute(_BR_NF_CALL_IPTABLES, bytes([on])) + _attribute(_BR_NF_CALL_IP6TABLES, bytes([on]))
    info = _text(_IFLA_INFO_KIND, "bridge") + _nested(_IFLA_INFO_DATA, data)
    body = _ifinfo() + _text(IFLA_IFNAME, name) + _nested(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, 0, body, f"set netfilter of bridge {name}", (errno.EOPNOTSUPP, errno.EINVAL))


def veth_add(
    name: str, *, peer: str, peer_netns: int, peer_mac: str, master: int, mtu: int, mac: str = ""
) -> Message:
    """Make a veth pair: ``name`` here, up, in bridge ``master``; ``peer`` in an open namespace, down.

    (The peer cannot be up from the start: the kernel opens it before the pair is joined, ENOTCONN.)
    """
    peer_body = _ifinfo() + _text(IFLA_IFNAME, peer) + _attribute(IFLA_ADDRESS, _mac(peer_mac))
    peer_body += _number(IFLA_MTU, mtu) + _number(IFLA_NET_NS_FD, peer_netns)
    info = _text(_IFLA_INFO_KIND, "veth") + _nested(_IFLA_INFO_DATA, _nested(_VETH_INFO_PEER, peer_body))
    body = _ifinfo(up=True) + _text(IFLA_IFNAME, name) + _number(IFLA_MTU, mtu)
    if mac:
        body += _attribute(IFLA_ADDRESS, _mac(mac))
    body += _number(IFLA_MASTER, master) + _nested(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"add veth {name} and {peer}")


def link_set(name: str, *, up: bool | None = None, master: int | None = None, mtu: int = 0) -> Message:
    """Change a link, by name; ``master`` 0 takes it out of its bridge."""
    body = _ifinfo(up=up) + _text(IFLA_IFNAME, name)
    if mtu:
        body += _number(IFLA_MTU, mtu)
    if master is not None:
        body += _number(IFLA_MASTER, master)
    return Message(RTM_NEWLINK, 0, body, f"set link {name}")


def link_delete(name: str) -> Message:
    """Delete a link, by name; one that is not there is fine."""
    return Message(
        RTM_DELLINK, 0, _ifinfo() + _text(IFLA_IFNAME, name), f"delete link {name}", (errno.ENODEV,)
    )


def address_add(index: int, address: Interface) -> Message:
    """Give an interface an address (no duplicate address detection); one it has already is fine."""
    packed = address.ip.packed
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = 0 if address.version == 4 else _IFA_F_NODAD
    body = _IFADDR.pack(family, address.network.prefixlen, flags, 0, index)
    body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    if address.version == 4 and address.network.prefixlen < 31:
        body += _attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"add address {address}", (errno.EEXIST,))


def address_delete(index: int, address: Interface) -> Message:
    """Take an address from an interface; one it does not have is fine."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _IFADDR.pack(family, address.network.prefixlen, 0, 0, index)
    body += _attribute(_IFA_LOCAL, address.ip.packed) + _attribute(_IFA_ADDRESS, address.ip.packed)
    return Message(RTM_DELADDR, 0, body, f"delete address {address}", (errno.EADDRNOTAVAIL, errno.ENODEV))


def _route(family: int, destination: Net | None, gateway: Address | None, index: int) -> bytes:
    prefix = destination.prefixlen if destination is not None else 0
    scope = _RT_SCOPE_UNIVERSE if gateway is not None else _RT_SCOPE_LINK
    body = _RTMSG.pack(family, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    if destination is not None:
        body += _attribute(_RTA_DST, destination.network_address.packed)
    if gateway is not None:
        body += _attribute(_RTA_GATEWAY, gateway.packed)
    return body + _number(_RTA_OIF, index)


def default_route(gateway: Address, index: int) -> Message:
    """Add or replace the default route."""
    family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
    body = _route(family, None, gateway, index)
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, f"add default route via {gateway}")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the attributes in ``data``: (type without flags, value)."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Netlink:
    """An open netlink socket, used by one thread at a time."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        """Open it in the network namespace this thread is in. Raises OSError."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket, and with it the hold on its namespace."""
        self._socket.close()

    def run(self, messages: Sequence[Message]) -> None:
        """Send all messages in one system call and read every acknowledgement.

        The kernel works through all of them even when one fails. Raises NetlinkError for the first
        that failed with an errno its message does not ignore.
        """
        for error in self.attempt(messages):
            if error is not None:
                raise error

    def attempt(self, messages: Sequence[Message]) -> list[NetlinkError | None]:
        """Like ``run``, but return one result a message instead of raising."""
        if not messages:
            return []
        first = self._sequence + 1
        parts = []
        for message in messages:
            self._sequence += 1
            flags = message.flags | NLM_F_REQUEST | NLM_F_ACK
            parts.append(
                _HEADER.pack(16 + len(message.body), message.kind, flags, self._sequence, 0) + message.body
            )
        self._socket.send(b"".join(parts))
        results: list[NetlinkError | None] = [None] * len(messages)
        missing = set(range(first, self._sequence + 1))
        while missing:
            for kind, flags, sequence, body in self._receive():
                if kind != _NLMSG_ERROR or sequence not in missing:
                    continue
                missing.discard(sequence)
                message = messages[sequence - first]
                number = -struct.unpack_from("=i", body)[0]
                if number and number not in message.ignore:
                    results[sequence - first] = NetlinkError(number, message.what, _detail(flags, body))
        return results

    def dump(self, kind: int, body: bytes) -> Iterable[bytes]:
        """Return the bodies of all answers to one dump request. Raises NetlinkError."""
        self._sequence += 1
        self._socket.send(
            _HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0) + body
        )
        found: list[bytes] = []
        while True:
            for answer, _flags, sequence, content in self._receive():
                if sequence != self._sequence:
                    continue
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    raise NetlinkError(-struct.unpack_from("=i", content)[0], "dump")
                found.append(content)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(1 << 17)
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3

    def links(self) -> list[Link]:
        """Return all interfaces of the namespace."""
        return [_parse_link(body) for body in self.dump(RTM_GETLINK, _ifinfo())]

    def link_index(self, name: str) -> int:
        """Return the index of an interface; raises NetlinkError (ENODEV) when there is none."""
        self._sequence += 1
        body = _ifinfo() + _text(IFLA_IFNAME, name)
        self._socket.send(_HEADER.pack(16 + len(body), RTM_GETLINK, NLM_F_REQUEST, self._sequence, 0) + body)
        while True:
            for kind, flags, sequence, content in self._receive():
                if sequence != self._sequence:
                    continue
                if kind == _NLMSG_ERROR:
                    raise NetlinkError(
                        -struct.unpack_from("=i", content)[0], f"find link {name}", _detail(flags, content)
                    )
                return int(_IFINFO.unpack_from(content)[2])

    def addresses(self, index: int) -> list[Interface]:
        """Return the addresses of one interface."""
        found: list[Interface] = []
        for body in self.dump(RTM_GETADDR, _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _family, prefix, _flags, _scope, owner = _IFADDR.unpack_from(body)
            if owner != index:
                continue
            values = dict(attributes(body[_IFADDR.size :]))
            packed = values.get(_IFA_LOCAL) or values[_IFA_ADDRESS]
            found.append(ipaddress.ip_interface((packed, prefix)))
        return found

    def routes(self) -> list[tuple[Net, int]]:
        """Return the destinations in the main table, without default routes, with their interface."""
        found: list[tuple[Net, int]] = []
        request = _RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
        for body in self.dump(RTM_GETROUTE, request):
            _family, prefix, _src, _tos, table, _proto, _scope, _kind, _flags = _RTMSG.unpack_from(body)
            values = dict(attributes(body[_RTMSG.size :]))
            if table != _RT_TABLE_MAIN or not prefix or _RTA_DST not in values:
                continue
            index = struct.unpack("=i", values[_RTA_OIF])[0] if _RTA_OIF in values else 0
            found.append((ipaddress.ip_network((values[_RTA_DST], prefix), strict=False), index))
        return found


def _detail(flags: int, body: bytes) -> str:
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    # struct nlmsgerr: errno, then the request's header (and its body unless capped), then attributes.
    start = 20
    if not flags & _NLM_F_CAPPED:
        start = 4 + ((struct.unpack_from("=I", body, 4)[0] + 3) & ~3)
    for kind, value in attributes(body[start:]):
        if kind == _NLMSGERR_ATTR_MSG:
            return value.rstrip(b"\0").decode(errors="replace")
    return ""


def _parse_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _IFINFO.unpack_from(body)
    values = dict(attributes(body[_IFINFO.size :]))
    kind = ""
    if IFLA_LINKINFO in values:
        kind = dict(attributes(values[IFLA_LINKINFO])).get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode()
    return Link(
        index=index,
        name=values[IFLA_IFNAME].rstrip(b"\0").decode(),
        kind=kind,
        up=bool(flags & IFF_UP),
        mtu=struct.unpack("=I", values[IFLA_MTU])[0] if IFLA_MTU in values else 0,
        mac=values.get(IFLA_ADDRESS, b"").hex(":"),
        master=struct.unpack("=I", values[IFLA_MASTER])[0] if IFLA_MASTER in values else 0,
        alias=values.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace"),
    )
