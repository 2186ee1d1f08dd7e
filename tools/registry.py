"""A registry on loopback with the test images: Debian's docker-registry, filled by plain HTTP.

``python -m tools.registry start|stop|url [--root DIR] [--port N] [--image NAME]…``. The registry is
found as ``docker-registry`` in PATH or in .cache/registry (tools/setup.sh unpacks Debian's package
there, so that no system service appears on the host). Everything it writes is below ``--root``.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tools import make_images
from tools.image_writer import BlobStore

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http:
  addr: 127.0.0.1:{port}
  secret: loopback
"""


class RegistryError(Exception):
    """The registry can't be started or filled; the message says why."""


def program() -> str:
    """Return the path of Debian's docker-registry; raises RegistryError when it is not installed."""
    unpacked = ROOT / ".cache/registry/usr/bin/docker-registry"
    found = shutil.which("docker-registry") or (str(unpacked) if unpacked.exists() else None)
    if found is None:
        raise RegistryError("docker-registry is missing; run: make setup")
    return found


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _request(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", "")
    finally:
        connection.close()


def _push_blob(port: int, repository: str, blob: Path, digest: str) -> None:
    status, _ = _request(port, "HEAD", f"/v2/{repository}/blobs/{digest}")
    if status == 200:
        return
    status, location = _request(port, "POST", f"/v2/{repository}/blobs/uploads/")
    if status != 202:
        raise RegistryError(f"the registry refuses an upload to {repository}: HTTP {status}")
    location = location[location.index("/v2/") :]
    location += ("&" if "?" in location else "?") + f"digest={digest}"
    with open(blob, "rb") as file:
        status, _ = _request(
            port,
            "PUT",
            location,
            file,
            Content_Length=str(blob.stat().st_size),
            Content_Type="application/octet-stream",
        )
    if status != 201:
        raise RegistryError(f"the registry refuses blob {digest} of {repository}: HTTP {status}")


def push(port: int, record: dict[str, Any]) -> None:
    """Put an image of the cache (tools/make_images.py) into the registry; what is there is left alone."""
    store = BlobStore(make_images.CACHE / "blobs")
    for digest in record["blobs"]:
        _push_blob(port, record["repository"], store.path(digest), digest)
    for position, manifest in enumerate(record["manifests"]):
        last = position == len(record["manifests"]) - 1
        for reference in record["tags"] if last else [manifest["digest"]]:
            status, _ = _request(
                port,
                "PUT",
                f"/v2/{record['repository']}/manifests/{reference}",
                store.path(manifest["digest"]).read_bytes(),
                Content_Type=manifest["media_type"],
            )
            if status != 201:
                raise RegistryError(f"the registry refuses {record['repository']}:{reference}: HTTP {status}")


def spawn(root: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a registry below ``root`` and return when it answers; raises RegistryError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise RegistryError(f"port {port} of 127.0.0.1 is in use; choose another: --port N") from None
    root.mkdir(parents=True, exist_ok=True)
    config = root / "config.yml"
    config.write_text(CONFIG.format(storage=root / "storage", port=port))
    with open(root / "log", "ab") as log:
        process = subprocess.Popen(
            [program(), "serve", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", ""), "OTEL_TRACES_EXPORTER": "none"},
        )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = (root / "log").read_text(errors="replace").strip().splitlines()
            reason = next((line for line in reversed(lines) if "in use" in line), lines[-1] if lines else "")
            raise RegistryError(f"docker-registry on 127.0.0.1:{port} ended at once: {reason}")
        with contextlib.suppress(OSError):
            if _request(port, "GET", "/v2/")[0] == 200:
                return process
        time.sleep(0.02)
    process.kill()
    raise RegistryError(f"docker-registry on 127.0.0.1:{port} does not answer; see {root}/log")


@contextlib.contextmanager
def running(root: Path, names: Iterable[str] = make_images.NAMES, port: int = 0) -> Iterator[int]:
    """Run a filled registry for the time of a ``with`` block; gives its port."""
    records = make_images.ensure(tuple(names))
    number = port or free_port()
    process = spawn(root, number)
    try:
        for record in records:
            push(number, record)
        yield number
    finally:
        process.terminate()
        process.wait(10)


def _running_pid(root: Path) -> int:
    """Return the pid of the registry of ``root``, 0 when none runs (its command line names the config)."""
    try:
        pid = int((root / "pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if str(root / "config.yml").encode() in words else 0


def start(root: Path, port: int, names: tuple[str, ...]) -> None:
    """Start the registry of ``root`` unless it runs, and fill it."""
    records = make_images.ensure(names)
    if not _running_pid(root):
        process = spawn(root, port)
        (root / "pid").write_text(f"{process.pid}\n")
    for record in records:
        push(port, record)


def stop(root: Path) -> bool:
    """Stop the registry of ``root``; False when none runs."""
    pid = _running_pid(root)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _running_pid(root):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    (root / "pid").unlink(missing_ok=True)
    return True


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="tools.registry", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("--root", type=Path, default=ROOT / ".state/registry")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--image", action="append", choices=make_images.NAMES)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    try:
        if arguments.action == "stop":
            print("registry stopped" if stop(root) else "no registry runs")
            return 0
        start(root, arguments.port, tuple(arguments.image or make_images.NAMES))
    except RegistryError as error:
        print(f"registry: {error}", file=sys.stderr)
        return 1
    print(
        f"registry: http://127.0.0.1:{arguments.port} has {', '.join(arguments.image or make_images.NAMES)}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
