"""A trine-runtime of its own for tests: started as a process, spoken to by gRPC, looked after for leaks."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc

from trine.kit import errors
from trine.runtime.cgroups import layout
from trine.v1 import image_pb2, runtime_pb2_grpc
from trine.v1 import runtime_pb2 as pb

APPLETS = [
    "sh",
    "true",
    "false",
    "echo",
    "ls",
    "id",
    "cat",
    "sleep",
    "mount",
    "ps",
    "hostname",
    "stty",
    "kill",
    "test",
    "readlink",
    "stat",
    "touch",
    "mkdir",
    "head",
    "seq",
    "tail",
    "yes",
    "wc",
    "grep",
    "tty",
    "env",
    "pwd",
    "umask",
    "dd",
    "free",
    "nproc",
    "mknod",
    "date",
    "trap",
    "usleep",
    "printf",
    "od",
    "sort",
    "uname",
    "rm",
    "find",
]
_PROCESS_FIELDS = {
    "user",
    "terminal",
    "open_stdin",
    "stdin_once",
    "working_directory",
    "terminal_rows",
    "terminal_columns",
    "additional_groups",
    "resource_limits",
    "env",
    "privileged",
}
PATH = "PATH=/bin"


def eventually(condition: Any, seconds: float = 15.0) -> Any:
    """Wait for something true and return it; fails the test when it does not come."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def make_rootfs(path: Path) -> Path:
    """Make a root file system of a static busybox."""
    for name in ("bin", "etc", "tmp", "root"):
        (path / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for applet in APPLETS:
        (path / "bin" / applet).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n")
    return path


class Rig:
    """The service and its place."""

    def __init__(self, *options: str) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="trt-", dir="/var/tmp"))
        self.rootfs = make_rootfs(self.place / "rootfs")
        self.cgroup = f"/trine-test-{secrets.token_hex(4)}"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.place / "service.log"
        self.start()

    # The service

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-m",
                    "trine.runtime.main",
                    "--data-root",
                    str(self.place / "data"),
                    "--exec-root",
                    str(self.place / "run"),
                    "--cgroup-parent",
                    self.cgroup,
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)]
        self.channel = grpc.insecure_channel(f"unix:{self.place}/run/runtime.sock", options=options)
        self.stub = runtime_pb2_grpc.RuntimeServiceStub(self.channel)
        grpc.channel_ready_future(self.channel).result(timeout=20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.channel.close()

    def zygote(self) -> int:
        """Return the zygote's pid."""
        assert self.process is not None
        for pid in children(self.process.pid):
            if b"trine-zygote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError("no zygote")

    # Containers

    def request(self, args: Iterable[str], **fields: Any) -> pb.CreateRuntimeContainerRequest:
        container_id = fields.pop("id", "") or secrets.token_hex(32)
        layer = self.place / "snapshots" / container_id
        for name in ("fs", "work"):
            (layer / name).mkdir(parents=True, exist_ok=True)
        process = {name: fields.pop(name) for name in list(fields) if name in _PROCESS_FIELDS}
        process.setdefault("env", [PATH])
        lower = fields.pop("lower", [str(self.rootfs)])
        return pb.CreateRuntimeContainerRequest(
            id=container_id,
            process=pb.ProcessSpec(args=list(args), **process),
            root=image_pb2.OverlayMount(
                lower_directories=lower,
                upper_directory=str(layer / "fs"),
                work_directory=str(layer / "work"),
            ),
            **fields,
        )

    def create(self, *args: str, **fields: Any) -> str:
        request = self.request(args, **fields)
        self.stub.CreateRuntimeContainer(request)
        return request.id

    def begin(self, container_id: str) -> pb.RuntimeContainer:
        return self.stub.StartRuntimeContainer(pb.StartRuntimeContainerRequest(id=container_id)).container

    def run(self, *args: str, **fields: Any) -> str:
        container_id = self.create(*args, **fields)
        self.begin(container_id)
        return container_id

    def wait(self, container_id: str) -> pb.RuntimeContainer:
        request = pb.WaitRuntimeContainerRequest(id=container_id)
        return self.stub.WaitRuntimeContainer(request, timeout=60).container

    def get(self, container_id: str) -> pb.RuntimeContainer:
        return self.stub.GetRuntimeContainer(pb.GetRuntimeContainerRequest(id=container_id)).container

    def logs(self, container_id: str, **fields: Any) -> bytes:
        fields.setdefault("tail", -1)
        stream = self.stub.ReadLog(pb.ReadLogRequest(container_id=container_id, **fields), timeout=60)
        return b"".join(part.stdout + part.stderr for part in stream)

    def output(self, *args: str, **fields: Any) -> tuple[int, str]:
        """Run to the end; return (exit code, what it said)."""
        container_id = self.run(*args, **fields)
        ended = self.wait(container_id)
        text = self.logs(container_id).decode("utf-8", "replace")
        self.delete(container_id)
        return ended.exit_code, text

    def delete(self, container_id: str, **fields: Any) -> None:
        self.stub.DeleteRuntimeContainer(pb.DeleteRuntimeContainerRequest(id=container_id, **fields))

    def signal(self, container_id: str, number: int, **fields: Any) -> None:
        request = pb.SignalRuntimeContainerRequest(id=container_id, signal=number, **fields)
        self.stub.SignalRuntimeContainer(request)

    def exec(self, container_id: str, *args: str, **fields: Any) -> str:
        exec_id = secrets.token_hex(32)
        fields.setdefault("env", [PATH])
        process = pb.ProcessSpec(args=list(args), **fields)
        request = pb.CreateProcessRequest(container_id=container_id, exec_id=exec_id, process=process)
        self.stub.CreateProcess(request)
        return exec_id

    def exec_output(self, container_id: str, *args: str, **fields: Any) -> tuple[int, bytes]:
        """Run an exec to its end over an attachment; return (exit code, stdout and stderr)."""
        exec_id = self.exec(container_id, *args, **fields)
        with Attachment(self, container_id, exec_id) as attachment:
            self.stub.StartProcess(pb.StartProcessRequest(container_id=container_id, exec_id=exec_id))
            return attachment.finish()

    def shim(self, container_id: str) -> int:
        for pid in pids():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"trine-shim\0" + container_id.encode()):
                return pid
        return 0

    # Leaks

    def leaks(self) -> list[str]:
        """Return what is left on the host of this rig's containers."""
        found = [
            line
            for pid in ("self", *([str(self.process.pid)] if self.process else []))
            for line in _read(f"/proc/{pid}/mountinfo").splitlines()
            if str(self.place) in line
        ]
        for root in layout.detect().roots():
            directory = Path(root + self.cgroup)
            if directory.is_dir():
                found += [str(path) for path in directory.iterdir() if path.is_dir()]
        for pid in pids():
            if pid == os.getpid() or (self.process and pid == self.process.pid):
                continue
            cgroup = _read(f"/proc/{pid}/cgroup")
            if self.cgroup in cgroup:
                found.append(f"process {pid}: {_read(f'/proc/{pid}/cmdline')}")
        found += [str(path) for path in (self.place / "run/runtime").glob("*")]
        if self.process and self.process.poll() is None:
            found += [f"zombie {pid}" for pid in children(self.process.pid) if _state(pid) == "Z"]
        return found

    def close(self) -> None:
        try:
            if self.process is None or self.process.poll() is not None:
                self.start()
            for container in self.stub.ListRuntimeContainers(pb.ListRuntimeContainersRequest()).containers:
                self.delete(container.id, force=True)
            eventually(lambda: not self.leaks())
        finally:
            leaks = self.leaks()
            self.channel.close()
            assert self.process is not None
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=15)
            for root in layout.detect().roots():
                try:
                    os.rmdir(root + self.cgroup)
                except OSError:
                    pass
            said = self.log.read_text()
            shutil.rmtree(self.place, ignore_errors=True)
            assert not leaks, leaks
            assert "Traceback" not in said, said


class Attachment:
    """One AttachProcess stream."""

    def __init__(
        self, rig: Rig, container_id: str, exec_id: str = "", stdin: bool = False, **fields: Any
    ) -> None:
        import queue

        self._requests: queue.Queue[pb.AttachProcessRequest | None] = queue.Queue()
        target = pb.AttachTarget(
            container_id=container_id, exec_id=exec_id, stdin=stdin, stdout=True, stderr=True, **fields
        )
        self._requests.put(pb.AttachProcessRequest(target=target))
        self.call = rig.stub.AttachProcess(self._feed(), timeout=60)
        self.received = b""
        self.code: int | None = None
        assert next(self.call).attached

    def _feed(self) -> Iterator[pb.AttachProcessRequest]:
        while (request := self._requests.get()) is not None:
            yield request

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self.call.cancel()

    def send(self, data: bytes) -> None:
        self._requests.put(pb.AttachProcessRequest(stdin=data))

    def close_input(self) -> None:
        self._requests.put(pb.AttachProcessRequest(stdin_closed=True))

    def until(self, wanted: bytes) -> bytes:
        """Read until something was said; return all so far."""
        while wanted not in self.received:
            self._take(next(self.call))
        return self.received

    def finish(self) -> tuple[int, bytes]:
        """Read to the end; return (exit code, everything)."""
        for response in self.call:
            self._take(response)
        assert self.code is not None
        return self.code, self.received

    def _take(self, response: pb.AttachProcessResponse) -> None:
        if response.WhichOneof("event") == "exit_code":
            self.code = response.exit_code
        self.received += response.stdout + response.stderr


def reason(error: grpc.RpcError) -> str:
    """Return the ErrorInfo reason of a failed call."""
    return errors.from_rpc_error(error).reason


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in _read(str(task)).split()]
    return found


def _state(pid: int) -> str:
    return _read(f"/proc/{pid}/stat").rpartition(")")[2][1:2]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
