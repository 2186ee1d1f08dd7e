"""``trine network create``: create a network."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Create a network",
    "[OPTIONS] NETWORK",
    (
        ("", "attachable", "", "Enable manual container attachment"),
        (
            "",
            "aux-address",
            "map",
            "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])",
        ),
        ("", "config-from", "string", "The network from which to copy the configuration"),
        ("", "config-only", "", "Create a configuration only network"),
        ("d", "driver", "string", 'Driver to manage the Network (default "bridge")'),
        ("", "gateway", "strings", "IPv4 or IPv6 Gateway for the master subnet"),
        ("", "ingress", "", "Create swarm routing-mesh network"),
        ("", "internal", "", "Restrict external access to the network"),
        ("", "ip-range", "strings", "Allocate container ip from a sub-range"),
        ("", "ipam-driver", "string", 'IP Address Management Driver (default "default")'),
        ("", "ipam-opt", "map", "Set IPAM driver specific options (default map[])"),
        ("", "ipv4", "", "Enable or disable IPv4 address assignment (default true)"),
        ("", "ipv6", "", "Enable or disable IPv6 address assignment"),
        ("", "label", "list", "Set metadata on a network", "labels:check_label"),
        ("o", "opt", "map", "Set driver specific options (default map[])"),
        ("", "scope", "string", "Control the network's scope"),
        ("", "subnet", "strings", "Subnet in CIDR format that represents a network segment"),
    ),
    minimum=1,
    maximum=1,
)


def run(app: App, values: Values) -> int:
    """Create a network; returns the exit status, raises Failure."""
    from trine.cli.opts.labels import to_map
    from trine.cli.opts.pools import pools_of

    for flag in ("config-from", "config-only", "ingress"):
        if values.changed(flag):
            from trine.cli.failure import Failure

            raise Failure(f'"--{flag}" is only for swarms, which trine does not have')
    if values["scope"] not in ("", "local"):
        from trine.cli.failure import Failure

        raise Failure(
            f"Error response from daemon: cannot create a {values['scope']} scoped network "
            "when swarm is not active"
            if values["scope"] == "swarm"
            else f"Error response from daemon: invalid network scope: {values['scope']}"
        )
    answer = app.client.call(
        "NetworkService.CreateNetwork",
        {
            "name": values.arguments[0],
            "driver": values["driver"],
            "internal": values["internal"],
            "attachable": values["attachable"],
            "enable_ipv6": values["ipv6"],
            "pools": pools_of(
                values["subnet"], values["ip-range"], values["gateway"], dict(values["aux-address"])
            ),
            "options": dict(values["opt"]),
            "labels": to_map(values["label"]),
            "ipam_driver": values["ipam-driver"],
            "ipam_options": dict(values["ipam-opt"]),
        },
    )
    if answer.warning:
        from trine.cli.app import warn

        warn(f"WARNING: {answer.warning}")
    print(answer.id)
    return 0
