"""The real Docker, for recording what it says and for racing it: a dockerd of our own in its own place."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import make_images, registry

from support.place import OwnPlace, Place

API_VERSION = "1.41"  # of engine 20.10


@dataclass
class Docker:
    """A running dockerd and how to talk to it."""

    place: Place
    root: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    registry_port: int

    def command(self, *words: str) -> list[str]:
        """Return the command line of the docker client, run in the engine's place."""
        return self.place.command(client(), *words)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the client; raises CalledProcessError when it fails and ``check``."""
        return subprocess.run(
            self.command(*words), env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=check,
        )  # fmt: skip


def client() -> str:
    """Return the docker client (the newest in PATH comes first)."""
    found = shutil.which("docker")
    if found is None:
        raise RuntimeError("the docker client is missing; run: tools/setup.sh compare")
    return found


@contextlib.contextmanager
def running(names: tuple[str, ...] = ("hello-world", "busybox")) -> Iterator[Docker]:
    """Run dockerd with its standard bridge docker0 in a place of its own, a filled registry as mirror."""
    root = Path(tempfile.mkdtemp(prefix="trine-docker-", dir="/var/tmp"))
    place = OwnPlace()
    records = make_images.ensure(names)
    port = 5000
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{root}/docker.sock",
        "DOCKER_CONFIG": str(root / "config"),
        "DOCKER_API_VERSION": API_VERSION,
        "DOCKER_BUILDKIT": "0",
        "DOCKER_CLI_HINTS": "false",
        "LC_ALL": "C.UTF-8",
    }
    children: list[subprocess.Popen[bytes]] = []
    try:
        config = root / "registry.yml"
        config.write_text(registry.CONFIG.format(storage=root / "registry", port=port))
        log = open(root / "log", "wb")
        children.append(
            subprocess.Popen(
                place.command(registry.program(), "serve", config),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )
        children.append(
            subprocess.Popen(
                place.command(
                    "dockerd", "--data-root", root / "data", "--exec-root", root / "exec", "-H",
                    environment["DOCKER_HOST"], "--pidfile", root / "pid",
                    "--registry-mirror", f"http://127.0.0.1:{port}",
                ),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "HTTP_PROXY": "", "OTEL_TRACES_EXPORTER": "none"},
            )
        )  # fmt: skip

        def fill() -> None:
            for record in records:
                registry.push(port, record)

        docker = Docker(place, root, children[1], environment, port)
        deadline = time.monotonic() + 30
        while docker.run("version", check=False).returncode:
            if time.monotonic() > deadline or children[1].poll() is not None:
                raise RuntimeError(f"dockerd does not start:\n{(root / 'log').read_text()[-3000:]}")
            time.sleep(0.1)
        place.call(fill)
        yield docker
    finally:
        for child in reversed(children):
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(20)
            child.kill()
        place.close()
        shutil.rmtree(root, ignore_errors=True)
