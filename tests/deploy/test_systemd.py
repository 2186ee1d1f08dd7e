"""deploy/ on a machine that systemd runs: install, use, restart, reboot, separate units, remove.

The tests are one story, told in the order of this file, on one machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import make_images

from support.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("image", "network", "runtime")
WEB = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3"


def wheels() -> Path:
    """Return a folder with all that pip needs to build and install Trine: the machine has no network."""
    key = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()[:12]
    folder = ROOT / ".cache" / "wheels" / key
    if not (folder / "complete").exists():
        command = [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(folder), str(ROOT), "hatchling"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for own in folder.glob("trine-*"):  # the machine builds that one itself
            own.unlink()
        (folder / "complete").touch()
    return folder


def install(machine: Machine, *words: str) -> str:
    """Run deploy/install.sh of this checkout there."""
    return machine.must(
        str(ROOT / "deploy/install.sh"), *words, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels())
    )


def start_registry(machine: Machine) -> None:
    """Start a registry on port 5000 of the machine."""
    images = [word for name in ("hello-world", "busybox") for word in ("--image", name)]
    machine.must(sys.executable, "-m", "tools.registry", "start", "--root", "/var/tmp/registry", *images,
                 cwd=str(ROOT))  # fmt: skip


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    wheels()
    make_images.ensure(("hello-world", "busybox"))
    with Machine() as made:
        made.must("useradd", "--create-home", "bert")
        start_registry(made)
        yield made


def started(machine: Machine) -> str:
    """Return when the container ``web`` was started, and see that its port answers."""
    assert "HTTP/1.1 404" in machine.must("bash", "-c", WEB)
    return machine.must("trine", "inspect", "-f", "{{.Id}} {{.State.StartedAt}} {{.State.Status}}", "web")


def complaints(machine: Machine) -> list[str]:
    """Return the warnings and worse of our units, but for those that KillMode=process and our kills bring."""
    entries = machine.must("journalctl", "-b", "-o", "json", "-p", "warning", "-u", "trine*")
    messages = [json.loads(line)["MESSAGE"] for line in entries.splitlines()]
    usual = ("] away", "left-over process", "usually indicates unclean", "status=9/KILL", "result 'signal'")
    return [text for text in messages if not any(part in text for part in usual)]


@pytest.mark.timeout(300)
def test_install_starts_it_now_and_at_each_boot(machine: Machine) -> None:
    machine.must("mkdir", "-p", "/etc/trine")
    machine.must(
        "sh", "-c", """echo '{"registry-mirrors": ["http://127.0.0.1:5000"]}' >/etc/trine/daemon.json"""
    )
    assert install(machine).splitlines()[-1].startswith("install: trined runs; add people to its group")
    assert machine.must("systemctl", "is-active", "trined", "trine") == "active\nactive\n"
    assert machine.must("systemctl", "is-enabled", "trined") == "enabled\n"
    assert "Hello from Trine!" in machine.must("trine", "run", "hello-world")
    stamp = re.search(
        r"^Trine version [\d.]+, build ([0-9a-f]{7,})$", machine.must("trine", "--version"), re.M
    )
    assert stamp and machine.must("trine", "version").count(stamp[1]) == 2  # client and server
    assert machine.must("stat", "-c", "%a %U:%G", "/run/trine/trine.sock") == "660 root:trine\n"
    assert complaints(machine) == []


def test_the_units_are_as_systemd_wants_them(machine: Machine) -> None:
    units = [*(ROOT / "deploy").glob("*.service"), *(ROOT / "deploy/separate").glob("*.service")]
    result = machine.run("systemd-analyze", "verify", *map(str, units))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_a_member_needs_no_sudo_and_a_stranger_hears_why(machine: Machine) -> None:
    machine.must("useradd", "--create-home", "--groups", "trine", "anna")
    options = ["--name", "web", "--restart", "always", "--stop-timeout", "1", "-p", "8080:80"]
    command = ("trine", "run", "-d", *options, "busybox", "httpd", "-f")
    assert len(machine.must(*command, user="anna")) == 65
    refused = machine.run("trine", "ps", user="bert")
    assert (refused.returncode, refused.stderr) == (
        1,
        "Got permission denied while trying to connect to the Trine daemon socket at "
        "unix:///run/trine/trine.sock: dial unix /run/trine/trine.sock: connect: permission denied\n",
    )


def test_containers_do_not_notice_what_happens_to_the_unit(machine: Machine) -> None:
    before = started(machine)
    # OOMScoreAdjust is for the engine, not for what it runs.
    pid = machine.must("trine", "inspect", "-f", "{{.State.Pid}}", "web").strip()
    assert machine.must("cat", f"/proc/{pid}/oom_score_adj") == "0\n"
    machine.must("systemctl", "restart", "trined")
    assert started(machine) == before
    machine.must("systemctl", "stop", "trined")
    assert "404" in machine.must("bash", "-c", WEB)
    assert "Is the trine daemon running?" in machine.run("trine", "ps").stderr
    machine.must("systemctl", "start", "trined")
    assert started(machine) == before
    machine.must("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "trined")
    wait_for_restart(machine, "trined")
    assert started(machine) == before
    machine.must("systemctl", "daemon-reexec")
    assert started(machine) == before
    assert complaints(machine) == []


def wait_for_restart(machine: Machine, unit: str) -> None:
    """Return when systemd has started a unit again whose process was killed."""
    machine.must("timeout", "30", "sh", "-c", f"""
        until [ "$(systemctl show -P NRestarts {unit})" -ge 1 ]; do sleep 0.1; done
        until [ "$(systemctl is-active {unit})" = active ]; do sleep 0.1; done""")  # fmt: skip
    machine.must("systemctl", "reset-failed", unit)


def test_the_journal_has_levels_and_one_time(machine: Machine) -> None:
    entries = machine.must("journalctl", "-b", "-o", "json", "-u", "trined", "--grep", "serving")
    entry = json.loads(entries.splitlines()[0])
    assert entry["PRIORITY"] == "6"
    assert entry["MESSAGE"].startswith("[info")


def test_after_a_reboot_it_is_there_again(machine: Machine) -> None:
    before = started(machine)
    machine.reboot()
    start_registry(machine)
    machine.must("systemctl", "is-active", "trined")
    after = started(machine)
    assert after.split()[0] == before.split()[0] and after != before
    assert complaints(machine) == []


@pytest.mark.timeout(300)
def test_each_service_as_a_unit_of_its_own(machine: Machine) -> None:
    before = started(machine)
    machine.must("sh", "-c", "echo OPTIONS=--registry-mirror=http://127.0.0.1:5000 >/etc/default/trine-image")
    install(machine, "separate")
    assert started(machine) == before
    units = [f"trine-{name}" for name in SERVICES]
    assert machine.must("systemctl", "is-active", *units, "trined").split() == ["active"] * 4
    children = machine.must("systemctl", "show", "-P", "MainPID", *units).split()
    for unit, pid in zip(units, children, strict=True):
        assert f"/usr/bin/{unit}" in machine.must("cat", f"/proc/{pid}/cmdline")
    for unit in units:
        machine.must("systemctl", "stop", unit)
        assert "web" in machine.must("trine", "ps")
        machine.must("systemctl", "start", unit)
        assert machine.must("trine", "run", "--rm", "busybox", "echo", "hi") == "hi\n"
        machine.must("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
        wait_for_restart(machine, unit)
        assert machine.must("trine", "run", "--rm", "busybox", "echo", "hi") == "hi\n"
        machine.must("systemctl", "restart", unit)
        assert started(machine) == before
    assert complaints(machine) == []


def test_the_image_service_does_all_its_work_confined(machine: Machine) -> None:
    machine.must("trine", "rmi", "hello-world", "--force")
    assert "Downloaded newer image" in machine.must("trine", "pull", "hello-world")
    run = "RUN mkfifo /p && mknod /null c 1 3 && chown 5:6 /p && rm /bin/vi"
    build = f"printf 'FROM busybox\\n{run}\\nADD . /x\\n'"
    machine.must("sh", "-c", f"mkdir /tmp/b && {build} >/tmp/b/Dockerfile && trine build -t made /tmp/b")
    show = machine.must(
        "trine", "run", "--rm", "made", "stat", "-c", "%F %u:%g", "/p", "/null", "/x/Dockerfile"
    )
    assert show == "fifo 5:6\ncharacter special file 0:0\nregular file 0:0\n"
    assert machine.run("trine", "run", "--rm", "made", "vi").returncode == 127
    machine.must("sh", "-c", "trine save made | trine load && trine commit web x && trine diff web")
    exposure = machine.must("systemd-analyze", "security", "--no-pager", "trine-image").splitlines()[-1]
    assert float(exposure.split("service: ")[1].split()[0]) < 5, exposure
    assert complaints(machine) == []


def test_back_to_one_unit_and_off_again(machine: Machine) -> None:
    before = started(machine)
    install(machine)
    assert started(machine) == before
    assert (
        machine.must("systemctl", "list-units", "--plain", "--no-legend", "trine*").split()[0]
        == "trined.service"
    )
    assert "stopping 1 containers" in install(machine, "remove")
    for command in (("ps", "-eo", "args="), ("ip", "-br", "link"), ("iptables-save",)):
        left = machine.must(*command).replace(str(ROOT), "")
        assert "trine" not in left.lower(), left
    for path in ("/run/trine", "/opt/trine", "/usr/bin/trine", "/etc/systemd/system/trined.service"):
        assert machine.run("ls", "-d", path).returncode == 2
    assert machine.must("systemctl", "is-system-running") == "running\n"


def test_an_unknown_word_is_refused() -> None:
    result = subprocess.run(
        [ROOT / "deploy/install.sh", "rmove"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (
        2,
        "install: unknown word rmove; see the head of deploy/install.sh\n",
    )
