"""A caller of BuildImage for tests: starts trine-image alone, sends a context, runs steps for real.

A step runs in its own mount and PID namespace over a real overlay mount, by unshare(1) and chroot:
what the engine does with a runtime, in one shell line.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from trine.kit.channel import open_channel, wait_until_serving
from trine.kit.errors import EngineError, from_rpc_error
from trine.v1 import image_pb2 as pb
from trine.v1 import image_pb2_grpc

BUSYBOX = Path("/bin/busybox")
_APPLETS = "sh cat ls mkdir ln rm touch chmod chown stat echo true false env pwd sleep find id readlink"
APPLETS = [*_APPLETS.split(), "mkfifo", "sha256sum"]
Runner = Callable[[pb.ExecStep], Awaitable[pb.ExecStepResult]]


class ImageProcess:
    """trine-image alone, as a process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data" / "image"
        self.address = f"unix://{root}/image.sock"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [sys.executable, "-I", "-m", "trine.image.main", "--listen", self.address]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--data-root", str(self.root / "data")], stderr=log)
        channel = open_channel(self.address)
        try:
            assert await wait_until_serving(channel, 60), (self.root / "log").read_text()
        finally:
            await channel.close()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


@dataclass
class Result:
    """What a build answered."""

    text: str = ""
    image_id: str = ""
    error: EngineError | None = None
    steps: list[pb.ExecStep] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def make_tar(files: dict[str, Any]) -> bytes:
    """Return a tar: bytes or text are files, None directories, ("link", target), TarInfo as it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = 0o644, 1_000_000_000
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            elif isinstance(content, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, content[1]
                archive.addfile(info)
            else:
                data = content.encode() if isinstance(content, str) else content
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def base_tar() -> bytes:
    """Return a root file system of busybox."""
    buffer = io.BytesIO(
        make_tar(
            {
                "bin": None,
                "etc": None,
                "tmp": None,
                "etc/passwd": "root:x:0:0::/:/bin/sh\nweb:x:1000:1001::/:/bin/sh\n",
                "etc/group": "root:x:0:\nweb:x:1001:\nstaff:x:50:\n",
                **{f"bin/{name}": ("link", "busybox") for name in APPLETS},
            }
        )
    )
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        info = archive.gettarinfo(str(BUSYBOX), "bin/busybox")
        with BUSYBOX.open("rb") as file:
            archive.addfile(info, file)
    return buffer.getvalue()


class Caller:
    """A client of one service."""

    def __init__(self, process: ImageProcess) -> None:
        self.process = process
        self.channel: grpc.aio.Channel | None = None
        self.stub: Any = None

    async def __aenter__(self) -> Caller:
        self.channel = open_channel(self.process.address)
        self.stub = image_pb2_grpc.ImageServiceStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.channel is not None
        await self.channel.close()

    async def import_base(self, name: str = "base:1") -> str:
        async def requests() -> AsyncIterator[pb.ImportImageRequest]:
            options = pb.ImportOptions(reference=name, changes=['CMD ["sh"]', "ENV PATH=/bin"])
            yield pb.ImportImageRequest(options=options)
            data = base_tar()
            for start in range(0, len(data), 1 << 20):
                yield pb.ImportImageRequest(chunk=data[start : start + (1 << 20)])

        answer = await self.stub.ImportImage(requests())
        return str(answer.image_id)

    async def build(
        self,
        text: str | None,
        files: dict[str, Any] | None = None,
        *,
        runner: Runner | None = None,
        context: bytes | None = None,
        on_call: Callable[[Any], None] | None = None,
        on_response: Callable[[], None] | None = None,
        **options: Any,
    ) -> Result:
        """Build and answer the steps; never raises for a failed build."""
        result = Result()
        answers: asyncio.Queue[pb.BuildImageRequest | None] = asyncio.Queue()
        if context is None:
            content = dict(files or {})
            if text is not None:
                content["Dockerfile"] = text
            context = make_tar(content)

        async def requests() -> AsyncIterator[pb.BuildImageRequest]:
            yield pb.BuildImageRequest(options=pb.BuildOptions(**options))
            for start in range(0, len(context), 1 << 20):
                yield pb.BuildImageRequest(context_chunk=context[start : start + (1 << 20)])
            yield pb.BuildImageRequest(context_done=True)
            while (answer := await answers.get()) is not None:
                yield answer

        call = self.stub.BuildImage(requests())
        if on_call is not None:
            on_call(call)
        try:
            async for response in call:
                if on_response is not None:
                    on_response()
                event = response.WhichOneof("event")
                if event == "stream":
                    result.text += response.stream
                elif event == "image_id":
                    result.image_id = response.image_id
                elif event == "exec_step":
                    result.steps.append(response.exec_step)
                    answer = await (runner or run_step)(response.exec_step)
                    answers.put_nowait(pb.BuildImageRequest(exec_step_result=answer))
        except grpc.aio.AioRpcError as error:
            result.error = from_rpc_error(error)
        finally:
            answers.put_nowait(None)
        return result

    async def image(self, name: str) -> Any:
        return (await self.stub.GetImage(pb.GetImageRequest(name=name))).image

    async def created_by(self, name: str) -> list[str]:
        """Return the history's commands, oldest first."""
        answer = await self.stub.GetImageHistory(pb.GetImageHistoryRequest(name=name))
        return [entry.created_by for entry in reversed(answer.entries)]

    async def output(self, name: str, *argv: str) -> str:
        """Run argv over an image and return what it wrote; nothing is kept."""
        key = os.urandom(32).hex()
        answer = await self.stub.PrepareSnapshot(pb.PrepareSnapshotRequest(key=key, image=name))
        try:
            step = pb.ExecStep(container_id=key, mount=answer.snapshot.mount, args=argv)
            step.config.env.append("PATH=/bin")
            code, text = await execute(step)
            assert code == 0, text
            return text
        finally:
            await self.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key=key))


_SCRIPT = """set -e
mount -t overlay overlay -o "$1" "$2"
shift
root=$1 directory=$2 owner=$3
shift 3
mkdir -p "$root$directory"
exec chroot --userspec="$owner" "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$directory" "$@"
"""


async def execute(step: pb.ExecStep) -> tuple[int, str]:
    """Run a step's argv in a mount namespace over its overlay; return status and output."""
    mount = step.mount
    work = Path(mount.upper_directory).parent.parent.parent.parent.parent / f"mnt-{step.container_id[:12]}"
    work.mkdir()
    options = (
        f"lowerdir={':'.join(mount.lower_directories)},upperdir={mount.upper_directory},"
        f"workdir={mount.work_directory}"
    )
    owner = step.config.user.split(":")[0] or "0"
    numeric = {"web": "1000"}.get(owner, owner)
    process = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "sh", options, str(work),
        step.config.working_dir or "/", f"+{numeric}:+{numeric}", *step.args,
        env=dict(entry.split("=", 1) for entry in step.config.env) | {"PATH": "/bin:/usr/bin:/usr/sbin"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return process.returncode or 0, output.decode()


async def run_step(step: pb.ExecStep) -> pb.ExecStepResult:
    """Answer an exec_step truly."""
    code, _ = await execute(step)
    return pb.ExecStepResult(container_id=step.container_id, exit_code=code)
