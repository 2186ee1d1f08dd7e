"""--publish and --expose (docker/go-connections/nat, with its texts)."""

from __future__ import annotations

from trine.cli.opts.addresses import is_ip


def _range(text: str) -> tuple[int, int]:
    """Return first and last port of "80" or "80-90"; raises ValueError."""
    if not text:
        raise ValueError("empty string specified for ports.")
    first, dash, last = text.partition("-")
    low = _number(first)
    high = _number(last) if dash else low
    if high < low:
        raise ValueError(f"invalid range specified for port: {text}")
    return low, high


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    value = int(text)
    if value > 65535:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return value


def _split(text: str) -> tuple[str, str, str]:
    """Return host address, host ports and container ports of a specification without protocol."""
    parts = text.rsplit(":", 2)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        host, _, container = rest.removeprefix(":").rpartition(":")
        return address, host, container
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return parts[0], parts[1], parts[2]


def parse_publish(text: str) -> list[dict[str, str | int]]:
    """Return the PortMappings of one --publish.

    Forms: "80", "8080:80", "127.0.0.1:8080:80", "127.0.0.1::80", "[::1]:8080:80", with ranges and
    "/tcp", "/udp" or "/sctp"; also "published=8080,target=80,protocol=tcp". Raises ValueError.
    """
    if "=" in text:
        text = _long_form(text)
    body, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    address, host, container = _split(body)
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    address = address.strip("[]") if address.startswith("[") else address
    if address and not is_ip(address):
        raise ValueError(f"invalid IP address: {address}")
    try:
        first, last = _range(container)
    except ValueError:
        raise ValueError(f"invalid containerPort: {container}") from None
    if first == 0:
        raise ValueError(f"invalid containerPort: {container}")
    host_first = host_last = 0
    if host:
        try:
            host_first, host_last = _range(host)
        except ValueError:
            raise ValueError(f"invalid hostPort: {host}") from None
        # One container port takes any free one of a range of host ports.
        if last - first != host_last - host_first and last != first:
            raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
    if protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f"invalid proto: {protocol}")
    mappings: list[dict[str, str | int]] = []
    for offset in range(last - first + 1):
        mapping: dict[str, str | int] = {
            "host_ip": address,
            "container_port": first + offset,
            "protocol": protocol,
            "host_port": host_first + offset if host else 0,
        }
        if host and first == last and host_last != host_first:
            mapping["host_port_end"] = host_last
        mappings.append(mapping)
    return mappings


def _long_form(text: str) -> str:
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"invalid field: {part}")
        if name in ("published", "publish", "published_port"):
            fields["published"] = value
        elif name in ("target", "target_port", "protocol", "mode"):
            fields[name.removesuffix("_port")] = value
        else:
            raise ValueError(f"invalid field key: {name}")
    if "target" not in fields:
        raise ValueError(f"missing mandatory field 'target': {text}")
    head = f"{fields['published']}:" if "published" in fields else ""
    return f"{head}{fields['target']}/{fields.get('protocol', 'tcp')}"


def parse_expose(text: str) -> list[str]:
    """Return "80/tcp" for each port of one --expose; raises ValueError."""
    if ":" in text:
        raise ValueError(f"invalid port format for --expose: {text}")
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    try:
        first, last = _range(ports)
    except ValueError as error:
        raise ValueError(f"invalid range format for --expose: {text}, error: {error}") from None
    if protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f"invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]
