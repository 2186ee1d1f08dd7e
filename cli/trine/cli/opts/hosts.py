"""--add-host and --link."""

from __future__ import annotations

from trine.cli.opts.addresses import is_ip


def check_host(text: str) -> str:
    """Return "name:address" of "name:address" or "name=address"; raises ValueError."""
    name, separator, address = text.partition("=")
    if not separator or ":" in name:
        name, separator, address = text.partition(":")
    address = address.removeprefix("[").removesuffix("]") if address.startswith("[") else address
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address != "host-gateway" and not is_ip(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def check_link(text: str) -> str:
    """Return "container:alias"; raises ValueError."""
    if not text:
        raise ValueError("empty string specified for links")
    parts = text.split(":")
    if len(parts) > 2:
        raise ValueError(f"bad format for links: {text}")
    return text
