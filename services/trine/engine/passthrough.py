"""ImageService and NetworkService as trined serves them: most calls go through as raw bytes.

Typed are only the calls the engine adds something to. Calls that belong between the engine and a
leaf alone (snapshots, sandboxes, endpoints) are not served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from trine.engine.build import build_image
from trine.engine.core import Core
from trine.engine.images import delete_image, prune_images
from trine.engine.networks import used_networks
from trine.v1 import image_pb2, network_pb2
from trine.v1.schema import METHODS

_INTERNAL = frozenset(
    {
        "ImageService.PrepareSnapshot",
        "ImageService.GetSnapshot",
        "ImageService.ListSnapshots",
        "ImageService.DeleteSnapshot",
        "ImageService.ListSnapshotChanges",
        "ImageService.ExportSnapshot",
        "ImageService.CommitSnapshot",
        "NetworkService.CreateSandbox",
        "NetworkService.GetSandbox",
        "NetworkService.ListSandboxes",
        "NetworkService.DeleteSandbox",
        "NetworkService.CreateEndpoint",
        "NetworkService.DeleteEndpoint",
        "NetworkService.RenameSandbox",
    }
)
SERVICES = ("trine.v1.ImageService", "trine.v1.NetworkService")
_Tell = Callable[[Core, bytes, bytes], None]


class PassThrough(grpc.GenericRpcHandler):
    """Serves both services over the channels to the leaves."""

    def __init__(self, core: Core) -> None:
        """Keep the engine's parts; handlers are made when first asked for."""
        self._core = core
        self._channels = {
            "ImageService": core.leaves.image.channel,
            "NetworkService": core.leaves.network.channel,
        }
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {**_typed(core)}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of a method, or None when it is not ours."""
        path = handler_call_details.method
        if path in self._handlers:
            return self._handlers[path]
        package_service, _, method = path.lstrip("/").partition("/")
        name = f"{package_service.rsplit('.', 1)[-1]}.{method}"
        if package_service not in SERVICES or name in _INTERNAL or name not in METHODS:
            return None
        channel = self._channels[name.split(".", 1)[0]]
        streams_in, streams_out = METHODS[name][3], METHODS[name][4]
        handler = _raw(self._core, channel, path, bool(streams_in), bool(streams_out), _TELL.get(name))
        self._handlers[path] = handler
        return handler


def _typed(core: Core) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return the handlers of calls the engine takes part in."""

    async def delete(request: image_pb2.DeleteImageRequest, _: Any) -> image_pb2.DeleteImageResponse:
        return await delete_image(core, request)

    async def prune(request: image_pb2.PruneImagesRequest, _: Any) -> image_pb2.PruneImagesResponse:
        return await prune_images(core, request)

    async def build(requests: Any, _: Any) -> AsyncIterator[image_pb2.BuildImageResponse]:
        async for answer in build_image(core, requests):
            yield answer

    async def prune_networks(
        request: network_pb2.PruneNetworksRequest, _: Any
    ) -> network_pb2.PruneNetworksResponse:
        leaf = core.leaves.network
        copy = network_pb2.PruneNetworksRequest(filters=request.filters, keep=used_networks(core))
        answer = await leaf(leaf.stub.PruneNetworks, copy)
        for name in answer.names:
            core.events.publish("network", "destroy", name, {"name": name, "type": "bridge"})
        return answer

    unary: Any = grpc.unary_unary_rpc_method_handler
    return {
        "/trine.v1.ImageService/DeleteImage": unary(
            delete,
            image_pb2.DeleteImageRequest.FromString,
            image_pb2.DeleteImageResponse.SerializeToString,
        ),
        "/trine.v1.ImageService/PruneImages": unary(
            prune,
            image_pb2.PruneImagesRequest.FromString,
            image_pb2.PruneImagesResponse.SerializeToString,
        ),
        "/trine.v1.ImageService/BuildImage": grpc.stream_stream_rpc_method_handler(
            build,
            image_pb2.BuildImageRequest.FromString,
            image_pb2.BuildImageResponse.SerializeToString,
        ),
        "/trine.v1.NetworkService/PruneNetworks": unary(
            prune_networks,
            network_pb2.PruneNetworksRequest.FromString,
            network_pb2.PruneNetworksResponse.SerializeToString,
        ),
    }


def _raw(
    core: Core,
    channel: grpc.aio.Channel,
    path: str,
    streams_in: bool,
    streams_out: bool,
    tell: _Tell | None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that hands bytes on, with the caller's deadline; ``tell`` sees what succeeded."""
    service: Any = core.leaves.image if "ImageService" in path else core.leaves.network

    async def to_one(request: Any, context: Any) -> bytes:
        open_call: Any = channel.stream_unary(path) if streams_in else channel.unary_unary(path)
        seen = _Seen(request, streams_in)
        await service.ready()
        try:
            answer: bytes = await open_call(seen.outgoing(), timeout=context.time_remaining())
        except grpc.RpcError as error:
            raise service.translate(error) from error
        if tell is not None:
            tell(core, seen.first, answer)
        return answer

    async def to_many(request: Any, context: Any) -> AsyncIterator[bytes]:
        open_call: Any = channel.stream_stream(path) if streams_in else channel.unary_stream(path)
        seen = _Seen(request, streams_in)
        await service.ready()
        call = open_call(seen.outgoing(), timeout=context.time_remaining())
        last = b""
        try:
            async for answer in call:
                last = answer
                yield answer
        except grpc.RpcError as error:
            raise service.translate(error) from error
        finally:
            call.cancel()
        if tell is not None:
            tell(core, seen.first, last)

    if streams_out:
        many: Any = (
            grpc.stream_stream_rpc_method_handler if streams_in else grpc.unary_stream_rpc_method_handler
        )
        handler: grpc.RpcMethodHandler[Any, Any] = many(to_many)
        return handler
    one: Any = grpc.stream_unary_rpc_method_handler if streams_in else grpc.unary_unary_rpc_method_handler
    single: grpc.RpcMethodHandler[Any, Any] = one(to_one)
    return single


class _Seen:
    """A request on its way out, its first message kept for the event."""

    def __init__(self, request: Any, streams: bool) -> None:
        self._request = request
        self._streams = streams
        self.first = b"" if streams else request

    def outgoing(self) -> Any:
        """Return what the outgoing call takes."""
        return self._forward() if self._streams else self._request

    async def _forward(self) -> AsyncIterator[bytes]:
        async for message in self._request:
            if not self.first:
                self.first = message
            yield message


def _tell_pull(core: Core, request: bytes, answer: bytes) -> None:
    name = image_pb2.PullImageRequest.FromString(request).name
    result = image_pb2.PullImageResponse.FromString(answer)
    if result.WhichOneof("event") == "result":
        last = name.rsplit("/", 1)[-1]
        full = name if ":" in last or "@" in name else f"{name}:latest"
        core.events.publish("image", "pull", full, {"name": name.split("@")[0].removesuffix(":latest")})


def _tell_push(core: Core, request: bytes, answer: bytes) -> None:
    name = image_pb2.PushImageRequest.FromString(request).name
    if image_pb2.PushImageResponse.FromString(answer).WhichOneof("event") == "result":
        core.events.publish("image", "push", name, {"name": name})


def _tell_tag(core: Core, request: bytes, answer: bytes) -> None:
    target = image_pb2.TagImageRequest.FromString(request).target
    target = target if ":" in target.rsplit("/", 1)[-1] else f"{target}:latest"
    image_id = image_pb2.TagImageResponse.FromString(answer).image_id
    core.events.publish("image", "tag", image_id, {"name": target})


def _tell_import(core: Core, request: bytes, answer: bytes) -> None:
    reference = image_pb2.ImportImageRequest.FromString(request).options.reference
    image_id = image_pb2.ImportImageResponse.FromString(answer).image_id
    core.events.publish("image", "import", image_id, {"name": reference or image_id})


def _tell_load(core: Core, _request: bytes, answer: bytes) -> None:
    line = image_pb2.LoadImagesResponse.FromString(answer).line.strip()
    name = line.partition(": ")[2]
    if name:
        core.events.publish("image", "load", name, {"name": name})


def _tell_network_create(core: Core, request: bytes, answer: bytes) -> None:
    asked = network_pb2.CreateNetworkRequest.FromString(request)
    made = network_pb2.CreateNetworkResponse.FromString(answer)
    core.events.publish("network", "create", made.id, {"name": asked.name, "type": asked.driver or "bridge"})


def _tell_network_delete(core: Core, _request: bytes, answer: bytes) -> None:
    gone = network_pb2.DeleteNetworkResponse.FromString(answer)
    core.events.publish("network", "destroy", gone.id, {"name": gone.name, "type": "bridge"})


_TELL: dict[str, _Tell] = {
    "ImageService.PullImage": _tell_pull,
    "ImageService.PushImage": _tell_push,
    "ImageService.TagImage": _tell_tag,
    "ImageService.ImportImage": _tell_import,
    "ImageService.LoadImages": _tell_load,
    "NetworkService.CreateNetwork": _tell_network_create,
    "NetworkService.DeleteNetwork": _tell_network_delete,
}
