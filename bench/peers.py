"""The engines that are measured: each in a place of its own, each with the same images."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import docker as real_docker
from support.place import OwnPlace, Place
from support.stack import BIN, Stack

IMAGES = ("hello-world", "busybox", "debian")


@dataclass
class Peer:
    """One engine's command line."""

    name: str  # trine, docker, podman
    command: list[str]  # what stands before the subcommand
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    shim_word: str = ""  # how the command line of a container's shim begins, or empty
    build: tuple[str, ...] = ("build",)
    place: Place | None = None  # where its engine runs, when that is known

    def __call__(
        self, *words: str, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a subcommand; raises CalledProcessError when it fails and ``check``."""
        done = subprocess.run(
            [*self.command, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        if check and done.returncode:
            raise RuntimeError(
                f"{self.name} {' '.join(words)}: {done.returncode}: {done.stderr.strip()[-500:]}"
            )
        return done  # type: ignore[no-any-return]


@contextlib.contextmanager
def trine() -> Iterator[Peer]:
    """Run a whole Trine; its command line runs on the host and dials the socket, as docker's does."""
    with Stack(images=IMAGES) as stack:
        yield Peer("trine", [str(BIN / "trine")], stack.environment, "trine-shim", place=stack.place)


@contextlib.contextmanager
def docker() -> Iterator[Peer]:
    """Run Debian's dockerd with the same images."""
    with real_docker.running(IMAGES) as engine:
        peer = Peer("docker", [real_docker.client()], engine.environment, "containerd-shim")
        for name in ("busybox", "hello-world"):
            peer("pull", "-q", name)
        yield peer


@contextlib.contextmanager
def podman() -> Iterator[Peer]:
    """Use podman with a store of its own; images come through an archive of busybox."""
    root = Path(tempfile.mkdtemp(prefix="trine-podman-", dir="/var/tmp"))
    place = OwnPlace()
    try:
        command = place.command(
            "podman", "--root", root / "store", "--runroot", root / "run", "--cgroup-manager", "cgroupfs",
            "--events-backend", "file",
        )  # fmt: skip
        # Without CAP_SYS_RESOURCE podman's own defaults cannot be set.
        (root / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            '[engine]\nruntime = "runc"\n'
        )
        peer = Peer("podman", command, {**os.environ, "CONTAINERS_CONF": str(root / "containers.conf")})
        with Stack(images=("busybox",)) as source:
            source.must("save", "-o", str(root / "busybox.tar"), "busybox")
        peer("load", "-i", str(root / "busybox.tar"))
        yield peer
        peer("rm", "-fa", check=False)
    finally:
        place.close()
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def bundle() -> Iterator[Path]:
    """Make an OCI bundle of busybox that runs `true`, for the runtimes alone."""
    root = Path(tempfile.mkdtemp(prefix="trine-bundle-", dir="/var/tmp"))
    try:
        binaries = root / "rootfs" / "bin"
        binaries.mkdir(parents=True)
        for name in ("proc", "dev", "sys"):
            (root / "rootfs" / name).mkdir()
        shutil.copy("/bin/busybox", binaries / "busybox")
        (binaries / "true").symlink_to("busybox")
        subprocess.run(["crun", "spec"], cwd=root, check=True)
        spec = json.loads((root / "config.json").read_text())
        spec["process"].update(terminal=False, args=["/bin/true"])
        (root / "config.json").write_text(json.dumps(spec))
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
