"""trine-image: the image store as a program."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from trine.image.endpoints import RegistrySettings, parse_mirror
from trine.kit import logs
from trine.kit.errors import EngineError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trine-image", description="Stores images: layers, names, snapshots, registry traffic, builds."
    )
    parser.add_argument("--version", action="version", version=f"trine-image {metadata.version('trine')}")
    parser.add_argument(
        "--listen", default="unix:///run/trine/image.sock", metavar="ADDRESS", help="unix:///path/to.sock"
    )
    parser.add_argument("--data-root", default="/var/lib/trine", metavar="DIR", type=Path)
    parser.add_argument("--exec-root", default="/run/trine", metavar="DIR", type=Path, help="not used")
    parser.add_argument("--group", default="", metavar="NAME", help="group that may use the socket")
    parser.add_argument(
        "--registry-mirror",
        action="append",
        default=[],
        metavar="URL",
        help="mirror of Docker Hub (repeatable)",
    )
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST|CIDR",
        help="registry without valid TLS (repeatable; loopback always is)",
    )
    parser.add_argument("--log-level", default="info", choices=sorted(logs.LEVELS))
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
    return parser


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    options = _parser().parse_args()
    logs.configure(options.log_level, options.log_format)
    try:
        settings = RegistrySettings(
            tuple(parse_mirror(url) for url in options.registry_mirror), tuple(options.insecure_registry)
        )
        return asyncio.run(_serve(options, settings))
    except EngineError as error:
        print(f"trine-image: {error.message}", file=sys.stderr)
    except OSError as error:
        print(f"trine-image: {error.filename or options.data_root}: {error.strerror}", file=sys.stderr)
    return 1


async def _serve(options: argparse.Namespace, settings: RegistrySettings) -> int:
    from trine.image.build.scratch import recover
    from trine.image.servicer import ImageServicer
    from trine.image.store import ImageStore
    from trine.kit import server
    from trine.kit.errors import ConflictError
    from trine.kit.files import lock_file, make_directory
    from trine.v1 import image_pb2, image_pb2_grpc

    os.umask(0o022)
    root = options.data_root / "image"
    make_directory(root, 0o711)
    # One owner for the data, whatever socket it is served on.
    lock = await _locked(lock_file, root / "lock")
    if lock is None:
        raise ConflictError(f"another trine-image uses {root}: stop it first")
    store = ImageStore(root, settings)
    recover(store)  # what builds were doing when a predecessor was killed
    servicer = ImageServicer(store)

    async def register(grpc_server: Any) -> list[str]:
        image_pb2_grpc.add_ImageServiceServicer_to_server(servicer, grpc_server)
        return [image_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name]

    async def close() -> None:
        servicer.close()
        store.close()

    return await server.run(
        server.Service(
            name="trine-image",
            addresses=[options.listen],
            register=register,
            close=close,
            socket_group=server.group_id(options.group) if options.group else -1,
        )
    )


async def _locked(take: Any, path: Path) -> int | None:
    """Take the lock; a predecessor that was just killed may take a moment to go."""
    for _ in range(20):
        lock: int | None = take(path)
        if lock is not None:
            return lock
        await asyncio.sleep(0.1)
    return None


if __name__ == "__main__":
    sys.exit(main())
