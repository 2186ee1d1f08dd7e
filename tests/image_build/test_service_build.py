"""BuildImage spoken to trine-image alone: output to the letter, cache, files, undo."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import tarfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from image_build.caller import Caller, ImageProcess, Result, make_tar, run_step
from trine.v1 import image_pb2 as pb

pytestmark = pytest.mark.root
ID = re.compile(r"\b[0-9a-f]{12}\b")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageProcess]:
    process = ImageProcess(tmp_path_factory.mktemp("build"))

    async def prepare() -> None:
        await process.start()
        async with Caller(process) as caller:
            await caller.import_base()

    asyncio.run(prepare())
    yield process
    process.stop()


def use(service: ImageProcess, work: Callable[[Caller], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with Caller(service) as caller:
            return await work(caller)

    return asyncio.run(go())


def build(service: ImageProcess, text: str | None, files: dict[str, Any] | None = None, **kw: Any) -> Result:
    result = use(service, lambda c: c.build(text, files, **kw))
    assert isinstance(result, Result)
    return result


def good(result: Result) -> Result:
    assert result.error is None, f"{result.text}\n{result.error and result.error.message}"
    return result


def normal(text: str) -> str:
    return ID.sub("ID", text)


def leftovers(service: ImageProcess) -> list[str]:
    """Return what a build must not leave: marks, snapshots, temporary files."""
    found: list[str] = []
    for name in ("builds", "snapshots", "tmp"):
        directory = service.data / name
        if directory.is_dir():
            found += [f"{name}/{item}" for item in os.listdir(directory)]
    return found


def wait_clean(service: ImageProcess) -> None:
    """Deletion of files goes on in the background: wait for its end."""
    for _ in range(400):
        if not leftovers(service):
            return
        time.sleep(0.025)
    raise AssertionError(leftovers(service))


EVERYTHING = r"""FROM base:1
MAINTAINER Foo Bar <a@b>
RUN echo one > /one
ENV A=1 B="x y"
ARG Q=5
RUN echo $Q > /q
LABEL k="v w" z=1
WORKDIR /w
WORKDIR rel
USER web
EXPOSE 80 90/udp
VOLUME /data /x
CMD echo hi
ENTRYPOINT ["/bin/sh"]
SHELL ["/bin/sh","-x","-c"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=3 CMD true
ONBUILD RUN echo trig
COPY a.txt b.txt /dst/
ADD --chown=1:2 d /dd
"""
FILES = {"a.txt": "hi\n", "b.txt": "yo\n", "d": None, "d/e": None, "d/e/f": "1\n"}


def test_every_instruction_reads_as_docker_writes_it(service: ImageProcess) -> None:
    result = good(build(service, EVERYTHING, FILES, tags=["n:v2"], no_cache=True))
    expected = []
    for number, line in enumerate(EVERYTHING.splitlines(), 1):
        expected.append(f"Step {number}/20 : {line}")
        if line.split()[0] not in ("FROM", "COPY", "ADD"):
            expected += [" ---> Running in ID", "Removing intermediate container ID"]
        expected.append(" ---> ID")
    expected += ["Successfully built ID", "Successfully tagged n:v2"]
    assert normal(result.text).splitlines() == expected
    short = result.image_id.removeprefix("sha256:")[:12]
    assert f"Successfully built {short}" in result.lines


def test_history_and_config_are_dockers(service: ImageProcess) -> None:
    good(build(service, EVERYTHING, FILES, tags=["n:v2"]))
    history = use(service, lambda c: c.created_by("n:v2"))
    assert [re.sub(r"[0-9a-f]{64}", "HASH", line) for line in history[1:]] == [
        "/bin/sh -c #(nop)  MAINTAINER Foo Bar <a@b>",
        "/bin/sh -c echo one > /one",
        "/bin/sh -c #(nop)  ENV A=1 B=x y",
        "/bin/sh -c #(nop)  ARG Q=5",
        "|1 Q=5 /bin/sh -c echo $Q > /q",
        "/bin/sh -c #(nop)  LABEL k=v w z=1",
        "/bin/sh -c #(nop) WORKDIR /w",
        "/bin/sh -c #(nop) WORKDIR /w/rel",
        "/bin/sh -c #(nop)  USER web",
        "/bin/sh -c #(nop)  EXPOSE 80 90/udp",
        "/bin/sh -c #(nop)  VOLUME [/data /x]",
        '/bin/sh -c #(nop)  CMD ["/bin/sh" "-c" "echo hi"]',
        '/bin/sh -c #(nop)  ENTRYPOINT ["/bin/sh"]',
        "/bin/sh -x -c #(nop)  SHELL [/bin/sh -x -c]",
        "/bin/sh -x -c #(nop)  STOPSIGNAL SIGINT",
        '/bin/sh -x -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" \'\\x03\'}',
        "/bin/sh -x -c #(nop)  ONBUILD RUN echo trig",
        "/bin/sh -x -c #(nop) COPY multi:HASH in /dst/ ",
        "/bin/sh -x -c #(nop) ADD --chown=1:2dir:HASH in /dd ",
    ]
    image = use(service, lambda c: c.image("n:v2"))
    assert image.author == "Foo Bar <a@b>"
    assert list(image.config.env) == ["PATH=/bin", "A=1", "B=x y"]
    assert list(image.config.cmd) == ["/bin/sh", "-c", "echo hi"]
    assert list(image.config.entrypoint) == ["/bin/sh"]
    assert image.config.working_dir == "/w/rel"
    assert list(image.config.exposed_ports) == ["80/tcp", "90/udp"]
    assert list(image.config.volumes) == ["/data", "/x"]
    assert dict(image.config.labels) == {"k": "v w", "z": "1"}
    assert image.config.stop_signal == "SIGINT"
    assert image.config.health_check.interval_nanos == 5_000_000_000
    assert len(image.diff_ids) == 1 + 6


def test_a_second_build_uses_the_cache_and_makes_the_same_image(service: ImageProcess) -> None:
    first = good(build(service, EVERYTHING, FILES))
    second = good(build(service, EVERYTHING, FILES))
    assert second.image_id == first.image_id
    assert second.steps == []
    assert second.text.count(" ---> Using cache\n") == 19


def test_triggers_run_in_the_child(service: ImageProcess) -> None:
    good(build(service, "FROM base:1\nONBUILD RUN echo trig > /t\nONBUILD ENV T=1", tags=["trig:1"]))
    result = good(build(service, "FROM trig:1\nRUN echo z", no_cache=True))
    assert normal(result.text).splitlines()[:8] == [
        "Step 1/2 : FROM trig:1",
        "# Executing 2 build triggers",
        " ---> Running in ID",
        "Removing intermediate container ID",
        " ---> Running in ID",
        "Removing intermediate container ID",
        " ---> ID",
        "Step 2/2 : RUN echo z",
    ]
    image = use(service, lambda c: c.image(result.image_id))
    assert list(image.config.on_build) == []
    assert "T=1" in image.config.env


@pytest.mark.parametrize(
    ("dockerfile", "message", "exit_code"),
    [
        ("FROM base:1\nRUN false", "The command '/bin/sh -c false' returned a non-zero code: 1", "1"),
        ("FROM base:1\nRUN exit 42", "The command '/bin/sh -c exit 42' returned a non-zero code: 42", "42"),
        ('FROM base:1\nRUN ["false"]', "The command 'false' returned a non-zero code: 1", "1"),
        ("FROM scratch", "No image was generated. Is your Dockerfile empty?", "1"),
        ("ARG A=1", "unexpected EOF", "1"),
        ("FROM $NOPE", "base name ($NOPE) should not be blank", "1"),
        (
            "FROM base:1\nCOPY nothere /",
            "COPY failed: file not found in build context or excluded by .dockerignore: "
            "stat nothere: file does not exist",
            "1",
        ),
        ("FROM base:1\nCOPY no*here /x", "COPY failed: no source files were specified", "1"),
        ("FROM base:1\nCOPY ../x /x", "COPY failed: forbidden path outside the build context: ../x ()", "1"),
        (
            "FROM base:1\nCOPY a.txt/x /x",
            "COPY failed: forbidden path outside the build context: a.txt/x ()",
            "1",
        ),
        (
            "FROM base:1\nCOPY a.txt b.txt /x",
            "When using COPY with more than one source file, "
            "the destination must be a directory and end with a /",
            "1",
        ),
        (
            "FROM base:1\nCOPY --chmod=777 a.txt /x",
            "the --chmod option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ "
            "to learn how to build images with BuildKit enabled",
            "1",
        ),
        (
            "FROM base:1\nRUN --mount=type=cache,target=/x echo",
            "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ "
            "to learn how to build images with BuildKit enabled",
            "1",
        ),
        ("FROM base:1\nCOPY --from=5 /a /x", "invalid from flag value 5: index out of bounds", "1"),
        ("FROM base:1\nCOPY --from=0 /a /x", "invalid from flag value 0: refers to current build stage", "1"),
        (
            "FROM base:1 AS a\nFROM base:1\nCOPY --from=a /no /x",
            "COPY failed: stat no: file does not exist",
            "1",
        ),
        ("FROM base:1 AS a\nFROM base:1 AS a", "a stage name already used", "1"),
        ("FROM base:1\nENV a=${x", "failed to process \"${x\": missing ':' in substitution", "1"),
        ("FROM base:1\nEXPOSE foo", "Invalid containerPort: foo", "1"),
        ("FROM base:1\nEXPOSE 80/foo", "Invalid proto: foo", "1"),
        ("FROM base:1\nSTOPSIGNAL FOO", "Invalid signal: FOO", "1"),
        ("FROM base:1\nWORKDIR $X", "cannot normalize nothing", "1"),
        ("FROM base:1\nWORKDIR /etc/passwd", "Cannot mkdir: /etc/passwd is not a directory", "1"),
        (
            "FROM base:1\nCOPY --chown=nobody a.txt /x",
            "unable to convert uid/gid chown string to host mapping: "
            "can't find uid for user nobody: no such user: nobody",
            "1",
        ),
        ("FROM base:1\nCOPY http://x/y /", "COPY failed: source can't be a URL for COPY", "1"),
        (
            "FROM base:1\nADD http://127.0.0.1:1/y /",
            'ADD failed: Get "http://127.0.0.1:1/y": dial tcp 127.0.0.1:1: connect: connection refused',
            "1",
        ),
        (
            "FROM base:1\nCOPY a.txt /bin/busybox/x",
            "failed to copy files: lstat /bin/busybox/x: not a directory",
            "1",
        ),
        (
            "FROM base:1\nCOPY d /bin/busybox",
            "failed to copy files: failed to copy directory: mkdir /bin/busybox: not a directory",
            "1",
        ),
    ],
)
def test_failing_steps(service: ImageProcess, dockerfile: str, message: str, exit_code: str) -> None:
    result = build(service, dockerfile, FILES)
    assert result.error is not None
    assert result.error.message == message
    assert result.error.reason == "BUILD_FAILED"
    assert result.error.metadata["exit_code"] == exit_code
    assert result.image_id == ""
    wait_clean(service)


@pytest.mark.parametrize(
    ("dockerfile", "options", "message"),
    [
        ("FROM base:1\n\nFOO a", {}, "dockerfile parse error line 3: unknown instruction: FOO"),
        ("", {}, "the Dockerfile (Dockerfile) cannot be empty"),
        ("# hi", {}, "failed to parse Dockerfile: file with no instructions"),
        ("RUN x", {}, "no build stage in current context"),
        ("FROM base:1", {"target": "nope"}, "failed to reach build target nope in Dockerfile"),
        ("FROM base:1", {"dockerfile": "x/y"}, "Cannot locate specified Dockerfile: x/y"),
        (None, {}, "Cannot locate specified Dockerfile: Dockerfile"),
    ],
)
def test_refused_before_any_step(
    service: ImageProcess, dockerfile: str | None, options: dict[str, Any], message: str
) -> None:
    result = build(service, dockerfile, **options)
    assert result.error is not None
    assert (result.error.message, result.text) == (message, "")
    assert result.error.reason != "BUILD_FAILED"


def test_arguments_warnings_labels_and_quiet(service: ImageProcess) -> None:
    text = (
        "ARG V=1\nARG B=base:$V\nFROM ${B} AS Foo\nARG V\n"
        "RUN echo v=$V > /v\nFROM foo\nCOPY --from=FOO /v /v2"
    )
    result = good(build(service, text, build_args={"Z": "1"}, labels={"z": "1", "a": "b c"}, no_cache=True))
    lines = normal(result.text).splitlines()
    assert lines[:4] == [
        "Step 1/9 : ARG V=1",
        "Step 2/9 : ARG B=base:$V",
        "Step 3/9 : FROM ${B} AS Foo",
        " ---> ID",
    ]
    assert "Step 8/9 : LABEL a=b c" in lines
    assert lines[-2] == "[Warning] One or more build-args [Z] were not consumed"
    assert use(service, lambda c: c.output(result.image_id, "cat", "/v2")) == "v=1\n"
    quiet = good(build(service, text, quiet=True))
    assert quiet.text == f"{quiet.image_id}\n"
    failing = build(service, "FROM base:1\nRUN exit 3", quiet=True)
    assert failing.text.startswith("Step 1/2 : FROM base:1\n")


def test_build_args_reach_run_and_its_cache_key(service: ImageProcess) -> None:
    text = "FROM base:1\nARG X=d\nRUN echo $X $HTTP_PROXY > /x"
    one = good(build(service, text, build_args={"X": "1"}))
    assert use(service, lambda c: c.output(one.image_id, "cat", "/x")) == "1\n"
    two = good(build(service, text, build_args={"X": "2"}))
    assert two.image_id != one.image_id
    assert len(two.steps) == 1
    proxied = good(build(service, text, build_args={"X": "2", "HTTP_PROXY": "p"}))
    assert proxied.image_id == two.image_id, "an undeclared proxy is in no key"


def test_the_cache_is_keyed_by_content(service: ImageProcess) -> None:
    text = "FROM base:1\nCOPY src /src\nRUN cat /src/f"
    one = good(build(service, text, {"src": None, "src/f": "1"}))
    later = good(build(service, text, context=_shifted({"src": None, "src/f": "1", "Dockerfile": text})))
    assert later.image_id == one.image_id, "times are not content"
    assert good(build(service, text, {"src": None, "src/f": "2"})).image_id != one.image_id
    assert good(build(service, text, {"src": None, "src/g": "1", "src/f": "1"})).image_id != one.image_id


def _shifted(files: dict[str, Any]) -> bytes:
    source, target = io.BytesIO(make_tar(files)), io.BytesIO()
    with tarfile.open(fileobj=source) as reader, tarfile.open(fileobj=target, mode="w") as writer:
        for member in reader:
            member.mtime = 42
            writer.addfile(member, reader.extractfile(member) if member.isreg() else None)
    return target.getvalue()


def test_no_cache_and_changed_base(service: ImageProcess) -> None:
    text = "FROM base:1\nRUN echo stable > /s"
    one = good(build(service, text))
    again = good(build(service, text, no_cache=True))
    assert len(again.steps) == 1
    assert good(build(service, text)).image_id in (one.image_id, again.image_id)


def test_an_image_from_elsewhere_answers_for_no_step(service: ImageProcess, tmp_path: Path) -> None:
    """CVE-2024-24557: what is loaded may look like a step's result, and is never taken for it."""
    text = "FROM base:1\nRUN echo genuine > /g"
    made = good(build(service, text, tags=["victim:1"]))

    async def go(caller: Caller) -> tuple[bytes, str]:
        saved = b"".join(
            [r.chunk async for r in caller.stub.SaveImages(pb.SaveImagesRequest(names=["victim:1"]))]
        )
        await caller.stub.PruneBuildCache(pb.PruneBuildCacheRequest(all=True))
        await caller.stub.DeleteImage(pb.DeleteImageRequest(name="victim:1", force=True))

        async def requests() -> Any:
            yield pb.LoadImagesRequest(chunk=saved)

        lines = [r.line async for r in caller.stub.LoadImages(requests())]
        return saved, "\n".join(lines)

    _, lines = use(service, go)
    assert "victim:1" in lines
    again = good(build(service, text))
    assert len(again.steps) == 1
    assert "Using cache" not in again.text
    assert again.image_id != made.image_id


def test_cache_from_trusts_what_is_named_and_nothing_else(service: ImageProcess) -> None:
    text = "FROM base:1\nRUN echo trusted > /g\nENV A=1\nCOPY a.txt /\nCMD x"
    made = good(build(service, text, FILES, tags=["trusted:1"], no_cache=True))

    async def elsewhere(caller: Caller) -> None:
        """Make it an image that came from elsewhere."""
        saved = [r.chunk async for r in caller.stub.SaveImages(pb.SaveImagesRequest(names=["trusted:1"]))]
        await caller.stub.DeleteImage(pb.DeleteImageRequest(name="trusted:1", force=True))

        async def requests() -> Any:
            yield pb.LoadImagesRequest(chunk=b"".join(saved))

        assert [r.line async for r in caller.stub.LoadImages(requests())]

    use(service, elsewhere)
    taken = good(build(service, text, FILES, cache_from=["nope:1", "trusted:1"]))
    assert taken.text.count("Using cache") == 4
    assert taken.image_id == made.image_id
    other = good(build(service, text.replace("A=1", "A=2"), FILES, cache_from=["trusted:1"]))
    assert other.text.count("Using cache") == 1
    assert use(service, lambda c: c.output(other.image_id, "cat", "/g")) == "trusted\n"
    assert "Using cache" not in good(build(service, text, FILES)).text, "not named, not trusted"
    assert "Using cache" not in good(build(service, text, FILES, cache_from=["nope:1"])).text


def test_builds_at_once_do_not_disturb_each_other(service: ImageProcess) -> None:
    async def go(caller: Caller) -> list[Result]:
        text = "FROM base:1\nCOPY d /d\nRUN echo same > /s\nRUN echo $(cat /s) > /t"
        builds = [caller.build(text, FILES, tags=[f"many:{n % 2}"], no_cache=n % 3 == 0) for n in range(8)]
        results: list[Result] = await asyncio.gather(*builds)
        for result in results:
            good(result)
            assert await caller.output(result.image_id, "cat", "/t") == "same\n"
        return results

    assert len(use(service, go)) == 8
    wait_clean(service)
    _store_is_whole(service)


def test_a_prune_in_the_middle_stops_no_build(service: ImageProcess) -> None:
    async def go(caller: Caller) -> Result:
        async def runner(step: pb.ExecStep) -> pb.ExecStepResult:
            await caller.stub.PruneImages(pb.PruneImagesRequest())
            await caller.stub.CollectGarbage(pb.CollectGarbageRequest())
            return await run_step(step)

        text = (
            "FROM base:1\nRUN echo 1 > /1\nENV a=b\nRUN echo 2 > /2\nCOPY a.txt /\nRUN cat /1 /2 /a.txt > /3"
        )
        result = await caller.build(text, FILES, runner=runner, no_cache=True, tags=["pruned:1"])
        good(result)
        assert await caller.output("pruned:1", "cat", "/3") == "1\n2\nhi\n"
        return result

    use(service, go)
    wait_clean(service)
    _store_is_whole(service)


def test_the_digests_in_the_history_are_dockers(service: ImageProcess) -> None:
    """Recorded from dockerd 20.10.24 with the same files."""
    text = "FROM base:1\nCOPY a.txt /x\nCOPY d /d\nCOPY a.txt b.txt /m/\nADD d/e/f /f"
    result = good(build(service, text, FILES))
    history = use(service, lambda c: c.created_by(result.image_id))
    assert [line.split()[4] for line in history[1:5]] == [
        "file:2cc6f75217b6d0ad0246a0f00e7bb3296d332db51dc16a22ce490430905d8d80",
        "dir:870e368adb20196ffa7ffe41c9bbd1707007d3095821ad49eb20e4b778d33340",
        "multi:7d758acac4d9171d4866d6f6cda0545837669628026df26ec6e46ffbffff37ea",
        "file:7496bf9ee2dc1636d374368d5418028dd5db7eba841dfe5d64f028deb8989bdc",
    ]


async def _listing(caller: Caller, image: str, *paths: str) -> list[str]:
    text = await caller.output(image, "stat", "-c", "%n %A %u:%g %Y", *paths)
    return text.splitlines()


def test_copy_goes_where_docker_puts_it(service: ImageProcess) -> None:
    private = tarfile.TarInfo()
    private.type, private.mode, private.mtime = tarfile.DIRTYPE, 0o700, 1_000_000_000
    sub = tarfile.TarInfo()
    sub.type, sub.mode, sub.mtime = tarfile.DIRTYPE, 0o711, 1_000_000_001
    hard = tarfile.TarInfo()
    hard.type, hard.linkname = tarfile.LNKTYPE, "priv/f"
    suid = tarfile.TarInfo()
    suid.mode, suid.size, suid.mtime = 0o4755, 0, 1_000_000_002
    files = {
        "priv": private,
        "priv/f": suid,
        "priv/hard": hard,
        "priv/sub": sub,
        "priv/ln": ("link", "f"),
        "pl": ("link", "priv"),
        "fl": ("link", "priv/f"),
        "data.txt": "hello\n",
        "st*r": "a",
    }
    text = r"""FROM base:1
RUN mkdir -p -m 0750 /e && chown 5:6 /e && mkdir -m 0777 /e/sub && ln -s /e /el && ln -s /nowhere/x /dl
RUN mkdir /r && ln -s /r /rl && mkdir -p /o/f && touch /o/sub
COPY priv /q
COPY priv /el/
COPY pl /pl
COPY fl /fl/
COPY data.txt /dl
COPY data.txt /rl
COPY --chown=web priv /y/z/
COPY --chown=web:staff data.txt /n/m/
COPY priv /o/
COPY st\*r /star
COPY p*v/f /z2
COPY . /all
"""
    result = good(build(service, text, files))
    expected = {
        "/q": ["drwxr-xr-x", "0:0"],
        "/q/f": ["-rwxr-xr-x", "0:0", "1000000002"],
        "/q/sub": ["drwx--x--x", "0:0", "1000000001"],
        "/e": ["drwxr-x---", "5:6"],
        "/e/sub": ["drwx--x--x", "0:0", "1000000001"],
        "/pl/f": ["-rwxr-xr-x", "0:0", "1000000002"],
        "/fl/fl": ["-rwxr-xr-x", "0:0", "1000000002"],
        "/nowhere/x": ["-rw-r--r--", "0:0", "1000000000"],
        "/r/data.txt": ["-rw-r--r--", "0:0", "1000000000"],
        "/y": ["drwxr-xr-x", "0:0"],
        "/y/z": ["drwxr-xr-x", "1000:1001"],
        "/y/z/f": ["-rwxr-xr-x", "1000:1001", "1000000002"],
        "/y/z/sub": ["drwx--x--x", "1000:1001", "1000000001"],
        "/n": ["drwxr-xr-x", "1000:50"],
        "/n/m": ["drwxr-xr-x", "1000:50"],
        "/n/m/data.txt": ["-rw-r--r--", "1000:50", "1000000000"],
        "/o/f": ["-rwxr-xr-x", "0:0", "1000000002"],
        "/o/sub": ["drwx--x--x", "0:0", "1000000001"],
        "/star": ["-rw-r--r--", "0:0", "1000000000"],
        "/z2": ["-rwxr-xr-x", "0:0", "1000000002"],
    }
    listing = use(service, lambda c: _listing(c, result.image_id, *expected))
    found = {line.split()[0]: line.split()[1:] for line in listing}
    assert {name: found[name][: len(value)] for name, value in expected.items()} == expected
    inodes = use(service, lambda c: c.output(result.image_id, "stat", "-c", "%h", "/q/f", "/q/hard"))
    assert inodes.split() == ["2", "2"]
    assert use(service, lambda c: c.output(result.image_id, "readlink", "/q/ln")) == "f\n"
    names = use(service, lambda c: c.output(result.image_id, "find", "/all")).split()
    assert "/all/Dockerfile" in names
    assert "/all/priv/sub" in names


def test_add_unpacks_local_archives(service: ImageProcess) -> None:
    inner = make_tar(
        {
            "priv": None,
            "priv/f": "x",
            "up/../../evil": "e",
            "etc": None,
            "abs": ("link", "/etc"),
            "abs/in": "z",
            "out": ("link", "../../.."),
            "out/of": "z",
        }
    )
    leaving = make_tar({"abs": ("link", "/etc"), "abs/in": "z"})
    broken = gzip.compress(make_tar({"f": os.urandom(200_000)}))[:100_000]
    files = {
        "t.tar": inner,
        "leaving.tar": leaving,
        "unpadded.tar": make_tar({"whole": "z" * 700})[: 512 + 700],
        "t.tgz": gzip.compress(inner),
        "plain.gz": gzip.compress(b"no tar"),
        "bad.tgz": broken,
    }
    text = "FROM base:1\nADD t.tar /a\nADD t.tgz /b/\nADD plain.gz /d/\nCOPY t.tar /e/\nADD unpadded.tar /f"
    result = good(build(service, text, files))
    names = set(
        use(
            service, lambda c: c.output(result.image_id, "find", "/a", "/b", "/d", "/e", "/f", "/etc")
        ).split()
    )
    assert {"/a/priv/f", "/b/priv/f", "/d/plain.gz", "/e/t.tar", "/a/evil"} <= names
    assert {"/a/etc/in", "/a/of"} <= names, "links of an archive end where it is unpacked, as in Docker"
    assert "/etc/in" not in names
    assert "/f/whole" in names, "only what fills the last block is missing"
    left = build(service, "FROM base:1\nADD leaving.tar /x/", files)
    assert left.error is not None
    assert left.error.message.endswith("(exit status 1): open /abs/in: no such file or directory")
    assert not Path("/etc/in").exists()
    assert not Path("/evil").exists()
    failed = build(service, "FROM base:1\nADD t.tar /etc/passwd", files)
    assert failed.error is not None
    assert failed.error.message.endswith("not a directory")
    torn = build(service, "FROM base:1\nADD bad.tgz /x", files)
    assert torn.error is not None
    assert torn.error.message.startswith("failed to copy files: Error processing tar file")
    wait_clean(service)


def test_add_of_a_url(service: ImageProcess, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("hello\n")
    os.utime(tmp_path / "data.txt", (1_600_000_000, 1_600_000_000))
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = good(build(service, f"FROM base:1\nADD {url}/data.txt /u/\nADD {url}/data.txt?x=y /w"))
        missing = build(service, f"FROM base:1\nADD {url}/nope /u/")
        unnamed = build(service, f"FROM base:1\nADD {url}/ /u/")
        server.shutdown()
    listing = use(service, lambda c: _listing(c, result.image_id, "/u/data.txt", "/w"))
    assert listing == ["/u/data.txt -rw------- 0:0 1600000000", "/w -rw------- 0:0 1600000000"]
    assert missing.error is not None
    assert missing.error.message == f"ADD failed: failed to GET {url}/nope with status 404 File not found"
    assert unnamed.error is not None
    assert unnamed.error.message == f"ADD failed: cannot determine filename for source {url}/"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_stages_scratch_and_images_as_sources(service: ImageProcess) -> None:
    text = """FROM base:1 AS a
RUN echo hi > /f && rm /etc/group && mkdir /gone && touch /gone/x
RUN rm -r /gone && mkdir /gone && touch /gone/y
FROM scratch
COPY --from=a /f /f
COPY --from=base:1 /etc/passwd /p
COPY --from=0 f g/
COPY --from=a /etc /etc
COPY --from=a /gone /gone
COPY --from=a /bin /bin
"""
    result = good(build(service, text))
    names = use(
        service, lambda c: c.output(result.image_id, "find", "/f", "/p", "/g", "/etc", "/gone")
    ).split()
    assert names == ["/f", "/p", "/g", "/g/f", "/etc", "/etc/passwd", "/gone", "/gone/y"]
    assert normal(result.text).splitlines()[10:12] == ["Step 4/10 : FROM scratch", " ---> "]
    assert good(build(service, text)).image_id == result.image_id
    only = good(build(service, text, target="a"))
    assert use(service, lambda c: c.output(only.image_id, "cat", "/f")) == "hi\n"


def test_ignored_files_stay_out(service: ImageProcess) -> None:
    files = {
        ".dockerignore": "x\ny*\n!y1\n.dockerignore\nDockerfile\n",
        "x": "1",
        "y1": "1",
        "y2": "1",
        "z": "1",
    }
    result = good(build(service, "FROM base:1\nCOPY . /all", files))
    names = use(service, lambda c: c.output(result.image_id, "ls", "-A", "/all")).split()
    assert names == ["y1", "z"]


def test_links_in_a_context_stay_inside(service: ImageProcess) -> None:
    files = {
        "out": ("link", "/etc/hostname"),
        "up": ("link", "../../../../etc/hostname"),
        "loop": ("link", "loop"),
    }
    for name in files:
        result = build(service, f"FROM base:1\nCOPY {name} /x", files)
        assert result.error is not None
        assert result.error.message.startswith("COPY failed: "), name
    for name in ("../evil", "a/../../evil"):
        result = build(service, None, context=make_tar({"Dockerfile": "FROM base:1", name: "x"}))
        assert result.error is not None
        assert "invalid path in the build context" in result.error.message


def test_a_fifo_in_place_of_passwd_hangs_nothing(service: ImageProcess) -> None:
    text = "FROM base:1\nRUN rm /etc/passwd && mkfifo /etc/passwd\nCOPY --chown=web a.txt /x"
    result = build(service, text, FILES)
    assert result.error is not None
    assert "no such user: web" in result.error.message
    pipe = tarfile.TarInfo()
    pipe.type, pipe.mode = tarfile.FIFOTYPE, 0o600
    copied = good(build(service, "FROM base:1\nCOPY ff /ff", {"ff": pipe}))
    listing = use(service, lambda c: _listing(c, copied.image_id, "/ff"))
    assert listing[0].startswith("/ff prw")


def test_whiteouts_cannot_be_smuggled_in(service: ImageProcess) -> None:
    device = tarfile.TarInfo()
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 0, 0
    for name, member in (("d/passwd", device), ("d/.wh.passwd", "")):
        result = build(service, "FROM base:1\nCOPY d /etc", {"d": None, name: member})
        assert result.error is not None
        assert result.error.message.startswith("failed to copy files: "), name
    wait_clean(service)


def test_squash_makes_one_layer(service: ImageProcess) -> None:
    text = """FROM base:1
RUN echo 1 > /a && mkdir /d && echo 1 > /d/x && rm /etc/group
RUN rm -r /d && mkdir /d && echo 2 > /d/y && rm /a && ln /d/y /d/z
COPY a.txt /d/
"""
    plain = good(build(service, text, FILES))
    result = good(build(service, text, FILES, squash=True, tags=["squashed:1"]))
    image, base = use(service, lambda c: c.image("squashed:1")), use(service, lambda c: c.image("base:1"))
    assert len(image.diff_ids) == len(base.diff_ids) + 1
    show = ("find", "/", "-path", "/proc", "-prune", "-o", "-print")
    # (An overlay of other layers lists a directory in another order.)
    one = use(service, lambda c: c.output(plain.image_id, *show)).split()
    assert sorted(use(service, lambda c: c.output(result.image_id, *show)).split()) == sorted(one)
    wait_clean(service)


def test_a_caller_that_goes_away_leaves_nothing(service: ImageProcess) -> None:
    async def go(caller: Caller) -> Result:
        calls: list[Any] = []

        async def runner(step: pb.ExecStep) -> pb.ExecStepResult:
            assert (service.data / "builds" / step.container_id).exists()
            calls[0].cancel()
            await asyncio.sleep(3600)
            raise AssertionError

        task = asyncio.ensure_future(
            caller.build("FROM base:1\nRUN echo", runner=runner, on_call=calls.append, no_cache=True)
        )
        while not (calls and calls[0].done()):
            await asyncio.sleep(0.01)
        task.cancel()
        return Result()

    use(service, go)
    wait_clean(service)


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_step_the_caller_keeps_leaves_its_snapshot(service: ImageProcess, exit_code: int) -> None:
    async def runner(step: pb.ExecStep) -> pb.ExecStepResult:
        answer = await run_step(step)
        answer.kept = True
        return answer

    result = build(service, f"FROM base:1\nRUN touch /x; exit {exit_code}", no_cache=True, runner=runner)
    assert (result.error is not None) == bool(exit_code)
    key = result.steps[0].container_id
    snapshots = use(service, lambda c: c.stub.ListSnapshots(pb.ListSnapshotsRequest())).snapshots
    assert [s.key for s in snapshots] == [key]
    assert Path(snapshots[0].mount.upper_directory, "x").exists()
    assert not os.listdir(service.data / "builds"), "a mark would let the next start delete it"
    use(service, lambda c: c.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key=key)))
    wait_clean(service)


def test_force_rm_tells_of_the_failed_steps_container(service: ImageProcess) -> None:
    result = build(service, "FROM base:1\nRUN exit 1", force_rm=True)
    assert result.lines[-1] == f"Removing intermediate container {result.steps[0].container_id[:12]}"
    wait_clean(service)


def test_a_step_that_cannot_run(service: ImageProcess) -> None:
    async def runner(step: pb.ExecStep) -> pb.ExecStepResult:
        return pb.ExecStepResult(container_id=step.container_id, error="unable to find user nosuch")

    result = build(service, "FROM base:1\nRUN true", runner=runner, no_cache=True)
    assert result.error is not None
    assert result.error.message == "unable to find user nosuch"


def test_what_a_step_is_asked_to_run_with(service: ImageProcess) -> None:
    text = 'FROM base:1\nARG X=1\nENV Y=2\nWORKDIR /w\nUSER web:staff\nENTRYPOINT ["e"]\nRUN ["env"]\nRUN []'
    result = good(
        build(service, text, no_cache=True, network_mode="none", extra_hosts=["a:1.2.3.4"], shm_size_bytes=7,
              runner=_nothing, resources=pb.Resources(memory_bytes=5))
    )  # fmt: skip
    step, empty = result.steps
    assert list(step.args) == ["env"]
    assert (step.config.user, step.config.working_dir) == ("web:staff", "/w")
    assert list(step.config.env) == ["PATH=/bin", "Y=2", "X=1"]
    assert (step.network_mode, list(step.extra_hosts), step.shm_size_bytes) == ("none", ["a:1.2.3.4"], 7)
    assert step.resources.memory_bytes == 5
    assert re.fullmatch(r"[0-9a-f]{64}", step.container_id)
    assert list(empty.args) == ["e"]


async def _nothing(step: pb.ExecStep) -> pb.ExecStepResult:
    return pb.ExecStepResult(container_id=step.container_id)


def test_prune_forgets_what_no_name_needs(service: ImageProcess) -> None:
    named, loose = "FROM base:1\nRUN echo named", "FROM base:1\nRUN echo loose"
    good(build(service, named, tags=["named:1"]))
    good(build(service, loose))
    answer = use(service, lambda c: c.stub.PruneBuildCache(pb.PruneBuildCacheRequest()))
    assert answer.ids
    assert good(build(service, named)).steps == []
    assert len(good(build(service, loose)).steps) == 1
    answer = use(service, lambda c: c.stub.PruneBuildCache(pb.PruneBuildCacheRequest(all=True)))
    assert answer.ids
    usage = use(service, lambda c: c.stub.GetImageDiskUsage(pb.GetImageDiskUsageRequest()))
    assert (usage.build_cache_entries, usage.build_cache_size_bytes) == (0, 0)
    assert len(good(build(service, named)).steps) == 1


def test_a_large_context_is_kept_without_a_name(service: ImageProcess) -> None:
    big = os.urandom(9 << 20)
    result = good(build(service, "FROM base:1\nCOPY big /big\nRUN sha256sum /big > /sum", {"big": big}))
    text = use(service, lambda c: c.output(result.image_id, "cat", "/sum"))
    assert text.split()[0] == hashlib.sha256(big).hexdigest()
    wait_clean(service)


def test_killed_in_a_step_the_next_start_leaves_nothing(service: ImageProcess) -> None:
    async def go() -> None:
        async with Caller(service) as caller:

            async def runner(step: pb.ExecStep) -> pb.ExecStepResult:
                answer = await run_step(step)
                service.stop(signal.SIGKILL)
                return answer

            result = await caller.build("FROM base:1\nRUN echo > /killed", runner=runner, no_cache=True)
            assert result.error is not None
        assert leftovers(service)
        await service.start()
        async with Caller(service) as caller:
            answer = await caller.stub.ListSnapshots(pb.ListSnapshotsRequest())
            assert not answer.snapshots
            again = await caller.build("FROM base:1\nRUN echo > /killed", no_cache=True)
            assert again.error is None

    asyncio.run(go())
    wait_clean(service)


def _store_is_whole(service: ImageProcess) -> None:
    """Rows equal files: every layer has its directory, every directory its row."""
    with contextlib.closing(sqlite3.connect(service.data / "image.db")) as db:
        rows = {str(number): diff_id for number, diff_id in db.execute("SELECT number, diff_id FROM layers")}
        raws = [raw for (raw,) in db.execute("SELECT raw FROM images")]
        keys = db.execute("SELECT image_id FROM build_cache WHERE image_id NOT IN (SELECT id FROM images)")
        assert keys.fetchall() == []
    assert set(os.listdir(service.data / "layers")) == set(rows)
    for raw in raws:
        assert set(json.loads(raw)["rootfs"]["diff_ids"]) <= set(rows.values())


@pytest.mark.parametrize("count", [1, 3, 4, 6, 7, 9, 11, 12, 14, 16])
def test_killed_after_any_message_the_next_start_is_clean(service: ImageProcess, count: int) -> None:
    text = (
        f"FROM base:1\nENV K={count}\nRUN echo {count} > /k\nCOPY a.txt /c{count}\nWORKDIR /w{count}\nCMD x"
    )
    seen = 0

    def kill() -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            service.stop(signal.SIGKILL)

    async def go() -> None:
        async with Caller(service) as caller:
            result = await caller.build(text, FILES, on_response=kill, tags=[f"killed:{count}"])
            assert result.error is not None
        await service.start()
        async with Caller(service) as caller:
            again = good(await caller.build(text, FILES, tags=[f"killed:{count}"]))
            assert await caller.output(again.image_id, "cat", "/k") == f"{count}\n"

    asyncio.run(go())
    wait_clean(service)
    _store_is_whole(service)


def test_rm_false_removes_and_says_nothing(service: ImageProcess) -> None:
    result = good(
        build(service, "FROM base:1\nRUN true\nENV a=b", no_cache=True, keep_containers_on_failure=True)
    )
    assert "Removing" not in result.text
    wait_clean(service)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    process = ImageProcess(tmp_path)
    (tmp_path / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", tmp_path / "data"], check=True)
    try:

        async def go() -> None:
            await process.start()
            async with Caller(process) as caller:
                await caller.import_base()
                big = {"big": os.urandom(40 << 20)}
                first = await caller.build("FROM base:1\nCOPY big /b", big)
                assert first.error is not None
                assert "no space left on device" in first.error.message
                half = {"half": os.urandom(12 << 20)}
                second = await caller.build("FROM base:1\nCOPY half /1\nCOPY half /2\nCOPY half /3", half)
                assert second.error is not None
                assert "no space left on device" in second.error.message
                wait_clean(process)
                good(await caller.build("FROM base:1\nENV a=b"))

        asyncio.run(go())
        wait_clean(process)
    finally:
        process.stop()
        subprocess.run(["umount", tmp_path / "data"], check=True)


def test_oddities_are_refused_in_one_line(service: ImageProcess) -> None:
    deep = "/".join(["d"] * 300)
    odd = {"Dockerfile": "FROM base:1\nCOPY x /x", "x": None, "x/.wh.\udcff": ""}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"context": make_tar({"Dockerfile": "FROM base:1", deep: ""})}, "nested more than 256"),
        ({"context": b"this is no tar" * 100}, "Error processing tar file(build context)"),
        ({"context": make_tar({"Dockerfile": "FROM base:1\nENV a=\0b"})}, "NUL byte in line 2"),
        ({"context": make_tar(odd)}, "failed to copy files: "),
        (
            {"context": make_tar({"Dockerfile": ("link", "/etc/hostname")})},
            "Cannot locate specified Dockerfile",
        ),
        ({"context": make_tar({"Dockerfile": "FROM base:1"}), "labels": {"a": "\0"}}, "it has a NUL byte"),
        ({"context": make_tar({"Dockerfile": "FROM base:1"}), "tags": ["BAD:x"]}, "must be lowercase"),
        (
            {"context": make_tar({"Dockerfile": "FROM base:1", ".dockerignore": "["})},
            "syntax error in pattern",
        ),
    ]
    for options, message in cases:
        result = build(service, None, **options)
        assert result.error is not None, message
        assert message in result.error.message
        assert "\n" not in result.error.message
    layers = "\n".join(f"COPY a.txt /l{n}" for n in range(130))
    result = build(service, f"FROM base:1\n{layers}", FILES)
    assert result.error is not None
    assert "max depth exceeded" in result.error.message
    wait_clean(service)


def test_a_stop_ends_a_build_and_leaves_nothing(service: ImageProcess) -> None:
    async def go() -> None:
        async with Caller(service) as caller:

            async def runner(step: pb.ExecStep) -> pb.ExecStepResult:
                await asyncio.to_thread(service.stop)
                return pb.ExecStepResult(container_id=step.container_id)

            result = await caller.build("FROM base:1\nRUN echo stop", runner=runner, no_cache=True)
            assert result.error is not None
        assert leftovers(service) == []
        await service.start()

    asyncio.run(go())
