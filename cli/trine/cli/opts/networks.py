"""--network: a name, or "name=web,alias=a,ip=172.30.0.5"."""

from __future__ import annotations


def _list(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def parse_network(text: str) -> dict[str, object]:
    """Return {"network": name, and what else an EndpointRequest has}; raises ValueError."""
    if "=" not in text:
        return {"network": text}
    found: dict[str, object] = {"network": "", "aliases": []}
    options: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        name = name.lower().strip()
        if not equals:
            raise ValueError(f"invalid field {part}: must be a key=value pair")
        if name == "name":
            found["network"] = value
        elif name == "alias":
            found["aliases"] = [*_list(found["aliases"]), value]
        elif name == "ip":
            found["ipv4_address"] = value
        elif name == "ip6":
            found["ipv6_address"] = value
        elif name == "link-local-ip":
            found["link_local_addresses"] = [*_list(found.get("link_local_addresses")), value]
        elif name == "gw-priority":
            try:
                found["gateway_priority"] = int(value)
            except ValueError:
                raise ValueError(f"invalid gw-priority: {value}") from None
        elif name == "mac-address":
            found["mac_address"] = value
        elif name == "driver-opt":
            key, equals, option = value.partition("=")
            if not equals:
                raise ValueError(f"invalid key value pair format in driver options: {value}")
            options[key.lower()] = option
        else:
            raise ValueError(f"invalid field key {name}")
    if not found["network"]:
        raise ValueError("network name/id is not specified")
    if options:
        found["driver_options"] = options
    return found
