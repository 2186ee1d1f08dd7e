"""``trine port``: list port mappings of a container."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "List port mappings or a specific mapping for the container",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    minimum=1,
    maximum=2,
    aliases=(
        "container port",
        "port",
    ),
)


def run(app: App, values: Values) -> int:
    """Show published ports; returns the exit status, raises Failure."""
    from trine.cli.failure import Failure

    container = app.client.call("ContainerService.GetContainer", {"container": values.arguments[0]}).container
    ports: dict[str, list[str]] = {}
    for port in container.sandbox.ports:
        address = port.host_ip or "0.0.0.0"
        shown = f"[{address}]:{port.host_port}" if ":" in address else f"{address}:{port.host_port}"
        ports.setdefault(f"{port.container_port}/{port.protocol or 'tcp'}", []).append(shown)
    if len(values.arguments) == 1:
        for key in sorted(ports, key=lambda text: (int(text.partition("/")[0]), text)):
            for shown in ports[key]:
                print(f"{key} -> {shown}")
        return 0
    number, _, protocol = values.arguments[1].partition("/")
    if not number.isdigit() or int(number) > 65535:
        why = "value out of range" if number.isdigit() else "invalid syntax"
        raise Failure(f'Error: invalid port ({number}): strconv.ParseUint: parsing "{number}": {why}')
    wanted = f"{int(number)}/{protocol or 'tcp'}"
    if wanted not in ports:
        raise Failure(f"Error: No public port '{values.arguments[1]}' published for {values.arguments[0]}")
    print("\n".join(ports[wanted]))
    return 0
