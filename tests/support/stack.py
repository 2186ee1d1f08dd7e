"""A whole engine in a throw-away root: registry, trined with its services, and the command line.

with Stack() as stack:                       # a place of its own: bridge trine0, all ports free
    print(stack.trine("run", "--rm", "busybox", "true").returncode)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tools import make_images, registry

from support import traces
from support.place import OwnPlace, Place
from support.terminal import Terminal

BIN = Path(__file__).resolve().parents[2] / ".venv" / "bin"
SERVICES = ("image", "network", "runtime")
Result = subprocess.CompletedProcess[str]


class Stack:
    """One engine; ``place`` is where it lives, None for a new place of its own."""

    def __init__(
        self,
        *,
        place: Place | None = None,
        images: Sequence[str] = ("hello-world", "busybox"),
        flags: Sequence[str] = (),
        preload: bool = True,
    ) -> None:
        """Choose; ``start`` does. ``preload`` pulls hello-world and busybox when they are in ``images``."""
        # Short, because a shim's socket below it must fit into 108 bytes (unix(7)).
        self.root = Path(tempfile.mkdtemp(prefix="t", dir="/var/tmp"))
        self.place = place or OwnPlace()
        self._own_place = place is None
        self.images = tuple(images)
        self.flags = list(flags)
        self.preload = preload
        self.data_root = self.root / "d"
        self.exec_root = self.root / "x"
        self.socket = self.root / "s"
        self.cgroup_parent = f"trine-test-{self.root.name}"  # below the root of each hierarchy
        self.registry_port = 0
        self.trined: subprocess.Popen[bytes] | None = None
        self._registry: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stack:
        try:
            self.start_registry()
            self.start()
            for name in ("busybox", "hello-world"):
                if self.preload and name in self.images:
                    self.must("pull", "-q", name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the registry ---------------------------------------------------------------------------

    def start_registry(self) -> None:
        """Start a registry in the place and fill it with the images."""
        records = make_images.ensure(self.images)
        own = isinstance(self.place, OwnPlace)
        port = self.registry_port or (5000 if own else registry.free_port())
        config = self.root / "registry.yml"
        config.write_text(registry.CONFIG.format(storage=self.root / "registry", port=port))
        with open(self.root / "registry.log", "ab") as log:
            self._registry = subprocess.Popen(
                self.place.command(registry.program(), "serve", config),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
        self.registry_port = port

        def fill() -> None:
            deadline = time.monotonic() + 20
            while True:
                try:
                    for record in records:
                        registry.push(port, record)
                    return
                except ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

        self.place.call(fill)

    def stop_registry(self) -> None:
        """Stop the registry; pulls fail from now on."""
        if self._registry is not None:
            self._registry.terminate()
            self._registry.wait(10)
            self._registry = None

    # -- trined ---------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """What TRINE_HOST is for this engine."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its command line."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "TRINE_"))}
        return {**kept, "TRINE_HOST": self.host, "LC_ALL": "C.UTF-8", "HOME": str(self.root)}

    def command_line(self) -> list[str]:
        """Return the command that starts trined."""
        return self.place.command(
            BIN / "trined", "--data-root", self.data_root, "--exec-root", self.exec_root, "-H", self.host,
            "--registry-mirror", f"http://127.0.0.1:{self.registry_port}",
            "--cgroup-parent", f"/{self.cgroup_parent}",
            "--config-file", self.root / "daemon.json", *self.flags,
        )  # fmt: skip

    def start(self, timeout: float = 30.0) -> float:
        """Start trined, wait until it answers; return the seconds that took."""
        (self.root / "daemon.json").write_text("{}")
        started = time.monotonic()
        with open(self.root / "log", "ab") as log:
            self.trined = subprocess.Popen(
                self.command_line(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        while self.trine("ps", "-q").returncode:
            if self.trined.poll() is not None or time.monotonic() - started > timeout:
                raise AssertionError(f"trined does not serve; its log:\n{self.log()[-4000:]}")
            time.sleep(0.02)
        return time.monotonic() - started

    def wait_until_serving(self, timeout: float = 20.0) -> None:
        """Wait until trined and all its services answer."""
        deadline = time.monotonic() + timeout
        while True:
            ready = all(self.service_pid(name) for name in SERVICES)
            if ready and all(
                self.trine(*w).returncode == 0 for w in (("ps", "-q"), ("images", "-q"), ("network", "ls"))
            ):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"services are not back; log:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask trined to stop (SIGTERM) and wait."""
        if self.trined is not None:
            self.trined.terminate()
            try:
                self.trined.wait(20)
            finally:
                self.trined = None

    def log(self) -> str:
        """Return what trined and its services wrote."""
        return (self.root / "log").read_text(errors="replace")

    # -- the command line -----------------------------------------------------------------------

    def trine(
        self, *words: str, input: str | None = None, timeout: float = 60.0, env: dict[str, str] | None = None
    ) -> Result:
        """Run the command line; never raises for its status."""
        return subprocess.run(
            self.place.command(BIN / "trine", *words),
            env={**self.environment, **(env or {})}, input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, errors="replace",
        )  # fmt: skip

    def must(self, *words: str, input: str | None = None, timeout: float = 60.0) -> str:
        """Run the command line and return its stdout without the last newline; AssertionError on failure."""
        done = self.trine(*words, input=input, timeout=timeout)
        assert done.returncode == 0, (
            f"trine {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout.rstrip("\n")

    def spawn(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command line and don't wait."""
        return subprocess.Popen(
            self.place.command(BIN / "trine", *words), env=self.environment, text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip

    def terminal(self, *words: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Run the command line on a terminal."""
        return Terminal(self.place.command(BIN / "trine", *words), self.environment, rows, columns)

    def sh(self, script: str, timeout: float = 60.0) -> Result:
        """Run a line of bash in the place, ``trine`` in PATH."""
        environment = {**self.environment, "PATH": f"{BIN}:{os.environ['PATH']}"}
        return subprocess.run(
            self.place.command("bash", "-c", script), env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def inspect(self, name: str, template: str) -> str:
        """Return a formatted part of an object."""
        return self.must("inspect", "-f", template, name)

    def sleeper(self, name: str, *options: str) -> str:
        """Start a busybox container that ends at once on SIGTERM; return its id."""
        script = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'
        return self.must("run", "-d", "--name", name, *options, "busybox", "sh", "-c", script)

    # -- processes ------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """Return pid -> command line of all processes of this engine."""
        return traces.processes(self.root)

    def service_pid(self, name: str) -> int:
        """Return the pid of a service ("image", …), "trined" or "zygote"; 0 when it does not run."""
        if name == "zygote":  # the child of the runtime service with that title
            runtime = self.service_pid("runtime")
            children = Path(f"/proc/{runtime}/task").glob("*/children") if runtime else []
            for child in (pid for file in children for pid in file.read_text().split()):
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"trine-zygote"):
                        return int(child)
            return 0
        wanted = {"trined": r"/trined\b|trine\.supervisor"}.get(name, rf"trine\.{name}\.main|trine-{name}\b")
        exec_root = str(self.exec_root)
        for pid, words in self.processes().items():
            if re.search(wanted, words) and exec_root in words and "nsenter" not in words.split()[0]:
                return pid
        return 0

    def kill(self, *names: str) -> None:
        """kill -9 services by name, at the same time."""
        pids = [self.service_pid(name) for name in names]
        # The zygote starts with the first container: among others it may not be there yet.
        missing = [name for name, pid in zip(names, pids, strict=True) if not pid]
        assert not missing or (missing == ["zygote"] and len(names) > 1), self.processes()
        for pid in filter(None, pids):
            os.kill(pid, signal.SIGKILL)
        if "trined" in names and self.trined is not None:
            self.trined.wait()
            self.trined = None

    def power_cut(self) -> None:
        """Take away what a power cut does: every process, the run-time directory, and what the kernel holds.

        Only in a place of its own: its links and rules go as a whole.
        """
        assert self._own_place
        for pid, command in self.processes().items():
            if command.split()[1:2] != ["serve"]:  # the registry is another machine
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.trined is not None:
            self.trined.wait()
            self.trined = None
        for point in reversed(traces.mounts(self.place, self.exec_root)):
            subprocess.run(self.place.command("umount", "-l", point), check=False)
        shutil.rmtree(self.exec_root)
        for link in set(traces.links(self.place)) - {"lo"}:
            subprocess.run(self.place.command("ip", "link", "del", link), check=False, capture_output=True)
        for words in (
            ["nft", "flush", "ruleset"],
            ["iptables-legacy", "-F"],
            ["iptables-legacy", "-t", "nat", "-F"],
        ):
            subprocess.run(self.place.command(*words), check=False, capture_output=True)
        deadline = time.monotonic() + 10
        while left := traces.cgroups(self.cgroup_parent):
            assert time.monotonic() < deadline, left
            for cgroup in reversed(left):
                with contextlib.suppress(OSError):
                    os.rmdir(cgroup)

    # -- the end --------------------------------------------------------------------------------

    def remove_all(self) -> None:
        """Remove all containers, networks and volumes of this engine."""
        containers = self.trine("ps", "-aq").stdout.split()
        if containers:
            self.trine("rm", "-f", "-v", *containers)
        self.trine("network", "prune", "-f")
        volumes = self.trine("volume", "ls", "-q").stdout.split()
        if volumes:
            self.trine("volume", "rm", "-f", *volumes)

    def close(self) -> None:
        """Remove everything, end every process, give root and place back."""
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            if self.trined is not None and self.trined.poll() is None:
                self.remove_all()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        self.stop_registry()
        for _ in range(100):
            left = self.processes()
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for point in reversed(traces.mounts(Place(), self.root)):
            subprocess.run(["umount", "-l", point], check=False)
        if self._own_place:
            self.place.close()
        for cgroup in reversed([*self._cgroup_tops(), *traces.cgroups(self.cgroup_parent)]):
            with contextlib.suppress(OSError):
                os.rmdir(cgroup)
        shutil.rmtree(self.root, ignore_errors=True)

    def _cgroup_tops(self) -> list[str]:
        tops = [traces.CGROUPS, *(p for p in traces.CGROUPS.iterdir() if p.is_dir())]
        return [str(top / self.cgroup_parent) for top in tops if (top / self.cgroup_parent).is_dir()]
