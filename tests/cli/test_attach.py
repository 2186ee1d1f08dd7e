"""Attaching through a shim's socket (docs/shim.md), against a shim of the test's own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trine.cli import shim

PROGRAM = str(Path(__file__).parent / "attach_program.py")


class FakeShim:
    """Accepts one attachment; the test plays the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(20)
        self.requests: list[dict[str, Any]] = []
        self.descriptors: list[int] = []

    def accept(self) -> dict[str, Any]:
        """Take the attachment and confirm it."""
        self.connection, _ = self._listener.accept()
        self.connection.settimeout(20)
        data, ancillary, _, _ = self.connection.recvmsg(65536, socket.CMSG_SPACE(12))
        for _level, _kind, raw in ancillary:
            found = array("i")
            found.frombytes(raw[: len(raw) - len(raw) % 4])
            self.descriptors += found
        request: dict[str, Any] = json.loads(data)
        self.say(event="attached")
        return request

    def say(self, **event: Any) -> None:
        self.connection.send(json.dumps(event).encode())

    def heard(self) -> dict[str, Any]:
        """Return the next request."""
        found: dict[str, Any] = json.loads(self.connection.recv(65536))
        return found

    def end(self, code: int) -> None:
        """The process ended: its output is closed, its status told."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()
        self.say(event="exit", code=code)

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._listener.close()
        if hasattr(self, "connection"):
            self.connection.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeShim]:
    found = FakeShim(tmp_path / "shim.sock")
    yield found
    found.close()


def start(fake: FakeShim, flags: str, **streams: Any) -> subprocess.Popen[bytes]:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([sys.executable, PROGRAM, str(fake.path), flags], **streams)


def test_output_of_both_kinds_and_the_status(fake: FakeShim) -> None:
    process = start(fake, "")
    assert fake.accept() == {"op": "attach", "process": "", "stdin": False, "stdout": True, "stderr": True}
    out, err = fake.descriptors
    os.write(out, b"out\n")
    os.write(err, b"err\n")
    fake.end(42)
    assert process.communicate(timeout=20) == (b"out\n", b"err\n")
    assert process.returncode == 42


def test_much_output_through_a_slow_reader(fake: FakeShim) -> None:
    process = start(fake, "", stderr=subprocess.DEVNULL)
    fake.accept()
    out, _ = fake.descriptors
    size = 30 * 1024 * 1024

    def write() -> None:
        view = memoryview(os.urandom(1024 * 1024))
        for _ in range(size // len(view)):
            left = view
            while left:
                left = left[os.write(out, left) :]
        fake.end(0)

    thread = threading.Thread(target=write)
    thread.start()
    output, _ = process.communicate(timeout=60)
    thread.join()
    assert len(output) == size
    assert process.returncode == 0


def test_input_is_passed_and_its_end_too(fake: FakeShim) -> None:
    process = start(fake, "i")
    assert fake.accept()["stdin"] is True
    source, out, _ = fake.descriptors
    assert process.stdin is not None
    sent = b"x" * 3_000_000
    thread = threading.Thread(target=lambda: (process.stdin.write(sent), process.stdin.close()))  # type: ignore[union-attr]
    thread.start()
    got = 0
    while data := os.read(source, 65536):
        got += len(data)
    thread.join()
    assert got == len(sent)
    os.write(out, b"done")
    process.stdin = None
    fake.end(0)
    assert process.communicate(timeout=20)[0] == b"done"


def test_process_that_ends_while_input_is_open(fake: FakeShim) -> None:
    process = start(fake, "i")
    fake.accept()
    fake.end(3)
    assert process.wait(20) == 3


def test_shim_that_dies_is_no_hang(fake: FakeShim) -> None:
    process = start(fake, "")
    fake.accept()
    for descriptor in fake.descriptors:
        os.close(descriptor)
    fake.descriptors.clear()
    fake.connection.close()
    assert process.wait(20) == 0


def test_refusal_is_told(fake: FakeShim) -> None:
    process = start(fake, "")
    connection, _ = fake._listener.accept()
    connection.recvmsg(65536, socket.CMSG_SPACE(12))
    connection.send(
        json.dumps({"event": "error", "reason": "NOT_RUNNING", "message": "not running"}).encode()
    )
    _, err = process.communicate(timeout=20)
    assert b"Error response from daemon: not running" in err
    connection.close()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP]
)
def test_signals_are_passed_on(fake: FakeShim, number: signal.Signals) -> None:
    process = start(fake, "s")
    fake.accept()
    out, _ = fake.descriptors
    assert process.stdout is not None
    assert process.stderr is not None
    os.write(out, b"ready\n")
    assert process.stdout.readline() == b"ready\n"  # its handlers stand
    process.send_signal(number)
    assert process.stderr.readline() == b"signal %d\n" % number
    fake.end(0)
    assert process.wait(20) == 0
    process.stdout.close()
    process.stderr.close()
    if process.stdin:
        process.stdin.close()


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, fake: FakeShim, flags: str) -> None:
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execv(sys.executable, [sys.executable, PROGRAM, str(fake.path), flags])
        self.before = termios.tcgetattr(self.terminal)

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.terminal, (rows, columns))

    def until(self, found: Callable[[bytes], bool]) -> bytes:
        out = b""
        while not found(out):
            if not select.select([self.terminal], [], [], 20)[0]:
                pytest.fail(f"nothing more on the terminal after {out!r}")
            try:
                out += os.read(self.terminal, 65536)
            except OSError:
                break
        return out

    def status(self) -> int:
        self.until(lambda _: False)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def terminal(fake: FakeShim) -> Iterator[Terminal]:
    found = Terminal(fake, "it")
    yield found
    os.close(found.terminal)


def read_all(descriptor: int, size: int) -> bytes:
    out = b""
    while len(out) < size:
        out += os.read(descriptor, 100)
    return out


def test_terminal_is_raw_while_attached_and_put_back(fake: FakeShim, terminal: Terminal) -> None:
    fake.accept()
    source, out = fake.descriptors
    os.write(out, b"prompt\r\n")
    terminal.until(lambda text: b"prompt\r\n" in text)
    raw = termios.tcgetattr(terminal.terminal)[3]
    assert not raw & (termios.ICANON | termios.ECHO | termios.ISIG)
    os.write(terminal.terminal, b"\x03a\x10b")
    assert read_all(source, 4) == b"\x03a\x10b"
    fake.end(5)
    assert terminal.status() == 5
    assert termios.tcgetattr(terminal.terminal)[3] == terminal.before[3]


def test_detach_keys_leave_the_process(fake: FakeShim, terminal: Terminal) -> None:
    fake.accept()
    os.write(fake.descriptors[1], b"x")
    terminal.until(lambda text: b"x" in text)
    os.write(terminal.terminal, b"ab\x10\x11")
    assert read_all(fake.descriptors[0], 2) == b"ab"
    assert terminal.status() == 200
    assert termios.tcgetattr(terminal.terminal)[3] == terminal.before[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_that_ends_us_puts_the_terminal_back(
    fake: FakeShim, terminal: Terminal, number: signal.Signals
) -> None:
    fake.accept()
    os.write(fake.descriptors[1], b"x")
    terminal.until(lambda text: b"x" in text)
    assert not termios.tcgetattr(terminal.terminal)[3] & termios.ICANON
    os.kill(terminal.process, number)
    assert terminal.status() == -number
    assert termios.tcgetattr(terminal.terminal)[3] == terminal.before[3]


def test_size_of_the_terminal_is_followed(fake: FakeShim, terminal: Terminal) -> None:
    fake.accept()
    terminal.resize(11, 22)
    while (request := fake.heard()) != {"op": "resize", "process": "", "rows": 11, "columns": 22}:
        assert request["op"] == "resize"
    terminal.resize(33, 44)
    assert fake.heard() == {"op": "resize", "process": "", "rows": 33, "columns": 44}
    fake.end(0)
    assert terminal.status() == 0


def test_lean_json() -> None:
    flat: dict[str, str | bool | int] = {"a": 'x"\n\u00fc', "b": True, "c": -3}
    assert json.loads(shim.dumps(flat)) == flat
    assert shim.loads('{"event": "exit", "code": 7, "x": [1, null]}') == {
        "event": "exit",
        "code": 7,
        "x": [1, None],
    }
    with pytest.raises(ValueError, match="not JSON"):
        shim.loads("nonsense")
