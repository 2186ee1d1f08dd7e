"""kill -9 of everything: containers run on, logs miss nothing, ends are true, nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest

from runtime.rig import Attachment, Rig, eventually
from trine.v1 import runtime_pb2 as pb


def test_a_container_survives_service_and_zygote_and_its_log_is_whole(own: Rig) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; read x; exit 6"
    container = own.create("sh", "-c", script, open_stdin=True)
    own.begin(container)
    zygote = own.zygote()
    own.kill()
    eventually(lambda: not Path(f"/proc/{zygote}").exists() or _zombie(zygote))
    own.start()
    found = own.get(container)
    assert found.state == pb.RUNTIME_STATE_RUNNING
    assert found.process_id > 0
    assert own.exec_output(container, "echo", "still")[1] == b"still\n"
    os.kill(own.zygote(), signal.SIGKILL)
    with Attachment(own, container, stdin=True) as attachment:
        attachment.send(b"go\n")
        assert attachment.finish()[0] == 6
    assert own.wait(container).exit_code == 6
    assert own.logs(container) == b"".join(b"%d\n" % n for n in range(1, 3001))
    assert own.output("echo", "new")[1] == "new\n"


def test_an_end_nobody_saw_is_known_after_the_restart(own: Rig) -> None:
    container = own.create("sh", "-c", "read x; exit 9", open_stdin=True)
    own.begin(container)
    shim = own.shim(container)
    pid = own.get(container).process_id
    own.kill()
    before = time.time_ns()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{shim}").exists() or _zombie(shim))
    after = time.time_ns()
    own.start()
    ended = own.get(container)
    assert (ended.state, ended.exit_code) == (pb.RUNTIME_STATE_STOPPED, 137)
    assert before <= ended.finished_at_unix_nanos <= after
    own.delete(container)


def test_killing_a_shim_kills_its_container(own: Rig) -> None:
    container = own.run("sh", "-c", "sleep 1000 & sleep 1000")
    exec_id = own.exec(container, "sleep", "500")
    own.stub.StartProcess(pb.StartProcessRequest(container_id=container, exec_id=exec_id))
    os.kill(own.shim(container), signal.SIGKILL)
    ended = own.wait(container)
    assert (ended.state, ended.exit_code) == (pb.RUNTIME_STATE_STOPPED, 137)
    waited = own.stub.WaitProcess(pb.WaitProcessRequest(container_id=container, exec_id=exec_id))
    assert waited.process.exit_code == 137
    own.delete(container)


def test_a_shim_killed_while_the_service_is_away(own: Rig) -> None:
    container = own.run("sleep", "1000")
    shim, pid = own.shim(container), own.get(container).process_id
    own.kill()
    os.kill(shim, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or _zombie(pid))
    own.start()
    assert own.get(container).exit_code == 137
    own.delete(container)


def test_service_killed_amid_many_creates_leaves_nothing_half_made(own: Rig) -> None:
    for delay in (0.01, 0.03, 0.06, 0.1):
        threads = [threading.Thread(target=_try_to_run, args=(own,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(delay)
        own.kill()
        for thread in threads:
            thread.join()
        own.start()
        for container in own.stub.ListRuntimeContainers(pb.ListRuntimeContainersRequest()).containers:
            own.delete(container.id, force=True)
        eventually(lambda: not own.leaks())


def _try_to_run(rig: Rig) -> None:
    try:
        rig.run("sleep", "1000")
    except (grpc.RpcError, ValueError):
        pass


def test_stop_of_the_service_lets_containers_run(own: Rig) -> None:
    container = own.run("sleep", "1000")
    assert own.process is not None
    own.process.send_signal(signal.SIGTERM)
    assert own.process.wait(timeout=10) == 0
    own.channel.close()
    own.start()
    assert own.get(container).state == pb.RUNTIME_STATE_RUNNING
    own.delete(container, force=True)


def test_a_second_service_on_the_same_socket_is_refused(own: Rig) -> None:
    roots = ["--data-root", str(own.place / "data"), "--exec-root", str(own.place / "run")]
    second = subprocess.run(
        [sys.executable, "-I", "-m", "trine.runtime.main", *roots],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "another trine-runtime serves" in second.stderr
    assert second.returncode == 1
    assert own.output("true")[0] == 0


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1:2] == "Z"
    except OSError:
        return True


def test_a_container_lost_with_the_machine_ended_with_255(own: Rig) -> None:
    """After a boot nobody knows how it ended: its socket's folder (a tmpfs) is empty."""
    container = own.run("sleep", "1000")
    shim, pid = own.shim(container), own.get(container).process_id
    own.kill()
    os.kill(shim, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or _zombie(pid))
    shutil.rmtree(own.place / "run")
    own.start()
    assert (own.get(container).state, own.get(container).exit_code) == (pb.RUNTIME_STATE_STOPPED, 255)
    own.delete(container)


def test_a_stopped_zygote_is_replaced(own: Rig) -> None:
    own.output("true")
    stopped = own.zygote()
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(grpc.RpcError, match="zygote did not answer and is being replaced"):
        own.create("true")
    assert own.output("echo", "again")[0] == 0
    assert own.zygote() != stopped
    eventually(lambda: not own.leaks())


def test_a_stopped_zygote_does_not_hold_up_the_end_of_the_service(own: Rig) -> None:
    own.output("true")
    stopped = own.zygote()
    os.kill(stopped, signal.SIGSTOP)
    assert own.process is not None
    own.process.send_signal(signal.SIGTERM)
    assert own.process.wait(timeout=20) == 0
    assert not Path(f"/proc/{stopped}").exists()
    own.channel.close()
    own.start()


def test_a_stopped_shim_keeps_nobody_from_serving_and_can_be_killed(own: Rig) -> None:
    stuck, other = own.run("sleep", "1000"), own.run("sleep", "1000")
    shim = own.shim(stuck)
    os.kill(shim, signal.SIGSTOP)
    own.kill()
    own.start()
    assert own.get(stuck).state == pb.RUNTIME_STATE_RUNNING
    assert own.get(other).state == pb.RUNTIME_STATE_RUNNING
    own.stub.SignalRuntimeContainer(pb.SignalRuntimeContainerRequest(id=stuck, signal=9))
    assert own.wait(stuck).exit_code == 137
    own.delete(stuck)
    own.delete(other, force=True)


def test_a_stopped_shim_that_goes_on_is_known_again(own: Rig) -> None:
    container = own.run("sleep", "1000")
    before = own.get(container)
    shim = own.shim(container)
    os.kill(shim, signal.SIGSTOP)
    own.kill()
    own.start()
    os.kill(shim, signal.SIGCONT)
    eventually(lambda: own.get(container) == before)
    own.delete(container, force=True)


def test_a_damaged_config_costs_its_own_container_only(own: Rig) -> None:
    damaged, other = own.run("sleep", "1000"), own.run("sleep", "1000")
    pid = own.get(damaged).process_id
    own.kill()
    (own.place / "data/runtime/containers" / damaged / "config.json").write_bytes(b"\xff\x00{")
    own.start()
    assert own.get(other).state == pb.RUNTIME_STATE_RUNNING
    eventually(lambda: not Path(f"/proc/{pid}").exists() or _zombie(pid))
    own.delete(damaged)
    own.delete(other, force=True)
    eventually(lambda: not own.leaks())
