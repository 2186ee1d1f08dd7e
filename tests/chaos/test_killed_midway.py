"""kill -9 of everything at many moments of pull, create, start, commit, build and rm.

Each operation is measured once, then killed at moments spread over that time. TRINE_CHAOS_ROUNDS
sets how many (2 unless told otherwise; half as many for what is over in a moment).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.invariants import check
from support.stack import Stack

ROUNDS = int(os.environ.get("TRINE_CHAOS_ROUNDS", "2"))
ALL = ("image", "network", "runtime", "zygote", "trined")


class Operation:
    """Something that takes a while: how to prepare it, do it, and see afterwards that it is whole or not there."""

    def __init__(
        self,
        prepare: Callable[[Stack], None],
        words: Callable[[Stack], list[str]],
        verify: Callable[[Stack], None],
    ):
        self.prepare, self.words, self.verify = prepare, words, verify


def _context(stack: Stack) -> str:
    folder = stack.root / "context"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(
        "FROM busybox\nCOPY data /data\nRUN echo one >/one\nRUN echo two >/two && sleep 0.1\nCMD cat /one /two\n"
    )
    (folder / "data").write_bytes(os.urandom(2_000_000))
    return str(folder)


def _nothing(stack: Stack) -> None:
    del stack


def _verify_pull(stack: Stack) -> None:
    if stack.must("images", "-q", "httpd"):
        assert (
            stack.must("run", "--rm", "httpd", "cat", "/usr/local/apache2/htdocs/index.html").count(
                "It works!"
            )
            == 1
        )
    stack.must("pull", "-q", "httpd")
    stack.must("run", "--rm", "httpd", "httpd", "-v")


def _verify_container(stack: Stack) -> None:
    if stack.must("ps", "-aq", "--filter", "name=victim"):
        if stack.inspect("victim", "{{.State.Running}}") == "false":
            stack.must("start", "victim")
        assert stack.must("exec", "victim", "echo", "alive") == "alive"
        stack.must("rm", "-f", "victim")
    stack.must("run", "-d", "--name", "victim", "-p", "8080:80", "busybox", "sleep", "1000")


def _verify_commit(stack: Stack) -> None:
    if stack.must("images", "-q", "made"):
        assert stack.must("run", "--rm", "made", "sh", "-c", "wc -c </big").strip() == "5000000"
    stack.must("commit", "victim", "made")
    assert stack.must("run", "--rm", "made", "sh", "-c", "wc -c </big").strip() == "5000000"


def _verify_build(stack: Stack) -> None:
    if stack.must("images", "-q", "built"):
        assert stack.must("run", "--rm", "built") == "one\ntwo"
    stack.must("build", "-q", "-t", "built", _context(stack))
    assert stack.must("run", "--rm", "built") == "one\ntwo"


def _verify_rm(stack: Stack) -> None:
    if stack.must("ps", "-aq", "--filter", "name=victim"):
        stack.must("rm", "-f", "victim")
    stack.must("run", "-d", "--name", "victim", "-p", "8080:80", "busybox", "sleep", "1000")


def _run_victim(stack: Stack) -> None:
    stack.must("run", "-d", "--name", "victim", "-p", "8080:80", "busybox", "sleep", "1000")


def _create_victim(stack: Stack) -> None:
    stack.must("create", "--name", "victim", "-p", "8080:80", "-v", "/data", "busybox", "sleep", "1000")


def _prepare_commit(stack: Stack) -> None:
    stack.must("run", "--name", "victim", "busybox", "sh", "-c", "head -c 5000000 /dev/urandom >/big")


def _verify_network(stack: Stack) -> None:
    """It is there whole or not at all, and can be made, used and removed."""
    names = stack.must("network", "ls", "--format", "{{.Name}}").split()
    if "net" in names:
        for name in stack.must("ps", "-aq", "--filter", "network=net").split():
            stack.must("rm", "-f", name)
        stack.must("network", "rm", "net")
    stack.must("network", "create", "--subnet", "10.66.0.0/24", "net")
    assert " 10.66.0.2/24" in stack.must(
        "run", "--rm", "--network", "net", "busybox", "ip", "-o", "-4", "addr"
    )


def _create_network(stack: Stack) -> None:
    stack.must("network", "create", "--subnet", "10.66.0.0/24", "net")


def _run_beside_network(stack: Stack) -> None:
    _create_network(stack)
    _run_victim(stack)


def _verify_connect(stack: Stack) -> None:
    addresses = stack.must("exec", "victim", "ip", "-o", "-4", "addr")
    listed = stack.inspect(
        "victim", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    ).split()
    assert (" 10.66.0.2/24" in addresses) == ("net" in listed), (addresses, listed)
    if "net" not in listed:
        stack.must("network", "connect", "net", "victim")
    stack.must("network", "disconnect", "net", "victim")
    assert "10.66." not in stack.must("exec", "victim", "ip", "-o", "-4", "addr")
    stack.must("rm", "-f", "victim")
    stack.must("network", "rm", "net")


def _verify_volume(stack: Stack) -> None:
    if stack.must("volume", "ls", "-q"):
        stack.must("volume", "rm", "vol")
    stack.must("volume", "create", "vol")
    assert stack.must("run", "--rm", "-v", "vol:/data", "busybox", "sh", "-c", "ls /data | wc -l") == "0"


def _verify_rename(stack: Stack) -> None:
    names = stack.must("ps", "-a", "--format", "{{.Names}}").split()
    assert names in (["victim"], ["other"])
    free = {"victim": "other", "other": "victim"}[names[0]]
    stack.must("rename", names[0], free)
    stack.must("run", "-d", "--name", names[0], "busybox", "true")
    stack.must("rm", "-f", "victim", "other")


def _verify_tag(stack: Stack) -> None:
    stack.must("run", "--rm", "busybox", "true")
    stack.must("tag", "busybox", "made:late")
    assert stack.must("images", "-q", "made:late") == stack.must("images", "-q", "busybox")
    stack.must("rmi", "made:late")


def _save(stack: Stack) -> None:
    if not (stack.root / "saved.tar").exists():
        stack.must("pull", "-q", "httpd")
        stack.must("save", "-o", str(stack.root / "saved.tar"), "httpd")
        stack.must("rmi", "httpd")


def _verify_load(stack: Stack) -> None:
    if not stack.must("images", "-q", "httpd"):
        stack.must("load", "-q", "-i", str(stack.root / "saved.tar"))
    stack.must("run", "--rm", "httpd", "httpd", "-v")


def _many_leftovers(stack: Stack) -> None:
    for number in range(4):
        stack.must("run", "--name", f"done{number}", "-v", "/data", "busybox", "true")
    stack.must("network", "create", "idle")


def _verify_prune(stack: Stack) -> None:
    stack.must("system", "prune", "-f", "--volumes")
    assert stack.must("ps", "-aq") == "" and stack.must("volume", "ls", "-q") == ""


def _verify_exec(stack: Stack) -> None:
    assert stack.must("exec", "victim", "echo", "alive") == "alive"
    stack.must("rm", "-f", "victim")


OPERATIONS = {
    "pull": Operation(_nothing, lambda s: ["pull", "httpd"], _verify_pull),
    "create": Operation(
        _nothing,
        lambda s: ["create", "--name", "victim", "-p", "8080:80", "-v", "/data", "busybox", "sleep", "1000"],
        _verify_container,
    ),
    "start": Operation(_create_victim, lambda s: ["start", "victim"], _verify_container),
    "run": Operation(
        _nothing,
        lambda s: ["run", "-d", "--name", "victim", "-p", "8080:80", "busybox", "sleep", "1000"],
        _verify_container,
    ),
    "commit": Operation(_prepare_commit, lambda s: ["commit", "victim", "made"], _verify_commit),
    "build": Operation(
        _nothing, lambda s: ["build", "--no-cache", "-t", "built", _context(s)], _verify_build
    ),
    "stop": Operation(_run_victim, lambda s: ["stop", "-t", "0", "victim"], _verify_container),
    "rm": Operation(_run_victim, lambda s: ["rm", "-f", "victim"], _verify_rm),
    "restart": Operation(_run_victim, lambda s: ["restart", "-t", "0", "victim"], _verify_container),
    "exec": Operation(_run_victim, lambda s: ["exec", "victim", "sleep", "0.1"], _verify_exec),
    "rename": Operation(_run_victim, lambda s: ["rename", "victim", "other"], _verify_rename),
    "network-create": Operation(
        _nothing, lambda s: ["network", "create", "--subnet", "10.66.0.0/24", "net"], _verify_network
    ),
    "network-rm": Operation(_create_network, lambda s: ["network", "rm", "net"], _verify_network),
    "network-connect": Operation(
        _run_beside_network, lambda s: ["network", "connect", "net", "victim"], _verify_connect
    ),
    "volume-create": Operation(_nothing, lambda s: ["volume", "create", "vol"], _verify_volume),
    "volume-rm": Operation(lambda s: _verify_volume(s), lambda s: ["volume", "rm", "vol"], _verify_volume),
    "tag": Operation(_nothing, lambda s: ["tag", "busybox", "made:late"], _verify_tag),
    "load": Operation(_save, lambda s: ["load", "-q", "-i", str(s.root / "saved.tar")], _verify_load),
    "prune": Operation(_many_leftovers, lambda s: ["system", "prune", "-f", "--volumes"], _verify_prune),
}


def clean(stack: Stack) -> None:
    stack.remove_all()
    for image in ("httpd", "made", "made:late", "built"):
        stack.trine("rmi", "-f", image)
    stack.trine("image", "prune", "-f")


def blobs_are_whole(stack: Stack) -> None:
    """Every stored blob has the content its name says."""
    import hashlib

    folder = stack.data_root / "image" / "content" / "blobs" / "sha256"
    for path in folder.iterdir() if folder.is_dir() else []:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_half_made(stack: Stack, name: str) -> None:
    operation = OPERATIONS[name]
    clean(stack)
    operation.prepare(stack)
    started = time.monotonic()
    stack.must(*operation.words(stack))
    duration = time.monotonic() - started
    rounds = ROUNDS if duration > 0.4 else (ROUNDS + 1) // 2
    for number in range(rounds):
        clean(stack)
        operation.prepare(stack)
        client = stack.spawn(*operation.words(stack))
        time.sleep(duration * (number + 0.5) / rounds)
        stack.kill(*ALL)
        client.communicate(timeout=30)
        stack.start()
        stack.wait_until_serving()
        check(stack)
        blobs_are_whole(stack)
        operation.verify(stack)
        check(stack)
    clean(stack)


def test_a_client_that_is_killed_leaves_nothing(stack: Stack) -> None:
    """The command line goes away in the middle: what it asked for is whole or undone."""
    context = _context(stack)
    for words in (
        ["pull", "httpd"],
        ["build", "--no-cache", "-t", "built", context],
        ["run", "--rm", "--name", "fg", "busybox", "sleep", "1"],
    ):
        clean(stack)
        client = stack.spawn(*words)
        time.sleep(0.15)
        client.kill()
        client.communicate()
        time.sleep(2)
        check(stack)
    assert Path(context).exists()
