"""A grpc.aio server with the engine's real stubs and scripted answers, run as a process of its own.

``python fake_engine.py SOCKET [CERTIFICATES]``: serves until SIGTERM, with a folder of certificates also
on a free port with mutual TLS. Says "ready PORT". Answers are functions of the request, so that the
client's every kind of call meets the real gRPC implementation.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from trine.kit import errors
from trine.v1 import container_pb2, container_pb2_grpc, image_pb2, image_pb2_grpc, system_pb2, system_pb2_grpc

MEGABYTE = 1024 * 1024


async def fail(context: Any, error: errors.EngineError) -> None:
    await context.abort(error.code, error.message, errors.trailers(error))


class Containers(container_pb2_grpc.ContainerServiceServicer):
    """Lists what it is asked for; refuses the rest in every way an engine can."""

    async def ListContainers(self, request: Any, context: Any) -> Any:
        reply = container_pb2.ListContainersResponse()
        for at in range(request.limit or 2):
            row = reply.containers.add(id=f"{at:064x}", name=f"name-{at}", image="busybox", command="sleep 9")
            row.created_at_unix_nanos = 1
            row.state.status = container_pb2.CONTAINER_STATUS_EXITED
            row.state.exit_code = -1
            row.labels["k"] = "v" * 10
            row.ports.add(container_port=80, host_port=8080, host_ip="0.0.0.0", protocol="tcp")
        return reply

    async def GetContainer(self, request: Any, context: Any) -> Any:
        if request.container == "böse\nzeile":
            await fail(context, errors.ConflictError("100% wahr: ünicode\nzwei", metadata={"a": "ß" * 400}))
        if request.container == "slow":
            await asyncio.sleep(3600)
        await fail(
            context,
            errors.NotFoundError(f"No such container: {request.container}", reason="NO_SUCH_CONTAINER"),
        )

    async def KillContainer(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(0.01)
        return container_pb2.KillContainerResponse()


class Images(image_pb2_grpc.ImageServiceServicer):
    """Streams in all directions."""

    cancelled = 0

    async def SaveImages(self, request: Any, context: Any) -> AsyncIterator[Any]:
        count, size = int(request.names[0]), int(request.names[1])
        done = 0
        try:
            for done in range(count):
                yield image_pb2.SaveImagesResponse(chunk=bytes([done % 251]) * size)
        finally:
            if done < count - 1:
                Images.cancelled += 1
        if len(request.names) > 2:
            await fail(context, errors.DataLossError("blob is not what it should be"))

    async def ListImages(self, request: Any, context: Any) -> Any:
        return image_pb2.ListImagesResponse(images=[image_pb2.Image(id=str(Images.cancelled))])

    async def LoadImages(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        total = 0
        async for request in requests:
            total += len(request.chunk)
            if request.chunk.startswith(b"stop"):
                await fail(context, errors.InvalidArgumentError("not a tar"))
            yield image_pb2.LoadImagesResponse(line=str(total))

    async def ImportImage(self, requests: Any, context: Any) -> Any:
        total = 0
        async for request in requests:
            total += len(request.chunk)
        return image_pb2.ImportImageResponse(image_id=str(total))


class System(system_pb2_grpc.SystemServiceServicer):
    async def GetVersion(self, request: Any, context: Any) -> Any:
        return system_pb2.GetVersionResponse(
            version="9.9",
            api_version="v1",
            components=[
                system_pb2.ComponentVersion(name="trine-image", version="9.9", details={"GitCommit": "abc"})
            ],
        )

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            yield system_pb2.WatchEventsResponse(action="start")
            await asyncio.sleep(3600)


async def main(path: str, certificates: str) -> None:
    options = [("grpc.max_receive_message_length", 64 * MEGABYTE)]
    options.append(("grpc.max_send_message_length", 64 * MEGABYTE))
    server = grpc.aio.server(options=options)
    container_pb2_grpc.add_ContainerServiceServicer_to_server(Containers(), server)  # type: ignore[abstract]
    image_pb2_grpc.add_ImageServiceServicer_to_server(Images(), server)  # type: ignore[abstract]
    system_pb2_grpc.add_SystemServiceServicer_to_server(System(), server)  # type: ignore[abstract]
    server.add_insecure_port(f"unix:{path}")
    port = 0
    if certificates:
        folder = Path(certificates)
        credentials = grpc.ssl_server_credentials(
            [((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())],
            root_certificates=(folder / "ca.pem").read_bytes(),
            require_client_auth=True,
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print("ready", port, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0.2)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
