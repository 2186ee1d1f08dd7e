"""Terminals, attachments (gRPC and the shim's socket), execs and logs of the runtime alone."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import grpc
import pytest

from runtime.rig import Attachment, Rig, eventually, reason
from trine.runtime import packets, shim_client
from trine.v1 import runtime_pb2 as pb


class Local:
    """A client of shim.sock, as the command line is one (docs/shim.md)."""

    def __init__(self, rig: Rig, container: str) -> None:
        path = rig.stub.GetAttachSocket(pb.GetAttachSocketRequest(container_id=container)).path
        self.peer = shim_client.connect(os.path.dirname(path))
        self.peer.settimeout(20)

    def ask(
        self, operation: str, descriptors: list[int] | None = None, **fields: object
    ) -> dict[str, object]:
        packets.send(self.peer, {"op": operation, **fields}, descriptors)
        return self.hear()

    def hear(self) -> dict[str, object]:
        message, _ = packets.receive(self.peer)
        assert message is not None
        return message


def test_terminal_size_is_followed_and_control_c_reaches_the_process(rig: Rig) -> None:
    script = "trap 'echo interrupted' INT; trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"
    container = rig.create(
        "sh", "-c", script, terminal=True, open_stdin=True, terminal_rows=11, terminal_columns=22
    )
    with Attachment(rig, container, stdin=True) as attachment:
        rig.begin(container)
        attachment.until(b"11 22\r\n")
        rig.stub.ResizeTerminal(pb.ResizeTerminalRequest(container_id=container, rows=33, columns=44))
        attachment.until(b"33 44\r\n")
        attachment.send(b"\x03")
        attachment.until(b"interrupted\r\n")
    assert rig.get(container).state == pb.RUNTIME_STATE_RUNNING
    rig.delete(container, force=True)


def test_a_shell_on_a_terminal_has_job_control_and_can_be_left_and_taken_up(rig: Rig) -> None:
    container = rig.create("sh", terminal=True, open_stdin=True)
    with Attachment(rig, container, stdin=True) as attachment:
        rig.begin(container)
        attachment.until(b"# ")
        attachment.send(b"tty; test -c /dev/console && echo con''sole\n")
        attachment.until(b"/dev/pts/0\r\n")
        attachment.until(b"console\r\n")
        attachment.send(b"sleep 1000\n")
        pid = rig.get(container).process_id
        eventually(
            lambda: b"sleep" in Path(f"/proc/{_child(pid)}/cmdline").read_bytes() if _child(pid) else 0
        )
        attachment.send(b"\x1a")
        attachment.until(b"Stopped")
        attachment.send(b"kill -9 %1; wait; echo le''ft\n")
        attachment.until(b"left\r\n")
    with Attachment(rig, container, stdin=True) as attachment:
        attachment.send(b"exit 7\nexit 7\n")  # the shell may object once: "You have stopped jobs."
        assert attachment.finish()[0] == 7
    assert rig.wait(container).exit_code == 7
    rig.delete(container)


def _child(pid: int) -> int:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return int(words[0]) if words else 0


def test_input_without_terminal_ends_once(rig: Rig) -> None:
    container = rig.create("sh", "-c", "wc -c; echo done >&2", open_stdin=True, stdin_once=True)
    with Attachment(rig, container, stdin=True) as attachment:
        rig.begin(container)
        for _ in range(40):
            attachment.send(b"x" * 50_000)
        attachment.close_input()
        assert attachment.finish() == (0, b"2000000\ndone\n")
    rig.delete(container)


def test_input_stays_open_when_a_client_leaves(rig: Rig) -> None:
    container = rig.create("cat", open_stdin=True)
    rig.begin(container)
    for number in range(3):
        with Attachment(rig, container, stdin=True) as attachment:
            attachment.send(b"%d\n" % number)
            attachment.until(b"%d\n" % number)
            if number == 1:
                attachment.close_input()
    assert rig.get(container).state == pb.RUNTIME_STATE_RUNNING
    rig.delete(container, force=True)


def test_attach_by_passed_descriptors(rig: Rig) -> None:
    container = rig.create("sh", "-c", "cat; echo err >&2; exit 5", open_stdin=True, stdin_once=True)
    local = Local(rig, container)
    inputs, outputs, errors = os.pipe(), os.pipe(), os.pipe()
    flags = {"stdin": True, "stdout": True, "stderr": True}
    answer = local.ask("attach", [inputs[0], outputs[1], errors[1]], process="", **flags)
    assert answer["event"] == "attached"
    for descriptor in (inputs[0], outputs[1], errors[1]):
        os.close(descriptor)
    rig.begin(container)
    os.write(inputs[1], b"through\n")
    os.close(inputs[1])
    event = local.hear()
    assert (event["event"], event["code"]) == ("exit", 5)
    assert (os.read(outputs[0], 100), os.read(outputs[0], 100)) == (b"through\n", b"")
    assert (os.read(errors[0], 100), os.read(errors[0], 100)) == (b"err\n", b"")
    os.close(outputs[0])
    os.close(errors[0])
    rig.wait(container)
    rig.delete(container)


def test_a_client_that_does_not_read_slows_down_and_loses_nothing(rig: Rig) -> None:
    container = rig.create("sh", "-c", "seq 1 200000")
    slow, quick = Local(rig, container), Local(rig, container)
    pipes = [os.pipe(), os.pipe()]
    for local, pipe in zip((slow, quick), pipes, strict=True):
        assert local.ask("attach", [pipe[1]], stdout=True)["event"] == "attached"
        os.close(pipe[1])
    rig.begin(container)
    expected = b"".join(b"%d\n" % n for n in range(1, 200001))
    received: dict[int, bytes] = {}

    def read(descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as stream:
            received[descriptor] = stream.read()

    first = threading.Thread(target=read, args=(pipes[1][0],))
    first.start()
    assert rig.get(container).state == pb.RUNTIME_STATE_RUNNING  # the slow one holds it back
    read(pipes[0][0])
    first.join()
    assert received[pipes[0][0]] == received[pipes[1][0]] == expected
    rig.wait(container)
    assert rig.logs(container) == expected
    rig.delete(container)


def test_the_socket_answers_nonsense_with_errors(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    local = Local(rig, container)
    assert local.ask("nosuch")["event"] == "error"
    assert local.ask("attach", stdout=True)["event"] == "error"
    assert local.ask("resize", rows=1, columns=1)["event"] == "ok"
    assert local.ask("attach", process="ff", stdout=True)["reason"] == "NO_SUCH_EXEC"
    local.peer.send(b"not json")
    assert local.hear()["event"] == "error"
    local.peer.send(b"x" * 100_000)
    assert local.hear()["event"] == "error"
    assert local.ask("state")["state"] == "running"
    assert local.ask("signal", signal=9)["event"] == "ok"
    assert rig.wait(container).exit_code == 137
    rig.delete(container)


def test_exec(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    assert rig.exec_output(container, "sh", "-c", "echo a; echo b >&2; exit 4")[0] == 4
    code, said = rig.exec_output(container, "id", user="bob")
    assert said == b"uid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)\n"
    code, said = rig.exec_output(
        container, "sh", "-c", "tty; stty size", terminal=True, terminal_rows=5, terminal_columns=6
    )
    assert said == b"/dev/pts/0\r\n5 6\r\n"
    code, said = rig.exec_output(
        container,
        "sh",
        "-c",
        "ps | grep -c sleep; hostname; cat /proc/self/cgroup; grep Cap /proc/self/status",
    )
    assert code == 0
    assert b":/\n" in said and container.encode() not in said
    assert b"CapEff:\t00000000a80425fb" in said
    for command, wanted in (("nothere", "COMMAND_NOT_FOUND"), ("/etc/passwd", "COMMAND_NOT_EXECUTABLE")):
        exec_id = rig.exec(container, command)
        with pytest.raises(grpc.RpcError) as failed:
            rig.stub.StartProcess(pb.StartProcessRequest(container_id=container, exec_id=exec_id))
        assert reason(failed.value) == wanted
        assert str(failed.value.details()).startswith("OCI runtime exec failed: exec failed: unable to start")
    exec_id = rig.exec(container, "sh", "-c", "exit 3")
    rig.stub.StartProcess(pb.StartProcessRequest(container_id=container, exec_id=exec_id))
    wait = pb.WaitProcessRequest(container_id=container, exec_id=exec_id)
    assert rig.stub.WaitProcess(wait).process.exit_code == 3
    with pytest.raises(grpc.RpcError) as failed:
        rig.stub.StartProcess(pb.StartProcessRequest(container_id=container, exec_id=exec_id))
    assert reason(failed.value) == "ALREADY_RUN"
    long = rig.exec(container, "sleep", "100")
    rig.stub.StartProcess(pb.StartProcessRequest(container_id=container, exec_id=long))
    found = rig.stub.GetProcess(pb.GetProcessRequest(container_id=container, exec_id=long)).process
    assert found.running and found.process_id > 0
    rig.signal(container, signal.SIGKILL)
    assert (
        rig.stub.WaitProcess(pb.WaitProcessRequest(container_id=container, exec_id=long)).process.exit_code
        == 137
    )
    rig.wait(container)
    rig.delete(container)


def test_exec_of_a_large_environment(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    env = ["PATH=/bin", *[f"V{n}={'x' * 1000}" for n in range(200)]]
    assert rig.exec_output(container, "sh", "-c", "env | wc -c", env=env)[1].strip() > b"200000"
    rig.delete(container, force=True)


def test_log_lines_parts_and_times(rig: Rig) -> None:
    long = 40_000
    container = rig.run(
        "sh", "-c", f"printf 'a\\n\\xff\\n<&>\\n'; head -c {long} /dev/zero | tr '\\0' y; printf 'no end'"
    )
    rig.wait(container)
    lines = [json.loads(line) for line in Path(rig.get(container).log_path).read_text().splitlines()]
    assert [line["log"] for line in lines[:3]] == ["a\n", "\ufffd\n", "<&>\n"]
    assert [len(line["log"]) for line in lines[3:]] == [16384, 16384, long - 2 * 16384 + len("no end")]
    assert rig.logs(container).endswith(b"y" * 100 + b"no end")
    assert rig.logs(container, tail=1) == b"y" * (long - 2 * 16384) + b"no end"
    stamped = rig.logs(container, timestamps=True).splitlines()[0]
    assert len(stamped) == len("2026-11-24T05:58:45.371039046Z a") and stamped.endswith(b"Z a")
    rig.delete(container)


def test_logs_follow_over_rotation(rig: Rig) -> None:
    # 150 kB in all: two rotations and no file dropped, however late the follower is.
    options = {"max-size": "60k", "max-file": "3"}
    container = rig.create(
        "sh", "-c", "for i in $(seq 1 2000); do echo $i; usleep 200; done", log=pb.LogSpec(options=options)
    )
    stream = rig.stub.ReadLog(pb.ReadLogRequest(container_id=container, follow=True, tail=-1), timeout=60)
    rig.begin(container)
    said = b"".join(part.stdout for part in stream)
    assert said == b"".join(b"%d\n" % n for n in range(1, 2001))
    assert len(list(Path(rig.get(container).log_path).parent.glob("*-json.log*"))) == 3
    rig.delete(container)


def test_logs_after_files_were_dropped(rig: Rig) -> None:
    options = {"max-size": "20k", "max-file": "3"}
    container = rig.run("seq", "1", "2000", log=pb.LogSpec(options=options))
    rig.wait(container)
    directory = Path(rig.get(container).log_path).parent
    assert len(list(directory.glob("*-json.log*"))) == 3
    kept = rig.logs(container).split()
    assert 300 < len(kept) < 1000 and kept == [b"%d" % n for n in range(2001 - len(kept), 2001)]
    assert rig.logs(container, tail=300).split() == [b"%d" % n for n in range(1701, 2001)]
    assert rig.logs(container, tail=0) == b""
    rig.delete(container)


def test_logs_since_and_until(rig: Rig) -> None:
    container = rig.run("sh", "-c", "echo first; usleep 20000; echo second; usleep 20000; echo third")
    rig.wait(container)
    lines = [json.loads(line) for line in Path(rig.get(container).log_path).read_text().splitlines()]
    from trine.runtime.log_files import parse_time

    second = parse_time(lines[1]["time"])
    assert rig.logs(container, since_unix_nanos=second) == b"second\nthird\n"
    assert rig.logs(container, until_unix_nanos=second) == b"first\nsecond\n"
    rig.delete(container)


def test_attach_with_what_was_said_before(rig: Rig) -> None:
    container = rig.run("sh", "-c", "echo before; read x; echo after $x", open_stdin=True)
    eventually(lambda: rig.logs(container))
    with Attachment(rig, container, stdin=True, logs=True) as attachment:
        attachment.until(b"before\n")
        attachment.send(b"it\n")
        assert attachment.finish() == (0, b"before\nafter it\n")
    rig.delete(container)


def test_no_log_at_all(rig: Rig) -> None:
    container = rig.run("echo", "x", log=pb.LogSpec(driver="none"))
    rig.wait(container)
    with pytest.raises(grpc.RpcError) as failed:
        rig.logs(container)
    assert failed.value.details() == "configured logging driver does not support reading"
    rig.delete(container)
