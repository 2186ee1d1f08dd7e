"""``trine network connect``: connect a container to a network."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Connect a container to a network",
    "[OPTIONS] NETWORK CONTAINER",
    (
        ("", "alias", "strings", "Add network-scoped alias for the container"),
        ("", "driver-opt", "strings", "driver options for the network"),
        (
            "",
            "gw-priority",
            "int",
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        ),
        ("", "ip", "string", 'IPv4 address (e.g., "172.30.100.104")'),
        ("", "ip6", "string", 'IPv6 address (e.g., "2001:db8::33")'),
        ("", "link", "list", "Add link to another container", "hosts:check_link"),
        ("", "link-local-ip", "strings", "Add a link-local address for the container"),
    ),
    minimum=2,
    maximum=2,
)


def run(app: App, values: Values) -> int:
    """Connect a container; returns the exit status, raises Failure."""
    network, container = values.arguments
    app.client.call(
        "ContainerService.ConnectContainer",
        {
            "container": container,
            "endpoint": {
                "network": network,
                "aliases": values["alias"],
                "ipv4_address": values["ip"],
                "ipv6_address": values["ip6"],
                "link_local_addresses": values["link-local-ip"],
                "gateway_priority": values["gw-priority"],
                "links": values["link"],
                "driver_options": _options(values["driver-opt"]),
            },
        },
    )
    return 0


def _options(given: list[str]) -> dict[str, str]:
    """Return --driver-opt values as a map; raises Failure."""
    from trine.cli.failure import Failure

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Failure("invalid key/value pair format in driver options")
        found[name] = value
    return found
