"""The driver options of a bridge network, read as Go's strconv reads them, with Docker's messages."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from trine.kit.errors import InvalidArgumentError
from trine.network import model

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}")


@dataclass(frozen=True)
class BridgeOptions:
    """What the options say; empty bridge name and MTU 0 mean: choose."""

    bridge: str = ""
    masquerade: bool = True
    icc: bool = True
    host_binding: str = "0.0.0.0"
    mtu: int = 0
    interface_prefix: str = "eth"


def _refuse(key: str, value: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"failed to parse {key} value: {value} ({why})", reason="INVALID_OPTION")


def _boolean(options: Mapping[str, str], key: str, default: bool) -> bool:
    value = options.get(key)
    if value is None:
        return default
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _refuse(key, value, f'strconv.ParseBool: parsing "{value}": invalid syntax')


def is_interface_name(name: str) -> bool:
    """Tell whether the kernel and iptables take a name for an interface (IFNAMSIZ 16, no slash, no space)."""
    return bool(_INTERFACE.fullmatch(name)) and name not in (".", "..")


def parse(options: Mapping[str, str]) -> BridgeOptions:
    """Read the six bridge options; others are kept by the caller and mean nothing.

    Raises InvalidArgumentError for a value that is no boolean, number, address or interface name.
    """
    bridge = options.get(model.BRIDGE_NAME, "")
    if bridge and not is_interface_name(bridge):
        raise _refuse(model.BRIDGE_NAME, bridge, "invalid interface name")
    mtu = 0
    if model.MTU in options:
        text = options[model.MTU]
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise _refuse(model.MTU, text, f'strconv.Atoi: parsing "{text}": invalid syntax')
        mtu = int(text)
        if mtu < 0 or 0 < mtu < 68 or mtu > 65535:
            raise InvalidArgumentError(f"invalid MTU number: {mtu}", reason="INVALID_OPTION")
    binding = options.get(model.HOST_BINDING, "") or "0.0.0.0"
    try:
        ipaddress.IPv4Address(binding)
    except ValueError as error:
        raise _refuse(model.HOST_BINDING, binding, "nil ip") from error
    prefix = options.get(model.INTERFACE_PREFIX, "") or "eth"
    if not is_interface_name(prefix + "0") or len(prefix) > 12 or prefix == "lo":
        raise _refuse(model.INTERFACE_PREFIX, prefix, "invalid interface name")
    return BridgeOptions(
        bridge=bridge,
        masquerade=_boolean(options, model.ENABLE_MASQUERADE, True),
        icc=_boolean(options, model.ENABLE_ICC, True),
        host_binding=binding,
        mtu=mtu,
        interface_prefix=prefix,
    )
