"""Connection tracking: forget flows (ctnetlink, <linux/netfilter/nfnetlink_conntrack.h>).

A UDP flow that was tracked before a redirection existed, or to a container that is gone, is not looked
at by the nat table again while packets keep coming: its entry must go for the new rules to count.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from trine.linux.netlink import Message, Netlink, attributes

_NETLINK_NETFILTER = 12
_CT_GET = 0x0101  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
_CT_DELETE = 0x0102
_NESTED = 0x8000
_TUPLE_ORIG, _TUPLE_REPLY, _ID = 1, 2, 12
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
UDP = socket.IPPROTO_UDP


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked connection, as far as it matters here."""

    family: int
    protocol: int
    destination_port: int  # as the client sent it
    answered_by: bytes  # packed address of who answers: the container, after DNAT
    original: bytes  # CTA_TUPLE_ORIG as received: the key for deletion
    identifier: bytes


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _header(family: int) -> bytes:
    return struct.pack(">BBH", family, 0, 0)


def parse(body: bytes) -> Flow | None:
    """Read one answer of a dump; None when it lacks what every flow has."""
    values = dict(attributes(body[4:]))
    if _TUPLE_ORIG not in values or _TUPLE_REPLY not in values:
        return None
    original, reply = dict(attributes(values[_TUPLE_ORIG])), dict(attributes(values[_TUPLE_REPLY]))
    protocol = dict(attributes(original.get(_TUPLE_PROTO, b"")))
    addresses = dict(attributes(reply.get(_TUPLE_IP, b"")))
    port = protocol.get(_PROTO_DST_PORT, b"\0\0")
    return Flow(
        family=body[0],
        protocol=protocol.get(_PROTO_NUM, b"\0")[0],
        destination_port=struct.unpack(">H", port[:2])[0],
        answered_by=addresses.get(1) or addresses.get(3) or b"",  # CTA_IP_V4_SRC or CTA_IP_V6_SRC
        original=values[_TUPLE_ORIG],
        identifier=values.get(_ID, b""),
    )


def forget_udp(ports: Collection[int]) -> int:
    """Delete the tracked UDP flows to any of these ports, of this thread's namespace; return how many.

    Raises OSError where the kernel has no ctnetlink.
    """
    netlink = Netlink(_NETLINK_NETFILTER)
    try:
        messages = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for body in netlink.dump(_CT_GET, _header(family)):
                flow = parse(body)
                if flow is None or flow.protocol != UDP or flow.destination_port not in ports:
                    continue
                content = _header(flow.family) + _attribute(_TUPLE_ORIG | _NESTED, flow.original)
                if flow.identifier:
                    content += _attribute(_ID, flow.identifier)
                messages.append(Message(_CT_DELETE, 0, content, "forget a flow", (errno.ENOENT,)))
        for start in range(0, len(messages), 256):
            netlink.run(messages[start : start + 256])
        return len(messages)
    finally:
        netlink.close()
