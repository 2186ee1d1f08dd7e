"""Which capabilities a process gets: Docker's default set, --cap-add, --cap-drop, --privileged.

Pure: names in, names out. Numbers are those of linux/capability.h (capabilities(7)).
"""

from __future__ import annotations

from collections.abc import Iterable

NAMES: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
NUMBERS: dict[str, int] = {name: number for number, name in enumerate(NAMES)}
ALL_MASK = (1 << len(NAMES)) - 1

DEFAULT: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
)
"""What Docker gives when nothing is asked: CapEff 00000000a80425fb."""

_EVERYTHING = "ALL"


class CapabilityError(ValueError):
    """A capability nobody knows; the text is for the user."""


def normalize(name: str) -> str:
    """Return a capability's full name ("net_admin" gives "CAP_NET_ADMIN"; "all" gives "ALL").

    Raises:
        CapabilityError: in Docker's words, when there is no such capability.
    """
    upper = name.upper()
    if upper == _EVERYTHING:
        return upper
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in NUMBERS:
        raise CapabilityError(f'unknown capability: "{full}"')
    return full


def to_mask(names: Iterable[str]) -> int:
    """Return the bit mask of full names; a name this table lacks is left out."""
    mask = 0
    for name in names:
        if (number := NUMBERS.get(name)) is not None:
            mask |= 1 << number
    return mask


def from_mask(mask: int) -> list[str]:
    """Return full names in order of number; bits this table lacks are left out."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def granted(
    add: Iterable[str], drop: Iterable[str], privileged: bool, host_mask: int = ALL_MASK
) -> list[str]:
    """Return the capabilities of a container's process, in order of number.

    Args:
        add: --cap-add, any spelling, "ALL" included.
        drop: --cap-drop, likewise. With ALL dropped only what is added stays, as in Docker.
        privileged: everything the host has, whatever is dropped.
        host_mask: bounding set of the service itself; nothing beyond it can be granted.

    Raises:
        CapabilityError: for an unknown name, with Docker's prefix ("invalid CapAdd: …").
    """
    added = _all_normalized(add, "CapAdd")
    dropped = _all_normalized(drop, "CapDrop")
    if privileged:
        chosen = ALL_MASK
    elif _EVERYTHING in added:
        chosen = ALL_MASK & ~to_mask(dropped)
    elif _EVERYTHING in dropped:
        chosen = to_mask(added)
    else:
        chosen = to_mask(DEFAULT) & ~to_mask(dropped) | to_mask(added)
    return from_mask(chosen & host_mask)


def _all_normalized(names: Iterable[str], option: str) -> set[str]:
    try:
        return {normalize(name) for name in names}
    except CapabilityError as error:
        raise CapabilityError(f"invalid {option}: {error}") from None
