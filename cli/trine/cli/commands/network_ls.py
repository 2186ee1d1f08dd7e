"""``trine network ls``: list networks."""

from __future__ import annotations

from trine.cli.flags import LISTING_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

SPEC = Spec(
    "List networks",
    "[OPTIONS]",
    (
        ("f", "filter", "filter", 'Provide filter values (e.g. "driver=bridge")'),
        (
            "",
            "format",
            "string",
            LISTING_FORMAT,
        ),
        ("", "no-trunc", "", "Do not truncate the output"),
        ("q", "quiet", "", "Only display network IDs"),
    ),
    minimum=0,
    maximum=0,
    aliases=(
        "network ls",
        "network list",
    ),
)


def run(app: App, values: Values) -> int:
    """List networks; returns the exit status, raises Failure."""
    from trine.cli.text import times
    from trine.cli.text.columns import Style
    from trine.cli.text.table import write_listing

    answer = app.client.call("NetworkService.ListNetworks", {"filters": values["filter"]})
    truncate = not values["no-trunc"]

    def identifier(row: Message) -> str:
        return str(row.id[:12] if truncate else row.id)

    def boolean(value: bool) -> str:
        return "true" if value else "false"

    columns: Columns = {
        "ID": ("NETWORK ID", identifier),
        "Name": ("NAME", lambda row: row.name),
        "Driver": ("DRIVER", lambda row: row.driver),
        "Scope": ("SCOPE", lambda row: row.scope or "local"),
        "IPv4": ("IPV4", lambda row: boolean(row.driver == "bridge")),
        "IPv6": ("IPV6", lambda row: boolean(row.enable_ipv6)),
        "Internal": ("INTERNAL", lambda row: boolean(row.internal)),
        "Labels": ("LABELS", lambda row: ",".join(f"{k}={v}" for k, v in sorted(row.labels.items()))),
        "Label": ("", lambda row: lambda name: row.labels.get(name, "")),
        "CreatedAt": ("CREATED AT", lambda row: times.go_string_nano(row.created_at_unix_nanos)),
    }
    if values["format"] == "raw":
        for row in answer.networks:
            print(f"network_id: {identifier(row)}")
            if not values["quiet"]:
                print(f"name: {row.name}\ndriver: {row.driver}\nscope: {row.scope or 'local'}\n")
        return 0
    if values["quiet"] and values["format"] in ("", "table"):
        print("".join(f"{identifier(row)}\n" for row in answer.networks), end="")
        return 0
    style = Style(
        "*network.networkContext",
        (("network_id", "ID"), ("name", "Name"), ("driver", "Driver"), ("scope", "Scope")),
    )
    write_listing(values["format"], columns, ["ID", "Name", "Driver", "Scope"], answer.networks, style)
    return 0
