"""``trine update``: change limits of containers."""

from __future__ import annotations

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.wire import Message

SPEC = Spec(
    "Update configuration of one or more containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        (
            "",
            "blkio-weight",
            "uint16",
            "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
        ),
        ("", "cpu-period", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
        ("", "cpu-quota", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        ("", "cpu-rt-period", "int", "Limit the CPU real-time period in microseconds"),
        ("", "cpu-rt-runtime", "int", "Limit the CPU real-time runtime in microseconds"),
        ("c", "cpu-shares", "int", "CPU shares (relative weight)"),
        ("", "cpus", "decimal", "Number of CPUs"),
        ("", "cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
        ("", "cpuset-mems", "string", "MEMs in which to allow execution (0-3, 0,1)"),
        ("", "kernel-memory", "bytes", ""),
        ("m", "memory", "bytes", "Memory limit"),
        ("", "memory-reservation", "bytes", "Memory soft limit"),
        (
            "",
            "memory-swap",
            "bytes",
            "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
            "sizes:swap_bytes",
        ),
        ("", "pids-limit", "int", "Tune container pids limit (set -1 for unlimited)"),
        ("", "restart", "string", "Restart policy to apply when a container exits"),
    ),
    minimum=1,
    aliases=(
        "container update",
        "update",
    ),
)


def run(app: App, values: Values) -> int:
    """Change limits and restart policies; returns the exit status, raises Failure."""
    from trine.cli import container_config
    from trine.cli.failure import Failure
    from trine.cli.many import each

    if not any(values.changed(row[1]) for row in SPEC.flags):
        raise Failure("you must provide one or more flags when using this command")
    request: dict[str, object] = {}
    try:
        limits = container_config.resources(values)
        if values["restart"]:
            request["restart_policy"] = container_config.restart_policy(values["restart"])
    except container_config.ConfigError as error:
        raise Failure(str(error)) from None
    request["resources"] = {name: value for name, value in limits.items() if value}
    warnings: list[str] = []

    def told(name: str, answer: Message) -> str:
        warnings.extend(answer.warnings)
        return name

    status = each(
        app,
        "ContainerService.UpdateContainer",
        values.arguments,
        lambda name: {"container": name, **request},
        told,
    )
    if warnings:
        print("\n".join(warnings))  # on standard output, as Docker
    return status
