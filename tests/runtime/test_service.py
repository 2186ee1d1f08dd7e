"""The runtime alone: life, ends, names, limits, what is inside."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from runtime.rig import Attachment, Rig, eventually, reason
from trine.v1 import image_pb2
from trine.v1 import runtime_pb2 as pb


def test_runs_to_its_end_with_output_and_status(rig: Rig) -> None:
    container = rig.run("sh", "-c", "echo out; echo err >&2; exit 3")
    ended = rig.wait(container)
    assert (ended.state, ended.exit_code) == (pb.RUNTIME_STATE_STOPPED, 3)
    assert 0 < ended.started_at_unix_nanos < ended.finished_at_unix_nanos
    assert rig.logs(container, stdout=True) == b"out\n"
    assert rig.logs(container, stderr=True) == b"err\n"
    rig.delete(container)
    with pytest.raises(grpc.RpcError) as failed:
        rig.get(container)
    assert reason(failed.value) == "NO_SUCH_CONTAINER"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_gives_128_and_its_number(rig: Rig, number: signal.Signals) -> None:
    container = rig.run("sh", "-c", "trap 'exit 143' TERM; echo ready; while :; do sleep 0.01; done")
    eventually(lambda: rig.logs(container))
    rig.signal(container, number)
    assert rig.wait(container).exit_code == 128 + number
    with pytest.raises(grpc.RpcError) as failed:
        rig.signal(container, number)
    assert reason(failed.value) == "NOT_RUNNING"
    rig.delete(container)


def test_create_waits_for_start_and_is_idempotent(rig: Rig) -> None:
    request = rig.request(["echo", "hi"])
    first = rig.stub.CreateRuntimeContainer(request)
    assert rig.stub.CreateRuntimeContainer(request).process_id == first.process_id
    assert rig.get(request.id).state == pb.RUNTIME_STATE_CREATED
    assert rig.logs(request.id) == b""
    request.hostname = "other"
    with pytest.raises(grpc.RpcError) as failed:
        rig.stub.CreateRuntimeContainer(request)
    assert failed.value.code() == grpc.StatusCode.ALREADY_EXISTS
    rig.begin(request.id)
    rig.wait(request.id)
    assert rig.logs(request.id) == b"hi\n"
    rig.delete(request.id)
    rig.delete(request.id)


@pytest.mark.parametrize(
    ("command", "wanted", "message"),
    [
        ("nothere", "COMMAND_NOT_FOUND", 'exec: "nothere": executable file not found in $PATH: unknown'),
        (
            "/nothere",
            "COMMAND_NOT_FOUND",
            'exec: "/nothere": stat /nothere: no such file or directory: unknown',
        ),
        ("/etc/passwd", "COMMAND_NOT_EXECUTABLE", 'exec: "/etc/passwd": permission denied: unknown'),
        ("/etc", "COMMAND_NOT_EXECUTABLE", 'exec: "/etc": permission denied: unknown'),
    ],
)
def test_a_command_that_cannot_run(rig: Rig, command: str, wanted: str, message: str) -> None:
    container = rig.create(command)
    with pytest.raises(grpc.RpcError) as failed:
        rig.begin(container)
    assert reason(failed.value) == wanted
    prefix = "OCI runtime create failed: runc create failed: unable to start container process: "
    assert failed.value.details() == prefix + message
    state = rig.wait(container)
    assert state.never_started
    assert state.exit_code == (127 if wanted == "COMMAND_NOT_FOUND" else 126)
    rig.delete(container)


def test_users(rig: Rig) -> None:
    assert rig.output("id", user="bob")[1] == "uid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)\n"
    assert rig.output("id", user="12345:wheel")[1] == "uid=12345 gid=10(wheel) groups=10(wheel)\n"
    assert (
        rig.output("sh", "-c", "echo $HOME; umask; pwd", user="bob", working_directory="/made/here")[1]
        == "/home/bob\n0022\n/made/here\n"
    )
    for user, message in (
        ("nobodyhere", "unable to find user nobodyhere: no matching entries in passwd file"),
        ("bob:nogroup", "unable to find group nogroup: no matching entries in group file"),
    ):
        with pytest.raises(grpc.RpcError) as failed:
            rig.create("id", user=user)
        assert failed.value.details() == message


def test_inside_it_is_as_in_docker(rig: Rig) -> None:
    script = """
        exec 2>&1  # two pipes would have no order
        grep -E 'Cap(Eff|Bnd|Inh)|NoNewPrivs|Seccomp:' /proc/self/status
        ls /proc/self/fd | wc -l; hostname; ps | wc -l; cat /proc/1/comm
        ls -1 /dev; cat /proc/sys/kernel/hostname; ls /proc/acpi | wc -l
        touch /proc/sys/kernel/hostname 2>&1; echo x > /sys/kernel/x 2>&1; wc -c < /proc/kcore
        ls /sys/class/net; cat /proc/self/oom_score_adj
    """
    code, text = rig.output("sh", "-c", script, hostname="inside", oom_score_adjustment=100)
    assert code == 0, text
    assert "CapEff:\t00000000a80425fb" in text
    assert "CapBnd:\t00000000a80425fb" in text
    assert "CapInh:\t0000000000000000" in text
    assert "Seccomp:\t2" in text
    assert "inside\n" in text
    for name in (
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "tty",
        "zero",
    ):
        assert f"\n{name}\n" in text
    assert "console" not in text
    assert "Read-only file system" in text
    assert "\nlo\n" in text and "\n100\n" in text


def test_privileged_and_read_only(rig: Rig) -> None:
    code, text = rig.output(
        "sh", "-c", "grep CapEff /proc/self/status", security=pb.SecuritySpec(privileged=True)
    )
    assert "00000000a80425fb" not in text and code == 0
    code, text = rig.output(
        "sh", "-c", "touch /x; touch /tmp/x; touch /dev/shm/y && echo shm", read_only_root=True
    )
    assert text.count("Read-only file system") == 2
    assert text.endswith("shm\n")


def test_mounts(rig: Rig, tmp_path: Path) -> None:
    source, volume = tmp_path / "source", tmp_path / "volume"
    source.mkdir()
    volume.mkdir()
    (source / "file").write_text("from the host")
    mounts = [
        pb.MountSpec(kind=pb.MOUNT_KIND_BIND, source=str(source), target="/mnt/new/ro", read_only=True),
        pb.MountSpec(kind=pb.MOUNT_KIND_BIND, source=str(source / "file"), target="/etc/one"),
        pb.MountSpec(kind=pb.MOUNT_KIND_TMPFS, target="/scratch", tmpfs_size_bytes=1 << 20),
        pb.MountSpec(kind=pb.MOUNT_KIND_BIND, source=str(volume), target="/etc", copy_up=True),
    ]
    script = "cat /mnt/new/ro/file; touch /mnt/new/ro/x; cat /etc/one; df -k /scratch; cat /etc/passwd"
    _, text = rig.output("sh", "-c", script, mounts=mounts)
    assert text.count("from the host") == 2
    assert "Read-only file system" in text
    assert "1024" in text
    assert (volume / "passwd").read_text() == (rig.rootfs / "etc/passwd").read_text()
    assert "bob:x:1000" in text
    with pytest.raises(grpc.RpcError) as failed:
        rig.create("true", mounts=[pb.MountSpec(kind=pb.MOUNT_KIND_BIND, source="/nothere", target="/x")])
    assert "stat /nothere: no such file or directory" in str(failed.value.details())


def test_managed_files_are_kept_and_refreshed(rig: Rig) -> None:
    files = [pb.ManagedFile(target="/etc/hosts", content=b"127.0.0.1 localhost\n")]
    container = rig.run("sh", "-c", "cat /etc/hosts; echo more >> /etc/hosts", managed_files=files)
    assert rig.wait(container).exit_code == 0
    directory = Path(rig.get(container).managed_directory)
    assert (directory / "hosts").read_bytes() == b"127.0.0.1 localhost\nmore\n"
    rig.delete(container, keep_data=True)
    assert rig.logs(container) == b"127.0.0.1 localhost\n"
    rig.run("cat", "/etc/hosts", id=container, managed_files=files)
    rig.wait(container)
    assert rig.logs(container) == b"127.0.0.1 localhost\n" * 2
    rig.delete(container)
    assert not directory.exists()


def test_init_reaps_and_forwards(rig: Rig) -> None:
    script = "trap 'echo got; exit 9' TERM; (sleep 0.01 & true); echo ready; while :; do sleep 0.01; done"
    container = rig.run("sh", "-c", script, init=True)
    eventually(lambda: rig.logs(container))
    code, listing = rig.exec_output(container, "ps", "-o", "pid,comm,stat")
    assert code == 0
    assert b"trine-init" in listing
    assert rig.exec_output(container, "grep", "CapEff", "/proc/1/status")[1] == b"CapEff:\t0000000000000020\n"
    assert b" Z" not in listing
    rig.signal(container, signal.SIGTERM)
    assert rig.wait(container).exit_code == 9
    assert rig.logs(container) == b"ready\ngot\n"
    rig.delete(container)


def test_pause_stops_everything_and_is_refused_twice(rig: Rig) -> None:
    container = rig.run("sh", "-c", "while :; do echo x; sleep 0.005; done")
    eventually(lambda: rig.logs(container))
    rig.stub.PauseRuntimeContainer(pb.PauseRuntimeContainerRequest(id=container))
    assert rig.get(container).state == pb.RUNTIME_STATE_PAUSED
    before = rig.logs(container)
    time.sleep(0.1)
    assert rig.logs(container) == before
    with pytest.raises(grpc.RpcError) as failed:
        rig.stub.PauseRuntimeContainer(pb.PauseRuntimeContainerRequest(id=container))
    assert reason(failed.value) == "ALREADY_PAUSED"
    rig.stub.ResumeRuntimeContainer(pb.ResumeRuntimeContainerRequest(id=container))
    eventually(lambda: rig.logs(container) != before)
    rig.stub.PauseRuntimeContainer(pb.PauseRuntimeContainerRequest(id=container))
    rig.delete(container, force=True)


def test_out_of_memory_is_told(rig: Rig) -> None:
    container = rig.run(
        "sh", "-c", "tail -c 100000000 /dev/zero", resources=image_pb2.Resources(memory_bytes=16 << 20)
    )
    ended = rig.wait(container)
    assert ended.exit_code == 137
    assert ended.oom_killed
    rig.delete(container)


def test_limits_can_be_changed_and_wrong_ones_are_refused(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    limits = image_pb2.Resources(memory_bytes=64 << 20, pids_limit=7)
    rig.stub.UpdateRuntimeContainer(pb.UpdateRuntimeContainerRequest(id=container, resources=limits))
    _, text = rig.exec_output(container, "cat", "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max")
    assert b"7\n" in text
    with pytest.raises(grpc.RpcError) as failed:
        rig.create("true", resources=image_pb2.Resources(memory_bytes=1000))
    assert failed.value.details() == "Minimum memory limit allowed is 6MB"
    rig.delete(container, force=True)


def test_watch_tells_what_is_there_and_every_change(rig: Rig) -> None:
    there = rig.run("sleep", "100")
    seen: list[tuple[int, str]] = []
    stream = rig.stub.WatchRuntimeContainers(pb.WatchRuntimeContainersRequest())

    def read() -> None:
        try:
            for event in stream:
                seen.append((event.kind, event.container.id))
        except grpc.RpcError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: (pb.RUNTIME_EVENT_KIND_SYNCED, "") in seen)
    assert seen.index((pb.RUNTIME_EVENT_KIND_EXISTING, there)) < seen.index(
        (pb.RUNTIME_EVENT_KIND_SYNCED, "")
    )
    container = rig.run("true")
    rig.wait(container)
    rig.delete(container)
    mine = eventually(
        lambda: (
            (kinds := [k for k, i in seen if i == container])[-1:] == [pb.RUNTIME_EVENT_KIND_DELETED]
            and kinds
        )
    )
    assert mine == [
        pb.RUNTIME_EVENT_KIND_STARTED,
        pb.RUNTIME_EVENT_KIND_EXITED,
        pb.RUNTIME_EVENT_KIND_DELETED,
    ]
    stream.cancel()
    reader.join()
    rig.delete(there, force=True)


def test_delete_refuses_a_running_one(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    with pytest.raises(grpc.RpcError) as failed:
        rig.delete(container)
    assert reason(failed.value) == "RUNNING"
    rig.delete(container, force=True)
    waiting = rig.create("true")
    rig.delete(waiting, force=True)


def test_namespaces_can_be_shared(rig: Rig) -> None:
    first = rig.run(
        "sh", "-c", "echo shared > /dev/shm/x; sleep 100", namespaces=pb.NamespaceSpec(ipc="shareable")
    )
    eventually(lambda: rig.exec_output(first, "cat", "/dev/shm/x")[1] == b"shared\n")
    second = pb.NamespaceSpec(ipc=f"container:{first}", pid=f"container:{first}")
    code, text = rig.output("sh", "-c", "cat /dev/shm/x; ps", namespaces=second)
    assert code == 0
    assert "shared\n" in text
    assert "sleep 100" in text
    code, text = rig.output(
        "sh", "-c", "(sleep 50 &) ; ps | grep -c trine", namespaces=pb.NamespaceSpec(pid="host")
    )
    assert int(text) > 0
    rig.delete(first, force=True)
    with pytest.raises(grpc.RpcError) as failed:
        rig.create("true", namespaces=pb.NamespaceSpec(pid=f"container:{first}"))
    assert "No such container" in str(failed.value.details())


def test_top_and_stats(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    listing = rig.stub.ListProcesses(pb.ListProcessesRequest(container_id=container))
    assert listing.titles[:2] == ["UID", "PID"]
    assert [row.cells[-1] for row in listing.rows] == ["sleep 100"]
    usage = list(rig.stub.WatchUsage(pb.WatchUsageRequest(container_ids=[container], once=True)))
    assert [u.container_id for u in usage] == [container]
    assert usage[0].pids == 1 and usage[0].memory_usage_bytes > 0
    rig.delete(container, force=True)


def test_many_at_once(rig: Rig) -> None:
    def one(number: int) -> tuple[int, str]:
        return rig.output("sh", "-c", f"echo {number}; exit {number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(50))) == [(n, f"{n}\n") for n in range(50)]


@pytest.mark.parametrize(
    "fields",
    [
        {"hostname": "a\nb"},
        {"working_directory": "relative"},
        {"sysctls": {"kernel.shmmax\n": "1"}},
        {"log": pb.LogSpec(driver="syslog")},
        {"log": pb.LogSpec(options={"max-size": "lots"})},
        {"mounts": [pb.MountSpec(kind=pb.MOUNT_KIND_BIND, source="/tmp", target="/")]},
        {"managed_files": [pb.ManagedFile(target="/etc/config.json", content=b"")]},
        {"security": pb.SecuritySpec(capabilities_add=["nosuch"])},
        {"env": ["A=\0"]},
        {"resource_limits": [pb.ResourceLimit(name="nosuch", soft=1, hard=1)]},
        {"resource_limits": [pb.ResourceLimit(name="nofile", soft=2, hard=1)]},
    ],
)
def test_bad_requests_leave_nothing(rig: Rig, fields: dict[str, object]) -> None:
    request = rig.request(["true"], **fields)
    with pytest.raises(grpc.RpcError) as failed:
        rig.stub.CreateRuntimeContainer(request)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "\n" not in str(failed.value.details())
    assert not (rig.place / "data/runtime/containers" / request.id).exists()
    assert not (rig.place / "run/runtime" / request.id).exists()


def test_no_descriptor_of_ours_is_open_inside(rig: Rig) -> None:
    container = rig.run("sleep", "100")
    pid = rig.get(container).process_id
    assert sorted(path.name for path in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"]
    with Attachment(rig, container, rig.exec(container, "true")):
        pass
    code, text = rig.exec_output(container, "ls", "/proc/self/fd")
    assert (code, text.split()) == (0, [b"0", b"1", b"2", b"3"])  # 3: ls itself
    rig.delete(container, force=True)
