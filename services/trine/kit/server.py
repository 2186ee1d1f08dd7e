"""Start of a gRPC service: sockets, health, reflection, errors, one instance, clean stop."""

from __future__ import annotations

import asyncio
import grp
import os
import signal
import socket
import stat
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from trine.kit import errors, fork_guard
from trine.kit.files import lock_file
from trine.kit.logs import get_logger

MAXIMUM_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns EngineError into a status with details, and anything else into INTERNAL with a logged trace."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wrap the handler of one call (grpc.aio.ServerInterceptor)."""
        handler = await continuation(details)
        if handler is None:
            return None
        method = details.method
        if handler.response_streaming:
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                try:
                    async for response in inner(request, context):
                        yield response
                except Exception as error:
                    await _abort(context, error, method)

            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(stream, handler.request_deserializer, handler.response_serializer)
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def unary(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except Exception as error:
                await _abort(context, error, method)

        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(unary, handler.request_deserializer, handler.response_serializer)


async def _abort(context: Any, error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, grpc.RpcError):
        error = errors.from_rpc_error(error)
    if not isinstance(error, errors.EngineError):
        get_logger("server").error("unexpected error", method=method, trace=traceback.format_exc())
        error = errors.InternalError(_one_line(error, method))
    await context.abort(error.code, error.message, errors.trailers(error))


def _one_line(error: Exception, method: str) -> str:
    if (
        isinstance(error, OSError) and error.strerror
    ):  # EMFILE, ENOSPC, EROFS, EIO: the host's trouble, not a fault
        text = error.strerror.lower()
        return f"{error.filename}: {text}" if error.filename else text
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"unexpected error in {method.rsplit('/', 1)[-1]}: {text}"


def group_id(name: str) -> int:
    """Return the numeric id of a group, -1 when there is none of that name; digits stand for themselves."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return -1


@dataclass
class Service:
    """What a service program gives to ``run``."""

    name: str  # "trine-image", in logs and errors
    addresses: Sequence[str]  # "unix:///path" or "tcp://host:port" (the latter with credentials)
    register: Callable[
        [Any], Awaitable[Sequence[str]]
    ]  # adds servicers to a grpc.aio.Server, returns full service names
    close: Callable[[], Awaitable[None]] | None = None  # after the last call ended
    socket_group: int = -1  # owner group of unix sockets
    credentials: Any = None  # grpc.ServerCredentials for tcp addresses
    grace_seconds: float = 2.0  # how long running calls may go on at stop
    handlers: Sequence[Any] = field(default_factory=tuple)  # grpc.GenericRpcHandler, asked first


def parse_address(address: str) -> tuple[str, str]:
    """Split "unix:///path", a bare path or "tcp://host:port" into ("unix", path) or ("tcp", host:port).

    Raises InvalidArgumentError for anything else.
    """
    if address.startswith("unix://"):
        return "unix", address[len("unix://") :]
    if address.startswith("/"):
        return "unix", address
    if address.startswith("tcp://") and ":" in address[len("tcp://") :]:
        return "tcp", address[len("tcp://") :].rstrip("/")
    raise errors.InvalidArgumentError(
        f"invalid address {address!r}: use unix:///path/to.sock or tcp://host:port", reason="INVALID_ADDRESS"
    )


def _clear_socket(path: Path, lock: int | None, name: str) -> None:
    if lock is None:
        raise errors.ConflictError(f"another {name} serves {path}: stop it first, or choose another address")
    try:
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass


async def run(service: Service) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Takes the lock ``<socket>.lock`` before it replaces a stale socket, so two instances never serve
    one address. Raises EngineError when an address is wrong or taken.
    """
    fork_guard.install()
    log = get_logger(service.name)
    server = grpc.aio.server(
        options=_OPTIONS, interceptors=[ErrorInterceptor()], handlers=list(service.handlers) or None
    )
    started = time.monotonic()
    locks: list[int] = []
    for address in service.addresses:
        kind, target = parse_address(address)
        if kind == "tcp":
            if service.credentials is None:
                raise errors.InvalidArgumentError(
                    f"{address}: a tcp address needs --tlsverify --tlscacert --tlscert --tlskey"
                )
            server.add_secure_port(target, service.credentials)
            continue
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_file(path.with_name(path.name + ".lock"))
        _clear_socket(path, lock, service.name)
        locks.append(lock)  # type: ignore[arg-type]
        previous = os.umask(0o117)
        try:
            server.add_insecure_port(f"unix:{path}")
        finally:
            os.umask(previous)
        os.chmod(path, 0o660)
        if service.socket_group >= 0:
            os.chown(path, -1, service.socket_group)
    names = list(await service.register(server))
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection(
        [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME], server
    )
    await server.start()
    for name in ["", *names]:
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    log.info("serving", addresses=list(service.addresses), seconds=round(time.monotonic() - started, 3))
    _notify_ready()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    log.info("stopping")
    await health.enter_graceful_shutdown()
    await server.stop(service.grace_seconds)
    if service.close is not None:
        await service.close()
    for lock in locks:
        os.close(lock)
    return 0


def _notify_ready() -> None:
    """Tell systemd that we serve (sd_notify(3), Type=notify); nothing without NOTIFY_SOCKET."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        try:
            notify.connect("\0" + path[1:] if path.startswith("@") else path)
            notify.send(b"READY=1")
        except OSError:
            pass
