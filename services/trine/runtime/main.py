"""trine-runtime: the program."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trine.kit import server
from trine.kit.errors import EngineError, InvalidArgumentError
from trine.kit.logs import LEVELS, configure, get_logger
from trine.runtime import info, registry, seccomp_profile
from trine.runtime.archive import Archives
from trine.runtime.attach import Attacher
from trine.runtime.cgroups import layout as layouts
from trine.runtime.checks import check_limit
from trine.runtime.containers import Containers, Settings
from trine.runtime.logs import Logs
from trine.runtime.processes import Processes
from trine.runtime.reaper import Reaper
from trine.runtime.servicer import RuntimeServicer
from trine.runtime.store import Store
from trine.runtime.zygote_client import ZygoteClient
from trine.v1 import runtime_pb2, runtime_pb2_grpc


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    result = argparse.ArgumentParser(
        prog="trine-runtime", description="Runs containers; serves trine.v1.RuntimeService."
    )
    result.add_argument(
        "--listen",
        default="",
        metavar="ADDRESS",
        help="unix:///path or tcp://… (default <exec-root>/runtime.sock)",
    )
    result.add_argument(
        "--data-root", default="/var/lib/trine", metavar="DIR", help="durable state is kept in DIR/runtime"
    )
    result.add_argument("--exec-root", default="/run/trine", metavar="DIR", help="sockets and run-time state")
    result.add_argument("--group", default="trine", metavar="NAME", help="group that may use the sockets")
    result.add_argument("--cgroup-parent", default="/trine", metavar="PATH", help="cgroup of all containers")
    result.add_argument(
        "--default-ulimit",
        action="append",
        default=[],
        metavar="NAME=SOFT[:HARD]",
        help="limit of every container (repeatable)",
    )
    result.add_argument(
        "--seccomp-profile", default="", metavar="PATH|unconfined", help="instead of the built-in profile"
    )
    result.add_argument("--log-level", default="info", choices=sorted(LEVELS))
    result.add_argument("--log-format", default="text", choices=("text", "json"))
    result.add_argument("--version", action="version", version=f"trine-runtime {info.version()}")
    return result


def parse_ulimit(text: str) -> tuple[str, int, int]:
    """Return (name, soft, hard) of "nofile=1024:2048". Raises InvalidArgumentError."""
    name, separator, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    try:
        result = name, int(soft), int(hard if colon else soft)
    except ValueError:
        result = "", 0, 0
    if not separator or not result[0]:
        raise InvalidArgumentError(f"invalid ulimit argument: {text}")
    check_limit(*result)
    return result


def settings(options: argparse.Namespace) -> Settings:
    """Return what all containers have in common. Raises InvalidArgumentError."""
    default = None
    if options.seccomp_profile and options.seccomp_profile != "unconfined":
        try:
            default = seccomp_profile.parse(Path(options.seccomp_profile).read_text())
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(
                f"opening seccomp profile ({options.seccomp_profile}) failed: {error}"
            ) from None
    return Settings(
        cgroup_parent="/" + options.cgroup_parent.strip("/"),
        default_ulimits=[parse_ulimit(text) for text in options.default_ulimit],
        seccomp_default=default,
        seccomp_unconfined=options.seccomp_profile == "unconfined",
        group_id=server.group_id(options.group),
    )


class Program:
    """The parts of the running service."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Make the parts; starts nothing. Raises EngineError, OSError."""
        self.settings = settings(options)
        layout = layouts.detect()
        self.store = Store(Path(options.data_root), Path(options.exec_root), self.settings.group_id)
        self.registry = registry.Registry(self.store, layout)
        self.zygote = ZygoteClient()
        self.containers = Containers(self.store, self.registry, self.zygote, layout, self.settings)
        self._log = get_logger("runtime")

    async def register(self, grpc_server: Any) -> Sequence[str]:
        """Start the zygote, adopt what is there and add the servicer (kit.server.Service)."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, Reaper().child_ended)
        await self.zygote.start()
        living = await self.registry.adopt()
        if living:
            self._log.info("adopted containers", count=living)
        logs = Logs(self.store, self.registry)
        servicer = RuntimeServicer(
            self.containers,
            Processes(self.registry),
            self.registry,
            logs,
            Attacher(self.store, self.registry, logs),
            Archives(self.store, self.registry, self.zygote),
            self.settings,
        )
        runtime_pb2_grpc.add_RuntimeServiceServicer_to_server(servicer, grpc_server)
        return [runtime_pb2.DESCRIPTOR.services_by_name["RuntimeService"].full_name]

    async def close(self) -> None:
        """Stop the zygote; containers go on."""
        await self.zygote.stop()


async def serve(options: argparse.Namespace) -> int:
    """Run the service until it is told to stop; return the exit status."""
    program = Program(options)
    address = options.listen or f"unix://{options.exec_root}/runtime.sock"
    return await server.run(
        server.Service(
            name="trine-runtime",
            addresses=[address],
            register=program.register,
            close=program.close,
            socket_group=program.settings.group_id,
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit status (1: could not start)."""
    options = parser().parse_args(arguments)
    configure(options.log_level, options.log_format)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            return asyncio.run(serve(options))
    except (EngineError, OSError) as error:
        text = error.message if isinstance(error, EngineError) else str(error)
        print(f"trine-runtime: {text}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
