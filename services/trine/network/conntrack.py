"""Connection tracking: forget flows, by pyroute2's conntrack socket (the kernel filters, since 5.8).

A UDP flow that was tracked before a redirection existed, or to a container that is gone, is not looked
at by the nat table again while packets keep coming: its entry must go for the new rules to count.

The library is loaded with the first published UDP port: it costs 70 to 90 ms and 9 MB once, which the
start of the service and containers without UDP ports need not pay (docs/decisions.md).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from typing import Any

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def forget_udp(ports: Collection[int], versions: Collection[int] = (4, 6)) -> int:
    """Delete the tracked UDP flows to any of these ports, of this thread's namespace; return how many.

    ``versions`` of IP are looked at: the kernel walks its whole table for each, which takes 10 ms.
    Raises OSError where the kernel has no ctnetlink.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return sum(_forget(FAMILIES[version], ports) for version in versions)
    except NetlinkError as error:  # not an OSError
        raise OSError(error.code, f"conntrack: {error}") from error


def _forget(family: int, ports: Collection[int]) -> int:
    from pyroute2 import NFCTSocket
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    # One port: the kernel sends its flows only. Several: one walk through its table, all of UDP.
    only = next(iter(ports)) if len(ports) == 1 else None
    wanted = NFCTAttrTuple(family=family, proto=socket.IPPROTO_UDP, dport=only)
    forgotten = 0
    with NFCTSocket(nfgen_family=family) as conntrack:
        for flow in list(conntrack.dump(tuple_orig=wanted)):
            original = NFCTAttrTuple.from_netlink(family, flow.get_attr("CTA_TUPLE_ORIG"))
            if original.dport in ports:
                forgotten += _delete(conntrack, original)
    return forgotten


def _delete(conntrack: Any, original: Any) -> bool:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        conntrack.entry("del", tuple_orig=original)
    except NetlinkError as error:
        if error.code != errno.ENOENT:  # it ended by itself
            raise
        return False
    return True
