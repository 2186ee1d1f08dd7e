"""trined: starts and watches the services and serves the engine's API.

SIGTERM and SIGINT stop trined and the services it runs; containers run on under their shims, and
the next start adopts them (docs/supervisor.md).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from trine.engine.host import Engine, EngineSettings, open_engine
from trine.engine.system import file_system
from trine.kit import logs
from trine.kit.errors import ConflictError, EngineError, InvalidArgumentError
from trine.kit.files import lock_file, make_directory
from trine.kit.server import Service, group_id, run
from trine.linux.process import set_child_subreaper
from trine.supervisor import commands
from trine.supervisor.children import OrphanReaper, ServiceProcess
from trine.supervisor.options import Options, parse
from trine.v1 import system_pb2


def _state(service: ServiceProcess) -> system_pb2.ServiceState.ValueType:
    if service.serving:
        return system_pb2.SERVICE_STATE_SERVING
    return system_pb2.SERVICE_STATE_STARTING if service.command else system_pb2.SERVICE_STATE_DOWN


class Supervisor:
    """Holds the services and the engine of one trined."""

    def __init__(self, options: Options) -> None:
        """Keep the options; nothing is started."""
        self.options = options
        self.log = logs.get_logger("trined")
        self.group = group_id(options.group)
        self.services: dict[str, ServiceProcess] = {}
        self.engine: Engine | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._locks: list[int] = []

    def prepare(self) -> None:
        """Make directories and take the locks of data root, exec root and pid file.

        Raises ConflictError when another trined holds one of them, InvalidArgumentError when a
        directory cannot be made or is on a file system that will not do.
        """
        if os.geteuid() != 0:
            raise InvalidArgumentError("trined needs to be started with root privileges")
        options = self.options
        try:
            make_directory(options.data_root, 0o711)
            make_directory(options.data_root / "engine", 0o711)
            make_directory(options.exec_root, 0o750, self.group)
        except OSError as error:
            raise InvalidArgumentError(f"cannot make {error.filename}: {error.strerror}") from error
        if file_system(os.path.realpath(options.data_root)) == "overlay":
            raise InvalidArgumentError(
                f"--data-root {options.data_root} lies on overlayfs, and no container's root can be mounted "
                f"there: give a folder on another file system (inside a container: a volume)"
            )
        for path in (options.data_root / "engine" / "lock", options.exec_root / "trined.lock"):
            self._lock(path, f"another trined uses {path.parent}: stop it first, or give other roots")
        if options.pidfile:
            self._lock(
                Path(options.pidfile),
                f"pid file {options.pidfile} is locked by a running trined: stop it first",
            )
        if self.group < 0:
            self.log.warning(
                f"could not change group {options.exec_root} to {options.group}: group {options.group} "
                f"not found; only root can use the socket (groupadd {options.group})"
            )

    def _lock(self, path: Path, message: str) -> None:
        try:
            lock = lock_file(path)
        except OSError as error:
            raise InvalidArgumentError(f"cannot open {path}: {error.strerror}") from error
        if lock is None:
            raise ConflictError(message)
        self._locks.append(lock)

    def settings(self) -> EngineSettings:
        """Return what the engine needs to know of the options."""
        options = self.options
        return EngineSettings(
            data_root=options.data_root,
            exec_root=options.exec_root,
            registry_mirrors=list(options.registry_mirrors),
            insecure_registries=list(options.insecure_registries),
            labels=list(options.labels),
            dns_servers=list(options.dns),
            default_address_pools=list(options.default_address_pools),
            debug=options.log_level == "debug",
            services_apart=commands.apart(options),
        )

    async def start_services(self) -> None:
        """Start or adopt all services at once; raises UnavailableError when one does not serve."""
        await asyncio.gather(*(service.start() for service in self.services.values()))

    async def open(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the engine's servicers and bring its records in line with the world (kit.server)."""
        assert self.engine is not None
        names = self.engine.register(server)
        await self.engine.recover()
        return names

    async def _on_back(self, name: str) -> None:
        self.log.info("service is back", service=name)
        if self.engine is not None:
            await self.engine.recover()

    def services_info(self) -> list[system_pb2.ServiceInfo]:
        """Return the state of each service for `trine info`."""
        return [
            system_pb2.ServiceInfo(
                name=service.name,
                state=_state(service),
                address=service.address,
                process_id=service.process_id,
                restarts=service.restarts,
                adopted=service.adopted,
            )
            for service in self.services.values()
        ]

    def credentials(self) -> grpc.ServerCredentials | None:
        """Return server credentials that demand a client certificate, or None without --tlsverify."""
        options = self.options
        if not options.tlsverify:
            return None
        key, certificate, authority = (
            Path(p).read_bytes() for p in (options.tlskey, options.tlscert, options.tlscacert)
        )
        return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)

    async def serve(self) -> int:
        """Run until a signal; return the exit status."""
        set_child_subreaper()
        # Here and not in __init__: a channel belongs to the event loop it was made in.
        self.services = {
            name: ServiceProcess(
                name,
                commands.address(self.options, name),
                commands.command(self.options, name),
                self._on_back,
            )
            for name in commands.ORDER
        }
        reaper = OrphanReaper(lambda: {service.child_id for service in self.services.values()})
        self._tasks.add(asyncio.create_task(reaper.run(), name="reaper"))
        try:
            await self.start_services()
            channels = {name: service.channel for name, service in self.services.items()}
            self.engine = await open_engine(
                self.settings(), channels["image"], channels["network"], channels["runtime"]
            )
            self.engine.services_info = self.services_info
            return await run(
                Service(
                    name="trined",
                    addresses=self.options.hosts,
                    register=self.open,
                    socket_group=self.group,
                    credentials=self.credentials(),
                    handlers=self.engine.handlers(),
                )
            )
        finally:
            for task in self._tasks:
                task.cancel()
            if self.engine is not None:
                await self.engine.close()
            await asyncio.gather(*(service.stop() for service in self.services.values()))
            if self.options.pidfile:
                Path(self.options.pidfile).unlink(missing_ok=True)


def main() -> int:
    """Run trined; return its exit status (1 when it could not start, one line on stderr)."""
    try:
        options = parse(sys.argv[1:])
        logs.configure(options.log_level, options.log_format)
        supervisor = Supervisor(options)
        supervisor.prepare()
        return asyncio.run(supervisor.serve())
    except EngineError as error:
        print(f"trined: {error.message}", file=sys.stderr)
    except OSError as error:
        print(f"trined: {error.filename or options.data_root}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
