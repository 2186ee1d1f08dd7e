"""Client channels between services."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trine.kit.server import MAXIMUM_MESSAGE_BYTES, parse_address

_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # A service that was killed is back in well under a second: do not back off for long.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


def open_channel(address: str, credentials: Any = None) -> grpc.aio.Channel:
    """Return a channel to "unix:///path" or "tcp://host:port" (insecure unless credentials are given)."""
    kind, target = parse_address(address)
    if kind == "unix":
        return grpc.aio.insecure_channel(f"unix:{target}", options=_OPTIONS)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)


async def is_serving(channel: grpc.aio.Channel, timeout_seconds: float = 1.0) -> bool:
    """Ask the health service (grpc.health.v1) whether the whole server serves."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_until_serving(channel: grpc.aio.Channel, timeout_seconds: float) -> bool:
    """Ask until it serves; False when the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while loop.time() < deadline:
        if await is_serving(channel, 0.5):
            return True
        await asyncio.sleep(0.02)
    return False
