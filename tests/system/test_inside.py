"""What a process inside a container has, and has not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support.stack import Stack


def test_its_own_namespaces(stack: Stack) -> None:
    stack.sleeper("box")
    pid = stack.inspect("box", "{{.State.Pid}}")
    for name in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name


def test_capabilities_seccomp_descriptors(stack: Stack) -> None:
    text = stack.must("run", "--rm", "busybox", "sh", "-c", "cat /proc/self/status; ls -l /proc/self/fd")
    assert "CapEff:\t00000000a80425fb" in text
    assert "CapBnd:\t00000000a80425fb" in text and "CapInh:\t0000000000000000" in text
    assert "Seccomp:\t2" in text
    descriptors = [line.split(" -> ")[0].split()[-1] for line in text.splitlines() if " -> " in line]
    assert set(descriptors) - {"3"} == {"0", "1", "2"}  # 3 is ls reading the folder, if it is still open


@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs x /tmp", "unshare -U true", "! date -s 2001-01-01 2>&1 | grep 'not permitted'", "echo 1 >/proc/sys/kernel/hostname",
        "mknod /tmp/sda b 8 0 && cat /tmp/sda", "chroot /proc/1/root true && hostname changed",
        "dmesg -c", "insmod /nothing", "echo c >/proc/sysrq-trigger", "ip link add type dummy",
        "nsenter -t 1 -m true", "echo 0 >/sys/fs/cgroup/memory/tasks", "swapoff -a",
    ],
)  # fmt: skip
def test_what_it_may_not(stack: Stack, script: str) -> None:
    assert stack.trine("run", "--rm", "busybox", "sh", "-c", script).returncode != 0


def test_masked_and_read_only_paths(stack: Stack) -> None:
    text = stack.must(
        "run", "--rm", "busybox", "sh", "-c",
        "cat /proc/kcore | wc -c; cat /proc/keys | wc -c; ls /sys/firmware | wc -l; "
        "for p in /proc/bus /proc/fs /proc/irq /proc/sys; do touch $p/x 2>/dev/null && echo writable $p; done; true",
    )  # fmt: skip
    assert text.split() == ["0", "0", "0"]


def test_dev(stack: Stack) -> None:
    names = stack.must("run", "--rm", "busybox", "ls", "/dev").split()
    wanted = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    if Path("/proc/kcore").exists():  # as in runc: no dangling link
        wanted += " core"
    assert sorted(names) == sorted(wanted.split())
    assert "console" in stack.must("run", "--rm", "-t", "busybox", "ls", "/dev").split()


def test_privileged_is_privileged(stack: Stack) -> None:
    text = stack.must("run", "--rm", "--privileged", "busybox", "sh", "-c",
                      "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp && echo mounted; ls /dev")  # fmt: skip
    assert "Seccomp:\t0" in text and "mounted" in text
    here = {path.name for path in Path("/dev").iterdir() if path.is_char_device() or path.is_block_device()}
    assert here - {"console"} <= set(text.split())


def test_memory_limit_kills(stack: Stack) -> None:
    done = stack.trine(
        "run", "--name", "oom", "-m", "32m", "busybox", "sh", "-c", "head -c 100000000 /dev/zero | tail"
    )
    assert done.returncode != 0
    stack.must("run", "-d", "--name", "oom1", "-m", "16m", "busybox", "tail", "/dev/zero")
    assert stack.must("wait", "oom1") == "137"
    assert stack.inspect("oom1", "{{.State.OOMKilled}}") == "true"


def test_limits_are_in_the_kernel(stack: Stack) -> None:
    stack.sleeper("box", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50")
    pid = stack.inspect("box", "{{.State.Pid}}")
    joined = Path(f"/proc/{pid}/cgroup").read_text()
    found = {}
    for line in joined.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    base = Path("/sys/fs/cgroup")
    if (base / "memory").is_dir():
        assert (
            base / "memory" / found["memory"][1:] / "memory.limit_in_bytes"
        ).read_text().strip() == "67108864"
        assert (base / "pids" / found["pids"][1:] / "pids.max").read_text().strip() == "50"
        assert (base / "cpu" / found["cpu"][1:] / "cpu.cfs_quota_us").read_text().strip() == "50000"
    else:
        assert (base / found[""][1:] / "memory.max").read_text().strip() == "67108864"


def test_pids_limit_holds(stack: Stack) -> None:
    done = stack.trine("run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c",
                       "for i in 1 2 3 4 5 6 7 8; do sleep 2 & done; wait")  # fmt: skip
    assert "fork" in done.stderr


def test_the_host_sees_no_mount_of_it(stack: Stack) -> None:
    stack.sleeper("box", "-v", "/data")
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert not [p for p in points if p.startswith(str(stack.data_root))]


def test_init_reaps_orphans(stack: Stack) -> None:
    stack.must("run", "-d", "--name", "box", "--init", "busybox", "sleep", "1000")
    stack.must("exec", "box", "sh", "-c", "(sleep 0.1 &) ; true")
    text = stack.must("exec", "box", "sh", "-c", "sleep 0.5; ps -o stat,comm")
    assert "Z" not in [line.split()[0][:1] for line in text.splitlines()[1:]]


def test_an_image_whose_passwd_is_a_fifo_hangs_nothing(stack: Stack) -> None:
    stack.must(
        "run",
        "--name",
        "fifo",
        "busybox",
        "sh",
        "-c",
        "rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group",
    )
    stack.must("commit", "fifo", "trap:fifo")
    done = stack.trine("run", "--rm", "-u", "nobody", "trap:fifo", "true", timeout=20)
    assert done.returncode in (125, 126) and len(done.stderr.strip().splitlines()) <= 3
    assert stack.trine("run", "--rm", "trap:fifo", "true", timeout=20).returncode == 0
    assert stack.trine("inspect", "trap:fifo", timeout=20).returncode == 0
    stack.must("rm", "-f", "fifo")
    stack.must("rmi", "-f", "trap:fifo")


def test_links_in_the_image_do_not_lead_out(stack: Stack) -> None:
    stack.must(
        "run",
        "--name",
        "links",
        "busybox",
        "sh",
        "-c",
        "rm -rf /etc; ln -s /../../../../../../root/esc /etc; ln -s / /mnt2",
    )
    stack.must("commit", "links", "trap:links")
    stack.trine("run", "--rm", "-v", "/tmp:/mnt2/tmp/inner", "trap:links", "true")
    assert not Path("/root/esc").exists() and not Path("/tmp/inner").exists()
    stack.must("rm", "-f", "links")
    stack.must("rmi", "-f", "trap:links")


def test_signals_of_the_client_are_passed_on(stack: Stack) -> None:
    script = "trap 'echo usr1' USR1; trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    client = stack.spawn("run", "--rm", "--name", "sig", "busybox", "sh", "-c", script)
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    client.send_signal(signal.SIGUSR1)
    assert client.stdout.readline() == "usr1\n"
    client.send_signal(signal.SIGTERM)
    assert client.wait(20) == 3
    client.stdout.close()
