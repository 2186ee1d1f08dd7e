"""hello-world, help, version, the socket's permissions, IP forwarding."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from support.place import OwnPlace
from support.stack import BIN, Stack

COMMANDS = [
    "attach",
    "build",
    "commit",
    "cp",
    "create",
    "diff",
    "events",
    "exec",
    "export",
    "history",
    "images",
    "import",
    "info",
    "inspect",
    "kill",
    "load",
    "login",
    "logout",
    "logs",
    "pause",
    "port",
    "ps",
    "pull",
    "push",
    "rename",
    "restart",
    "rm",
    "rmi",
    "run",
    "save",
    "search",
    "start",
    "stats",
    "stop",
    "tag",
    "top",
    "unpause",
    "update",
    "version",
    "wait",
    "network",
    "volume",
    "container",
    "image",
    "system",
]


def test_hello_world_pulls_once(stack: Stack) -> None:
    stack.trine("rmi", "-f", "hello-world")
    first = stack.trine("run", "hello-world")
    assert first.returncode == 0, first.stderr
    assert "Hello from Trine!" in first.stdout
    lines = first.stderr.splitlines()
    assert lines[0] == "Unable to find image 'hello-world:latest' locally"
    assert lines[1] == "latest: Pulling from library/hello-world"
    assert any(re.fullmatch(r"[0-9a-f]{12}: Pull complete", line) for line in lines)
    assert re.fullmatch(r"Digest: sha256:[0-9a-f]{64}", lines[-2])
    assert lines[-1] == "Status: Downloaded newer image for hello-world:latest"
    second = stack.trine("run", "hello-world")
    assert second.stderr == "" and second.stdout == first.stdout


def test_pull_on_a_terminal_shows_bars(stack: Stack) -> None:
    stack.trine("rmi", "-f", "httpd")
    with stack.terminal("pull", "httpd", columns=150) as terminal:
        assert terminal.wait(60) == 0
        assert re.search(r"[0-9a-f]{12}: (Downloading|Extracting) +\[=*>? *\]", terminal.text), terminal.text
        assert "Pull complete" in terminal.text and "\x1b[" in terminal.text
        assert "Status: Downloaded newer image for httpd:latest" in terminal.text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(stack: Stack, command: str) -> None:
    done = stack.trine(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage:  trine {command}" in done.stdout


def test_help_lists_the_commands(stack: Stack) -> None:
    text = stack.must("--help")
    for command in ("run", "exec", "ps", "build", "pull", "network", "volume", "version"):
        assert re.search(rf"^  {command}\b", text, re.MULTILINE), command


def test_version_has_both_blocks(stack: Stack) -> None:
    text = stack.must("version")
    assert text.startswith("Client:") and "\nServer:" in text
    assert re.match(r"Trine version \d", stack.must("--version"))
    assert stack.must("-v") == stack.must("--version")


def test_info_counts(stack: Stack) -> None:
    stack.sleeper("counted")
    text = stack.must("info")
    assert re.search(r"^ Containers: 1$", text, re.MULTILINE)
    assert re.search(r"^  Running: 1$", text, re.MULTILINE)


def test_ip_forwarding_is_turned_on(stack: Stack) -> None:
    assert stack.sh("cat /proc/sys/net/ipv4/ip_forward").stdout.strip() == "1"


def test_a_group_member_needs_no_root_and_a_stranger_is_told() -> None:
    with Stack(images=("busybox",), flags=("--group", "games"), preload=False) as stack:
        os.chmod(stack.root, 0o755)
        assert oct(stack.socket.stat().st_mode & 0o777) == "0o660"

        def as_nobody(group: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                stack.place.command(
                    "setpriv",
                    "--reuid=nobody",
                    f"--regid={group}",
                    "--clear-groups",
                    BIN / "trine",
                    "ps",
                    "-q",
                ),
                env={**stack.environment, "HOME": "/nonexistent"},
                capture_output=True,
                text=True,
            )

        if subprocess.run(
            ["setpriv", "--reuid=nobody", "--clear-groups", "test", "-x", BIN / "trine"]
        ).returncode:
            pytest.skip("the folder of this clone is closed to other users")
        member = as_nobody("games")
        assert member.returncode == 0, member.stderr
        stranger = as_nobody("nogroup")
        assert stranger.returncode == 1
        assert "permission denied while trying to connect to the" in stranger.stderr.lower()
        assert len(stranger.stderr.strip().splitlines()) == 1


def test_no_engine_is_one_clear_line() -> None:
    done = subprocess.run([BIN / "trine", "-H", "unix:///no/such.sock", "ps"], capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and "Cannot connect to the Trine daemon" in done.stderr


def test_forwarding_that_cannot_be_turned_on_is_a_warning() -> None:
    """/proc/sys/net read-only: the engine warns and goes on."""
    place = OwnPlace()
    try:
        subprocess.run(place.command("sysctl", "-qw", "net.ipv4.ip_forward=0"), check=True)
        subprocess.run(place.command("mount", "--bind", "/proc/sys", "/proc/sys"), check=True)
        subprocess.run(place.command("mount", "-o", "remount,ro,bind", "/proc/sys"), check=True)
        with Stack(place=place, images=("busybox",), preload=False) as stack:
            assert stack.trine("ps").returncode == 0
            assert re.search(r"(?i)ip.?forward", stack.log()), stack.log()
    finally:
        place.close()
