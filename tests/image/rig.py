"""A trine-image of its own for tests, registries on loopback, and images made by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from tools import registry

from trine.kit.errors import EngineError, from_rpc_error
from trine.v1 import image_pb2 as pb
from trine.v1 import image_pb2_grpc

CHUNK = 256 * 1024
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- images by hand ------------------------------------------------------------------------------
Content = bytes | None | tarfile.TarInfo


def member(name: str, kind: bytes = tarfile.REGTYPE, **attributes: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar; a name may be anything, tarfile does not check."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for item in members:
            info, data = item if isinstance(item, tuple) else (item, b"")
            if data:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def files(**contents: str) -> bytes:
    """Return a layer tar with these files ("__" in a name stands for a slash)."""
    return tar(*((member(name.replace("__", "/")), text.encode()) for name, text in contents.items()))


@dataclass
class MadeImage:
    """An image as a registry has it."""

    manifest: bytes
    config: bytes
    blobs: dict[str, bytes]
    diff_ids: list[str]
    media_type: str = MANIFEST_TYPE

    @property
    def digest(self) -> str:
        return sha256(self.manifest)

    @property
    def id(self) -> str:
        return sha256(self.config)


def make_image(
    *layers: bytes,
    config: dict[str, Any] | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> MadeImage:
    """Make an image of plain layer tars; ``change`` may spoil the manifest."""
    blobs = [gzip.compress(layer, 6, mtime=0) for layer in layers]
    diff_ids = [sha256(layer) for layer in layers]
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-05-01T10:00:00.5Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
        "history": [
            {"created": "2024-05-01T10:00:00Z", "created_by": f"layer {i}"} for i in range(len(layers))
        ],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    document.update(config or {})
    raw_config = json.dumps(document).encode()
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": sha256(raw_config), "size": len(raw_config)},
        "layers": [{"mediaType": LAYER_TYPE, "digest": sha256(blob), "size": len(blob)} for blob in blobs],
    }
    if change is not None:
        change(manifest)
    contents = {sha256(blob): blob for blob in blobs} | {sha256(raw_config): raw_config}
    return MadeImage(json.dumps(manifest).encode(), raw_config, contents, diff_ids)


def docker_archive(*images: tuple[MadeImage, list[str], list[bytes]]) -> bytes:
    """Return the tar docker 20.10's save writes: uncompressed layers in directories."""
    entries: list[dict[str, Any]] = []
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    for image, names, layers in images:
        paths = [f"{sha256(layer)[7:]}/layer.tar" for layer in layers]
        members += [(member(path), layer) for path, layer in zip(paths, layers, strict=True)]
        members.append((member(f"{image.id[7:]}.json"), image.config))
        entries.append({"Config": f"{image.id[7:]}.json", "RepoTags": names, "Layers": paths})
    return tar(*members, (member("manifest.json"), json.dumps(entries).encode()))


# --- registries ----------------------------------------------------------------------------------
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Registry:
    """Debian's docker-registry on loopback."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="trine-registry-"))
        self.host = f"127.0.0.1:{free_port()}"
        config = self.directory / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: {self.host}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.directory}/data}}}}\n"
        )
        self._process = subprocess.Popen(
            [registry.program(), "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: self._answers())

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1):
                return True
        except OSError:
            return False

    def put(self, repository: str, tag: str, image: MadeImage) -> None:
        base = f"http://{self.host}/v2/{repository}"
        for digest, data in image.blobs.items():
            with self._send("POST", f"{base}/blobs/uploads/", b"") as response:
                location = response.headers["Location"]
            self._send("PUT", f"{location}&digest={digest}", data).close()
        self._send("PUT", f"{base}/manifests/{tag}", image.manifest, image.media_type).close()

    @staticmethod
    def _send(method: str, url: str, data: bytes, kind: str = "application/octet-stream") -> Any:
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
        return urllib.request.urlopen(request, timeout=10)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.directory)


@dataclass
class Answer:
    """What the fake registry says; ``stall`` sends so many bytes of the body and then waits."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stall: int | None = None
    cut: int | None = None  # closes the connection after so many bytes


Handler = Callable[["Request"], Answer]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


class FakeRegistry:
    """A registry that lies as told. ``routes`` maps a path to an Answer or a function."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer | Handler] = {}
        self.requests: list[Request] = []
        self.release = threading.Event()
        self.stalled = threading.Event()
        fake = self

        class Server(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                fake._answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _do

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def serve(self, repository: str, tag: str, image: MadeImage) -> None:
        """Answer for an image as an honest registry does."""
        found = Answer(image.manifest, headers={"Content-Type": image.media_type})
        self.routes[f"/v2/{repository}/manifests/{tag}"] = found
        self.routes[f"/v2/{repository}/manifests/{image.digest}"] = found
        for digest, data in image.blobs.items():
            self.routes[f"/v2/{repository}/blobs/{digest}"] = Answer(data)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        handler.rfile.read(length)
        request = Request(handler.command, handler.path, dict(handler.headers))
        self.requests.append(request)
        route = self.routes.get(handler.path) or self.routes.get(handler.path.partition("?")[0])
        answer = route(request) if callable(route) else route
        if answer is None:
            code = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            answer = Answer(code, 404)
        try:
            handler.send_response(answer.status)
            for key, value in answer.headers.items():
                handler.send_header(key, value)
            if "Content-Length" not in answer.headers:
                handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            if handler.command == "HEAD":
                return
            if answer.stall is not None:
                handler.wfile.write(answer.body[: answer.stall])
                handler.wfile.flush()
                self.stalled.set()
                self.release.wait(30)
                handler.close_connection = True
            elif answer.cut is not None:
                handler.wfile.write(answer.body[: answer.cut])
                handler.close_connection = True
            else:
                handler.wfile.write(answer.body)
        except OSError:
            handler.close_connection = True

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


# --- the service ---------------------------------------------------------------------------------
def wait_until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for something another process does; fail loudly when it never happens."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        time.sleep(0.01)


class ImageRig:
    """One trine-image with a data root of its own."""

    def __init__(self, *flags: str, parent: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="trine-image-", dir=parent))
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None

    @property
    def root(self) -> Path:
        return self.directory / "data" / "image"

    def start(self, program: Sequence[str] = (sys.executable, "-I", "-m", "trine.image.main")) -> ImageRig:
        address = f"unix://{self.directory}/image.sock"
        self.process = subprocess.Popen(
            [
                *program,
                *("--listen", address),
                *("--data-root", str(self.directory / "data"), "--log-level", "warn", *self.flags),
            ],
            stderr=(self.directory / "log").open("ab"),
        )
        # Channels of one process to one address share their back-off, which grows to two minutes.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channel = grpc.insecure_channel(f"unix:{self.directory}/image.sock", options=options)
        grpc.channel_ready_future(self._channel).result(timeout=60)
        self.stub: Any = image_pb2_grpc.ImageServiceStub(self._channel)
        return self

    def kill(self) -> None:
        """kill -9, as the worst day has it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self._channel is not None:
            self._channel.close()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(timeout=20)
        if self._channel is not None:
            self._channel.close()
        return code

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        log = (self.directory / "log").read_text() if (self.directory / "log").exists() else ""
        shutil.rmtree(self.directory)
        assert "unexpected error" not in log, log

    # --- calls -----------------------------------------------------------------------------------
    def pull(self, name: str, **fields: Any) -> list[pb.PullImageResponse]:
        return list(self.stub.PullImage(pb.PullImageRequest(name=name, **fields)))

    def load(self, data: bytes) -> list[str]:
        requests = (pb.LoadImagesRequest(chunk=chunk) for chunk in chunks(data))
        return [response.line for response in self.stub.LoadImages(requests)]

    def save(self, *names: str) -> bytes:
        return b"".join(r.chunk for r in self.stub.SaveImages(pb.SaveImagesRequest(names=names)))

    def import_tar(self, data: bytes, **options: Any) -> str:
        first = pb.ImportImageRequest(options=pb.ImportOptions(**options))
        rest = [pb.ImportImageRequest(chunk=chunk) for chunk in chunks(data)]
        return str(self.stub.ImportImage(iter([first, *rest])).image_id)

    def image(self, name: str) -> pb.Image:
        image: pb.Image = self.stub.GetImage(pb.GetImageRequest(name=name)).image
        return image

    def images(self, **fields: Any) -> list[pb.Image]:
        return list(self.stub.ListImages(pb.ListImagesRequest(**fields)).images)

    def prepare(self, key: str, image: str = "") -> pb.Snapshot:
        request = pb.PrepareSnapshotRequest(key=key, image=image)
        snapshot: pb.Snapshot = self.stub.PrepareSnapshot(request).snapshot
        return snapshot

    def remove(self, name: str, **fields: Any) -> list[str]:
        response = self.stub.DeleteImage(pb.DeleteImageRequest(name=name, **fields))
        return [f"U {d.untagged}" if d.untagged else f"D {d.deleted}" for d in response.deleted]

    def clear(self) -> None:
        """Remove all snapshots and images."""
        for snapshot in self.stub.ListSnapshots(pb.ListSnapshotsRequest()).snapshots:
            self.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key=snapshot.key))
        while images := self.images(all=True):
            for image in images:
                try:
                    self.remove(image.id, force=True)
                except grpc.RpcError:
                    pass  # a parent: its child goes first

    def assert_clean(self) -> None:
        """Nothing is there that belongs to nothing."""
        wait_until(lambda: not list((self.root / "tmp").iterdir()))
        assert list((self.root / "layers").iterdir()) == []
        assert list((self.root / "content/blobs/sha256").iterdir()) == []


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def failure(call: Callable[[], object]) -> EngineError:
    """Return the error a call ends with; it must be one clean line."""
    try:
        call()
    except grpc.RpcError as error:
        found = from_rpc_error(error)
        assert "\n" not in found.message and "Traceback" not in found.message
        return found
    raise AssertionError("the call succeeded")


def lines(responses: list[pb.PullImageResponse]) -> list[str]:
    return [r.line for r in responses if r.WhichOneof("event") == "line"]


def statuses(responses: Any) -> list[str]:
    return [r.layer.status for r in responses if r.WhichOneof("event") == "layer"]


def need_root() -> bool:
    return os.geteuid() == 0
