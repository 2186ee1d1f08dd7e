"""The three services below the engine, and what their silence means to a user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Mapping
from typing import Any, Generic, TypeVar

import grpc

from trine.kit import errors
from trine.v1 import image_pb2_grpc, network_pb2_grpc, runtime_pb2_grpc

RESTART_SECONDS = 3.0  # a service that was killed is back in less
# How long to look for one that was not back by then: longer than the channel's back-off (kit/channel.py),
# so that a service somebody has just started is found.
_GLANCE_SECONDS = 0.3

S = TypeVar("S")
Q = TypeVar("Q")
R = TypeVar("R")


def _away(leaf: str, apart: str) -> errors.UnavailableError:
    where, remedy = (f" at {apart}", "start it again") if apart else ("", "it is being restarted, try again")
    return errors.UnavailableError(
        f"the {leaf} service{where} does not answer; {remedy}",
        reason="SERVICE_UNAVAILABLE",
        metadata={"service": leaf},
    )


def is_away(error: BaseException) -> bool:
    """Tell whether an error says that a leaf does not answer (not that it refused)."""
    return isinstance(error, errors.EngineError) and error.reason == "SERVICE_UNAVAILABLE"


class Leaf(Generic[S]):
    """One service: its typed stub, and calls whose failures are EngineErrors."""

    def __init__(
        self, name: str, channel: grpc.aio.Channel, stub: S, timeout_seconds: float, apart: str = ""
    ) -> None:
        """Keep the channel; nothing is sent. ``apart`` is the address of one the supervisor does not run."""
        self.name = name
        self.apart = apart
        self.channel = channel
        self.stub = stub
        self.timeout_seconds = timeout_seconds
        self._away_since: float | None = None

    def is_ready(self) -> bool:
        """Tell whether the connection stands now."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def ready(self) -> None:
        """Wait until the service can be reached, a restart long; raises UnavailableError when it cannot.

        Only what was not sent waits: a call that broke midway is not sent twice. A use case makes many
        calls, inverses too; they wait for a restart once between them, not each.
        """
        state = self.channel.get_state(try_to_connect=True)
        loop = asyncio.get_running_loop()
        if state is not grpc.ChannelConnectivity.READY and self._away_since is None:
            self._away_since = loop.time()
        until = max((self._away_since or 0.0) + RESTART_SECONDS, loop.time() + _GLANCE_SECONDS)
        while state is not grpc.ChannelConnectivity.READY:
            try:
                await asyncio.wait_for(self.channel.wait_for_state_change(state), until - loop.time())
            except TimeoutError:
                raise _away(self.name, self.apart) from None
            state = self.channel.get_state(try_to_connect=True)
        self._away_since = None

    def translate(self, error: grpc.RpcError) -> errors.EngineError:
        """Return the error a failed call to the service stands for.

        What the leaf itself said (it sends details) is passed on; a transport failure becomes one line
        that tells which service is away and who brings it back: the supervisor, or whoever started it
        apart.
        """
        call: Any = error
        own_words = any(key == "grpc-status-details-bin" for key, _ in call.trailing_metadata() or ())
        if not own_words and call.code() == grpc.StatusCode.UNAVAILABLE:
            return _away(self.name, self.apart)
        if not own_words and call.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceededError(
                f"the {self.name} service did not answer in time", metadata={"service": self.name}
            )
        return errors.from_rpc_error(error)

    async def __call__(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        timeout_seconds: float | None = None,
        patience_seconds: float = 0.0,
    ) -> R:
        """Call a unary method.

        ``timeout_seconds`` 0 means for ever; ``patience_seconds`` is how long to try again while the
        service is away (only for calls that may be repeated). Raises EngineError.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_seconds
        limit = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        while True:
            try:
                await self.ready()
                return await method(request, timeout=limit or None)
            except (grpc.RpcError, errors.UnavailableError) as error:
                translated = self.translate(error) if isinstance(error, grpc.RpcError) else error
                if not is_away(translated) or loop.time() >= until:
                    raise translated from None
            await asyncio.sleep(0.05)

    async def client_stream(self, call: Awaitable[R]) -> R:
        """Return the answer of a call that takes a stream; raises EngineError."""
        try:
            return await call
        except grpc.RpcError as error:
            raise self.translate(error) from error

    async def stream(self, call: AsyncIterable[R]) -> AsyncIterator[R]:
        """Yield what a streaming call yields; its failure is an EngineError, leaving it cancels it."""
        finished = False
        try:
            async for message in call:
                yield message
            finished = True
        except grpc.RpcError as error:
            finished = True
            raise self.translate(error) from error
        finally:
            if not finished and hasattr(call, "cancel"):
                call.cancel()


class Leaves:
    """Image, network and runtime service."""

    def __init__(
        self,
        image: grpc.aio.Channel,
        network: grpc.aio.Channel,
        runtime: grpc.aio.Channel,
        timeout_seconds: float = 60.0,
        apart: Mapping[str, str] | None = None,
    ) -> None:
        """Make the stubs over open channels; ``apart``: service to address, of those others run."""
        where = apart or {}
        self.image: Leaf[image_pb2_grpc.ImageServiceAsyncStub] = Leaf(
            "image", image, image_pb2_grpc.ImageServiceStub(image), timeout_seconds, where.get("image", "")
        )
        stub = network_pb2_grpc.NetworkServiceStub(network)
        self.network: Leaf[network_pb2_grpc.NetworkServiceAsyncStub] = Leaf(
            "network", network, stub, timeout_seconds, where.get("network", "")
        )
        self.runtime: Leaf[runtime_pb2_grpc.RuntimeServiceAsyncStub] = Leaf(
            "runtime",
            runtime,
            runtime_pb2_grpc.RuntimeServiceStub(runtime),
            timeout_seconds,
            where.get("runtime", ""),
        )
