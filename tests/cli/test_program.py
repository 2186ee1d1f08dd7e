"""The program as people run it, against the scripted engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TRINE = [str(Path(sys.executable).parent / "trine")]


def trine(*words: str, host: str = "", home: str = "/nonexistent", **more: str) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRINE_")}
    done = subprocess.run(
        [*TRINE, *words],
        env={**kept, "HOME": home, "TRINE_HOST": host, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout, done.stderr


def test_ps(engine: str) -> None:
    status, out, err = trine("ps", "-a", host=engine)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert lines[1].startswith('000000000000   busybox   "sleep 9"   ')
    assert "0.0.0.0:8080->80/tcp" in lines[1]


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("ps", "-q"), "000000000000\n000000000000\n"),
        (("ps", "--format", '{{.Names}} {{.Label "k"}}'), "name-0 vvvvvvvvvv\nname-1 vvvvvvvvvv\n"),
        (("ps", "-n", "1", "--format", "{{.ID}}", "--no-trunc"), "0" * 64 + "\n"),
        (("version", "--format", "{{.Server.Version}}"), "9.9\n"),
    ],
)
def test_output(engine: str, words: tuple[str, ...], out: str) -> None:
    assert trine(*words, host=engine) == (0, out, "")


@pytest.mark.parametrize(
    ("words", "status", "err"),
    [
        (("nosuch",), 1, "trine: unknown command: trine nosuch\n\nRun 'trine --help' for more information\n"),
        (
            ("image", "x"),
            1,
            "trine: unknown command: trine image x\n\nUsage:  trine image\n\nRun 'trine image --help' "
            "for more information\n",
        ),
        (
            ("-x",),
            125,
            "unknown shorthand flag: 'x' in -x\n\nUsage:  trine [OPTIONS] COMMAND [ARG...]\n\nRun 'trine "
            "--help' for more information\n",
        ),
        (("help", "nope"), 1, "unknown help topic: nope\n"),
        (
            ("-H", "nonsense://x", "ps"),
            1,
            "Failed to initialize: unable to resolve trine endpoint: invalid bind "
            "address format: nonsense://x\n",
        ),
        (
            ("-H", "tcp://127.0.0.1:1", "ps"),
            1,
            "Cannot connect to the Trine daemon at tcp://127.0.0.1:1. Is the trine daemon running?\n",
        ),
        (
            ("-H", "unix:///no/such.sock", "ps"),
            1,
            "Cannot connect to the Trine daemon at unix:///no/such.sock. Is the trine daemon running?\n",
        ),
        (
            ("run", "--rm", "-p", "x", "busybox"),
            125,
            "trine: invalid containerPort: x\n\nRun 'trine run --help' for more information\n",
        ),
        (
            ("run", "Foo"),
            125,
            "trine: invalid reference format: repository name (library/Foo) must be lowercase\n\n"
            "Run 'trine run --help' for more information\n",
        ),
        (("create", "Foo"), 1, "invalid reference format: repository name (library/Foo) must be lowercase\n"),
        (
            ("run", "-d", "-a", "stdout", "x"),
            1,
            "conflicting options: cannot specify both --attach and --detach\n",
        ),
        (("run", "-it", "x"), 1, "the input device is not a TTY\n"),
        (
            ("run", "--annotation", "a=b", "x"),
            125,
            "trine: --annotation is not supported by trine\n\nRun 'trine run --help' for more information\n",
        ),
        (("rename", "a", ""), 1, "Error: Neither old nor new names may be empty\n"),
        (("update", "x"), 1, "you must provide one or more flags when using this command\n"),
        (("cp", "a", "b"), 1, "must specify at least one container source\n"),
        (("cp", "a:b", "c:d"), 1, "copying between containers is not supported\n"),
        (("load", "-i", "/nope"), 1, "open /nope: no such file or directory\n"),
        (("login", "--password-stdin"), 1, "the --password-stdin option requires --username to be set\n"),
        (("login",), 1, "Error: Cannot perform an interactive login from a non TTY device\n"),
        (
            ("tag", "a", "x\ny"),
            1,
            'Error parsing reference: "x\\ny" is not a valid repository/tag: invalid reference format\n',
        ),
    ],
)
def test_refusals(words: tuple[str, ...], status: int, err: str) -> None:
    assert trine(*words, host="unix:///no/such.sock") == (status, "", err)


def test_prune_asks_first() -> None:
    assert trine("container", "prune", host="unix:///no/such.sock") == (
        0,
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ",
        "",
    )


def test_version_without_a_daemon_shows_the_client() -> None:
    status, out, err = trine("version", host="unix:///no/such.sock")
    assert status == 1
    assert out.startswith("Client:\n Version:  ")
    assert "Server:" not in out
    assert err.startswith("Cannot connect to the Trine daemon")


def test_error_of_the_engine(engine: str) -> None:
    assert trine("port", "nobody", host=engine) == (
        1,
        "",
        "Error response from daemon: No such container: nobody\n",
    )


def test_inspect_of_nothing(engine: str) -> None:
    assert trine("container", "inspect", "nobody", host=engine)[1:] == (
        "[]\n",
        "Error response from daemon: No such container: nobody\n",
    )
    assert trine("container", "inspect", "-f", "{{.Id", "x", host=engine) == (
        64,
        "",
        "template parsing error: template: :1: unclosed action\n",
    )


def test_reader_that_goes_away(engine: str) -> None:
    command = f"{TRINE[0]} ps -n 20000 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "TRINE_HOST": engine}, capture_output=True, timeout=30
    )
    assert done.stderr == b""
    assert done.returncode == 141


def test_argument_that_is_no_text(engine: str) -> None:
    done = subprocess.run(
        [*TRINE, "start", b"\xff"], env={**os.environ, "TRINE_HOST": engine}, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"invalid argument: not valid UTF-8\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(engine: str, closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{TRINE[0]} ps -q {closed}"],
        env={**os.environ, "TRINE_HOST": engine},
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout == (b"" if " >" in f" {closed}" else b"000000000000\n" * 2)


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("",), "attach\nbuild\n"),
        (("im",), "image\nimages\nimport\n"),
        (("network", "c"), "connect\ncreate\n"),
        (("ps", "--no"), "--no-trunc\n"),
        (("rm", "name-0", "n"), "name-0\nname-1\n"),
        (("exec", "name-0", ""), ""),
        (("run", "--name", ""), ""),
        (("nosuch", ""), ""),
    ],
)
def test_completion(engine: str, words: tuple[str, ...], out: str) -> None:
    status, found, err = trine("__complete", *words, host=engine)
    assert (status, err) == (0, "")
    assert found == out or (words == ("",) and found.startswith(out))


def test_no_permission(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("root only")
    path = tmp_path / "closed.sock"
    # A stranger may not be able to read this checkout: he comes once all is imported.
    script = (
        "import os, sys\n"
        "from trine.cli import app, client, failure, main, wire\n"
        "from trine.cli.commands import ps\n"
        "from trine.cli.text import listformat, table, times\n"
        "from trine.cli.transport import connect\n"
        "from trine.cli.views import rows\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"sys.argv = ['trine', '-H', 'unix://{path}', 'ps']\nmain.main()"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(folder.stat().st_mode | 0o011)
        done = subprocess.run(
            [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=30
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"Got permission denied while trying to connect to the Trine daemon socket at unix://{path}: "
        f"dial unix {path}: connect: permission denied\n"
    )


COMMON = ["ps", "images", "version", "start", "stop", "rm", "logs", "run", "exec"]
HEAVY = {"argparse", "typing", "re", "json", "socket", "ssl", "enum", "dataclasses", "inspect", "grpc", "google",  # noqa: E501
         "subprocess", "tarfile", "signal", "logging"}  # fmt: skip


@pytest.mark.parametrize("command", COMMON)
def test_common_commands_import_nothing_heavy(command: str, engine: str) -> None:
    words = {"ps": [], "images": [], "version": []}.get(command, ["x"])
    words = ["x", "true"] if command == "exec" else words
    script = (
        "import sys\nbefore = set(sys.modules)\nfrom trine.cli import main\n"
        f"try: main.run({[command, *words]!r})\nexcept BaseException: pass\n"
        "sys.stderr.write(' '.join(sorted(m.split('.')[0] for m in set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], env={"TRINE_HOST": engine, "HOME": "/nonexistent"},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "trine" in done.stderr
    assert not HEAVY & set(done.stderr.split())
