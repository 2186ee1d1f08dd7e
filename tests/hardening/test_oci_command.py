"""trine-oci from outside: bundles made of busybox, real containers, nothing left behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trine.runtime import spec_defaults
from trine.runtime.cgroups import layout
from trine.runtime.cgroups.group import Group

BUSYBOX = shutil.which("busybox") or ""
COMMAND = Path(sys.executable).parent / "trine-oci"
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX, reason="no busybox for a root file system"),
]
APPLETS = (
    "sh",
    "cat",
    "echo",
    "sleep",
    "id",
    "true",
    "ls",
    "tty",
    "stty",
    "mount",
    "grep",
    "kill",
    "mkdir",
    "pwd",
)


class Place:
    """A bundle, a --root and a cgroup of our own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.bundle = base / "bundle"
        self.root = base / "state"
        self.cgroup = f"/trine-test-{secrets.token_hex(6)}"
        rootfs = self.bundle / "rootfs"
        for name in ("bin", "proc", "dev", "sys", "etc", "tmp"):
            (rootfs / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, rootfs / "bin" / "busybox")
        for name in APPLETS:
            (rootfs / "bin" / name).symlink_to("busybox")
        (rootfs / "etc" / "passwd").write_text(
            "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n"
        )

    def configure(self, *args: str, **process: Any) -> dict[str, Any]:
        config = spec_defaults.bare_config()
        config["process"].update({"args": list(args), "terminal": False, **process})
        config["linux"]["cgroupsPath"] = f"{self.cgroup}/c"
        self.write(config)
        return config

    def write(self, config: dict[str, Any]) -> None:
        (self.bundle / "config.json").write_text(json.dumps(config))

    def run(self, *words: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        more.setdefault("stdin", subprocess.DEVNULL)
        if "input" in more:
            del more["stdin"]
        done = subprocess.run(
            [str(COMMAND), "--root", str(self.root), *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.bundle,
            check=False,
            **more,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def create(self, name: str = "c", *words: str) -> None:
        """Create with output to files: the container keeps its streams, so pipes would never end."""
        with (self.base / "out").open("w") as out, (self.base / "err").open("w") as err:
            done = subprocess.run(
                [str(COMMAND), "--root", str(self.root), "create", *words, name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=60,
                cwd=self.bundle,
                check=False,
            )
        assert done.returncode == 0, (self.base / "err").read_text()

    def status(self, name: str = "c") -> str:
        return str(json.loads(self.run("state", name).stdout)["status"])


def until(check: Callable[[], bool]) -> None:
    """Wait for something that must come; give up after 20 s."""
    end = time.monotonic() + 20
    while not check():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for record in sorted(made.root.iterdir()) if made.root.exists() else ():
        made.run("delete", "--force", record.name)
    group = Group(layout.detect(), made.cgroup)
    assert group.pids() == []
    group.delete()
    assert not list(made.root.iterdir()) if made.root.exists() else True


def test_run_gives_output_and_exit_status(place: Place) -> None:
    place.configure("sh", "-c", "echo out; echo err >&2; cat; exit 7")
    done = place.run("run", "c", check=False, input="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\nin\n", "err\n")
    assert place.run("list", "-q").stdout == ""
    assert not Group(layout.detect(), f"{place.cgroup}/c").exists()


def test_run_ends_by_a_signal(place: Place) -> None:
    place.configure("sh", "-c", "kill -9 $$; sleep 5")
    config = json.loads((place.bundle / "config.json").read_text())
    # Process 1 of a PID namespace cannot kill itself: share the host's.
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]
    place.write(config)
    assert place.run("run", "c", check=False).returncode == 137


def test_the_life_of_a_container(place: Place) -> None:
    place.configure("sh", "-c", "echo started; sleep 600")
    pid_file = place.base / "pid"
    place.create("c", "--pid-file", str(pid_file))
    state = json.loads(place.run("state", "c").stdout)
    assert state["status"] == "created"
    assert state["pid"] == int(pid_file.read_text())
    assert state["bundle"] == str(place.bundle)
    assert (place.base / "out").read_text() == ""  # it waits
    assert "container with given ID already exists" in place.run("create", "c", check=False).stderr
    place.run("start", "c")
    until(lambda: (place.base / "out").read_text() == "started\n")
    assert place.status() == "running"
    assert "already running" in place.run("start", "c", check=False).stderr
    assert "not stopped: running" in place.run("delete", "c", check=False).stderr
    rows = json.loads(place.run("list", "--format", "json").stdout)
    assert [(row["id"], row["status"]) for row in rows] == [("c", "running")]
    pids = json.loads(place.run("ps", "--format", "json", "c").stdout)
    assert pids == [state["pid"]]  # the shell has become sleep
    assert "sleep 600" in place.run("ps", "c", "-ef").stdout
    place.run("kill", "c", "KILL")
    until(lambda: place.status() == "stopped")
    assert "container not running" in place.run("kill", "c", "TERM", check=False).stderr
    place.run("delete", "c")
    assert "container does not exist" in place.run("state", "c", check=False).stderr
    assert "container does not exist" in place.run("delete", "c", check=False).stderr
    place.run("delete", "--force", "c")


def test_a_created_container_may_be_deleted(place: Place) -> None:
    place.configure("sleep", "600")
    place.create()
    pid = json.loads(place.run("state", "c").stdout)["pid"]
    place.run("delete", "c")
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_exec(place: Place) -> None:
    place.configure("sleep", "600")
    place.create()
    place.run("start", "c")
    done = place.run("exec", "c", "sh", "-c", "id -u; pwd; echo $A; cat; exit 5", check=False, input="x\n")
    assert (done.returncode, done.stdout) == (5, "0\n/\n\nx\n")
    done = place.run(
        "exec", "-u", "1000:1000", "--cwd", "/tmp", "-e", "A=b", "c", "sh", "-c", "id -u; pwd; echo $A $HOME"
    )
    assert done.stdout == "1000\n/tmp\nb /home/joe\n"
    done = place.run("exec", "c", "none-such", check=False)
    assert done.returncode == 1
    assert done.stderr == 'exec: "none-such": executable file not found in $PATH\n'
    spec = {
        "args": ["grep", "CapEff", "/proc/self/status"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 0},
    }
    path = place.base / "process.json"
    path.write_text(
        json.dumps(
            {
                **spec,
                "capabilities": {
                    "bounding": ["CAP_KILL"],
                    "effective": ["CAP_KILL"],
                    "permitted": ["CAP_KILL"],
                },
            }
        )
    )
    assert place.run("exec", "--process", str(path), "c").stdout == "CapEff:\t0000000000000020\n"
    # An exec is in the container's cgroups, so its limits hold.
    inside = place.run("exec", "c", "cat", "/proc/self/cgroup").stdout
    assert all(line.endswith(":/") for line in inside.splitlines())


def test_pause_update_and_events(place: Place) -> None:
    place.configure("sleep", "600")
    place.create()
    place.run("start", "c")
    place.run("pause", "c")
    assert place.status() == "paused"
    assert "cannot exec in a paused container" in place.run("exec", "c", "true", check=False).stderr
    place.run("resume", "c")
    assert place.status() == "running"
    assert "container not paused" in place.run("resume", "c", check=False).stderr
    found = layout.detect()
    if "pids" in found.hierarchies:
        place.run("update", "--pids-limit", "17", "c")
        group = Group(found, f"{place.cgroup}/c")
        assert Path(group.directory("pids"), "pids.max").read_text() == "17\n"
    stats = json.loads(place.run("events", "--stats", "c").stdout)
    assert (stats["type"], stats["id"]) == ("stats", "c")
    assert stats["data"]["cpu"]["usage"]["total"] > 0
    place.run("pause", "c")
    place.run("kill", "c", "KILL")  # also when frozen
    until(lambda: place.status() == "stopped")


def test_nothing_of_the_host_gets_in(place: Place) -> None:
    script = (
        "ls -l /proc/self/fd; grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status; mount; ls /sys/firmware"
    )
    config = place.configure("sh", "-c", script)
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    place.write(config)
    secret = place.base / "secret"
    secret.write_text("x")
    with secret.open() as leaked:
        os.set_inheritable(leaked.fileno(), True)
        done = place.run("run", "c", check=False, close_fds=False)
    assert "secret" not in done.stdout
    links = [line for line in done.stdout.splitlines() if " -> " in line]
    assert {line.split(" -> ")[0].split()[-1] for line in links} <= {"0", "1", "2", "3"}  # 3: ls itself
    assert "NoNewPrivs:\t1" in done.stdout
    assert "Seccomp:\t2" in done.stdout
    assert "CapEff:\t0000000020000420" in done.stdout
    assert str(place.base) not in done.stdout.replace(str(place.bundle / "rootfs"), "")
    place.configure("sh", "-c", "mkdir /tmp/x")
    config["process"]["args"] = ["sh", "-c", "mkdir /tmp/x"]
    place.write(config)
    done = place.run("run", "c", check=False)
    assert done.returncode == 1 and "not supported" in done.stderr  # EOPNOTSUPP of the filter


def test_an_image_cannot_plant_modules(place: Place) -> None:
    """Where Python would look, in the container's tree, is a module that says it ran: it must not."""
    import trine.linux

    for directory in (Path(trine.linux.__path__[0]), Path(os.__file__).parent):
        planted = place.bundle / "rootfs" / str(directory).lstrip("/")
        planted.mkdir(parents=True)
        for name in ("seccomp.py", "subprocess.py", "__init__.py", "fcntl.py", "encodings.py", "pwd.py"):
            (planted / name).write_text("import os; os.write(1, b'PLANTED')\n")
    config = place.configure("echo", "fine")
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    place.write(config)
    assert place.run("run", "c").stdout == "fine\n"


def test_the_interpreter_cannot_be_written_through_a_waiting_init(place: Place) -> None:
    """CVE-2019-5736: a container that gets hold of /proc/<pid>/exe finds it on a read-only mount."""
    place.configure("sleep", "600")
    place.create()
    pid = json.loads(place.run("state", "c").stdout)["pid"]
    assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY
    assert not os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY  # it is no property of the file system


def test_hooks_run_in_order_and_know_the_state(place: Place) -> None:
    config = place.configure("sh", "-c", "echo process >> /log/order")
    log = place.base / "log"
    log.mkdir()
    config["mounts"].append({"destination": "/log", "type": "bind", "source": str(log), "options": ["rbind"]})
    config["root"]["readonly"] = False
    host = place.base / "hook.sh"
    host.write_text(f"#!/bin/sh\ncat > {log}/$1.json; echo $1 >> {log}/order\n")
    host.chmod(0o755)
    inner = place.bundle / "rootfs" / "bin" / "hook"
    inner.write_text("#!/bin/sh\ncat > /log/$1.json; echo $1 >> /log/order\n")
    inner.chmod(0o755)
    config["hooks"] = {
        stage: [{"path": str(host), "args": ["hook", stage], "env": ["PATH=/bin:/usr/bin"]}]
        for stage in ("prestart", "createRuntime", "poststart", "poststop")
    }
    config["hooks"]["startContainer"] = [
        {"path": "/bin/hook", "args": ["hook", "startContainer"], "env": ["PATH=/bin"]}
    ]
    place.write(config)
    place.run("run", "c")
    order = (log / "order").read_text().split()
    assert order[:3] == ["prestart", "createRuntime", "startContainer"]
    assert sorted(order[3:]) == ["poststart", "poststop", "process"]
    assert order[-1] == "poststop"
    told = json.loads((log / "createRuntime.json").read_text())
    assert (told["id"], told["status"], told["bundle"]) == ("c", "creating", str(place.bundle))
    assert told["pid"] > 0
    assert json.loads((log / "poststop.json").read_text())["status"] == "stopped"


def test_a_failing_hook_undoes_the_create(place: Place) -> None:
    config = place.configure("true")
    config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]}
    place.write(config)
    done = place.run("run", "c", check=False)
    assert done.stderr == "error running createRuntime hook #0: exit status 3, stderr: no\n"
    assert list(place.root.iterdir()) == []
    assert not Group(layout.detect(), f"{place.cgroup}/c").exists()


def test_a_terminal_by_console_socket(place: Place) -> None:
    place.configure(
        "sh",
        "-c",
        "tty; stty size; echo done; read x",
        terminal=True,
        consoleSize={"height": 20, "width": 60},
    )
    assert "without setting console socket" in place.run("create", "c", check=False).stderr
    path = str(place.base / "console")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        place.create("c", "--console-socket", path)
        connection, _ = listener.accept()
        with connection:
            _, (master,), _, _ = socket.recv_fds(connection, 64, 1)
    place.run("start", "c")
    output = b""
    # It does not end before all is read: with its session's leader a terminal loses what is on its way.
    while not output.endswith(b"done\r\n"):
        output += os.read(master, 4096)
    os.close(master)
    assert output.decode().split() == ["/dev/pts/0", "20", "60", "done"]


def test_preserved_descriptors(place: Place) -> None:
    place.configure("sh", "-c", "cat <&3")
    text = place.base / "text"
    text.write_text("passed on\n")
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'exec 3< {text}; exec "$@"',
            "sh",
            str(COMMAND),
            "--root",
            str(place.root),
            "run",
            "--preserve-fds",
            "1",
            "c",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=place.bundle,
        timeout=60,
        check=False,
    )
    assert done.stdout == "passed on\n"
    done = place.run("run", "--preserve-fds", "5", "c", check=False)
    assert "please check that preserved-fd" in done.stderr


def test_a_create_killed_half_way_can_be_cleared(place: Place) -> None:
    config = place.configure("sleep", "600")
    fifo = place.base / "fifo"
    os.mkfifo(fifo)
    config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"read line < {fifo}"]}]}
    place.write(config)
    process = subprocess.Popen(
        [str(COMMAND), "--root", str(place.root), "create", "c"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=place.bundle,
    )
    until(lambda: (place.root / "c" / "state.json").exists())
    with fifo.open("w"):  # the hook runs now
        process.kill()
        process.wait()
    until(lambda: place.status() == "stopped")  # its init noticed
    place.run("delete", "--force", "c")
    assert list(place.root.iterdir()) == []


def test_somebody_elses_cgroup_is_left_alone(place: Place) -> None:
    other = Group(layout.detect(), f"{place.cgroup}/c")
    other.create()
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        other.join(sleeper.pid)
        place.configure("true")
        done = place.run("create", "c", check=False)
        assert done.stderr == "container's cgroup is not empty: 1 process(es) found\n"
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_stopped_container_cannot_be_started(place: Place) -> None:
    place.configure("sleep", "600")
    place.create()
    place.run("kill", "c", "KILL")
    until(lambda: place.status() == "stopped")
    assert "that has stopped" in place.run("start", "c", check=False).stderr


def test_what_a_kill_left_without_state_is_taken_over(place: Place) -> None:
    place.configure("echo", "again")
    (place.root / "c").mkdir(parents=True)
    (place.root / "c" / "gate").touch()
    assert place.run("run", "c").stdout == "again\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["process"].update(args=[]), "args must not be empty"),
        (lambda c: c["process"].update(cwd="tmp"), "Cwd must be an absolute path"),
        (lambda c: c["process"].update(args=["none-such"]), "executable file not found in $PATH"),
        (lambda c: c["process"].update(args=["/etc/passwd"]), "permission denied"),
        (lambda c: c["root"].update(path="nowhere"), "does not exist"),
        (lambda c: c.pop("process"), "not a container's configuration"),
        (lambda c: c["linux"]["namespaces"].append({"type": "pid"}), "duplicated namespace type pid"),
        (lambda c: c["linux"]["namespaces"].append({"type": "user"}), "user namespaces are not supported"),
        (lambda c: c["linux"]["namespaces"].append({"type": "moon"}), "namespace type moon is not supported"),
        (
            lambda c: c["mounts"].append({"destination": "/x", "type": "bind", "source": "/none-such"}),
            "no such file",
        ),
        (lambda c: c["linux"].update(resources={"cpu": {"cpus": "999"}}), 'failed to write "999"'),
        (lambda c: c["linux"].update(sysctl={"kernel.none_such": "1"}), "kernel/none_such"),
        (lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_X"}), "invalid seccomp action"),
    ],
)
def test_a_bad_bundle_is_one_line_and_leaves_nothing(
    place: Place, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    config = place.configure("true")
    change(config)
    place.write(config)
    log = place.base / "log"
    done = place.run("--log", str(log), "--log-format", "json", "create", "c", check=False)
    assert done.returncode == 1
    assert words in done.stderr and done.stderr.count("\n") == 1
    entry = json.loads(log.read_text().splitlines()[-1])
    assert (entry["level"], entry["msg"]) == ("error", done.stderr.rstrip("\n"))
    assert not place.root.exists() or list(place.root.iterdir()) == []
    assert not Group(layout.detect(), f"{place.cgroup}/c").exists()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a b", "", "x\n"])
def test_a_bad_id(place: Place, name: str) -> None:
    place.configure("true")
    assert "invalid container id format" in place.run("create", name, check=False).stderr
    assert "invalid container id format" in place.run("delete", "--force", name, check=False).stderr


def test_the_command_line(place: Place) -> None:
    assert place.run("--version").stdout.splitlines()[1] == "spec: 1.1.0"
    assert "exec" in place.run("--help").stdout
    assert "--force" in place.run("delete", "--help").stdout
    assert "No help topic for 'frob'" in place.run("frob", check=False).stderr
    assert "flag provided but not defined: -x" in place.run("create", "-x", "c", check=False).stderr
    assert "flag needs an argument: -bundle" in place.run("create", "--bundle", check=False).stderr
    assert "requires" in place.run("state", check=False).stderr
    features = json.loads(place.run("features").stdout)
    assert features["ociVersionMax"] == "1.1.0"
    (place.bundle / "config.json").unlink(missing_ok=True)
    place.run("spec")
    assert json.loads((place.bundle / "config.json").read_text())["process"]["args"] == ["sh"]
    assert "exists. Remove it first" in place.run("spec", check=False).stderr


def test_signals_reach_a_process_in_front(place: Place) -> None:
    place.configure("sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while true; do sleep 0.05; done")
    process = subprocess.Popen(
        [str(COMMAND), "--root", str(place.root), "run", "c"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=place.bundle,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "got\n"
    assert process.wait(20) == 3


@pytest.mark.skipif(not shutil.which("podman"), reason="no podman here")
def test_podman_runs_on_it(place: Place) -> None:
    short = Path(tempfile.mkdtemp(prefix="tp", dir="/tmp"))  # podman wants a runroot below 50 characters

    def podman(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        options = ["--root", f"{short}/root", "--runroot", f"{short}/run", "--tmpdir",
                   f"{short}/tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
                   "--storage-driver", "vfs", "--runtime", str(COMMAND)]  # fmt: skip
        done = subprocess.run(
            ["podman", *options, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    tar = place.base / "image.tar"
    subprocess.run(["tar", "-C", str(place.bundle / "rootfs"), "-cf", str(tar), "."], check=True)
    podman("import", str(tar), "localhost/trine-test:1")
    try:
        run = ("run", "--rm", "--network", "none")
        assert podman(*run, "localhost/trine-test:1", "echo", "hello").stdout == "hello\n"
        assert podman(*run, "localhost/trine-test:1", "none-such", check=False).returncode == 127
        assert podman(*run, "localhost/trine-test:1", "sh", "-c", "exit 9", check=False).returncode == 9
    finally:
        podman("rm", "-af")
        podman("rmi", "-af")
        subprocess.run(["umount", "-l", f"{short}/root/vfs"], capture_output=True, check=False)
        shutil.rmtree(short)
