"""A machine that boots systemd as its process 1, in namespaces, over a throw-away copy of this host's files.

with Machine() as machine:                       # the host's root under an overlay in memory
    machine.run("systemctl", "is-active", "dbus")
    machine.reboot()                             # what is on its disk stays

Its network has nothing but loopback; its cgroups are a branch of the host's, version 2 as on any Debian 12;
of /proc/sys only net can be written. No unit of the host is started: /etc/systemd/system is empty.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

Result = subprocess.CompletedProcess[str]
SOURCES = Path(__file__).resolve().parents[2]

# What belongs to the kernel, so to the real host: not for a machine in namespaces.
MASKED = "systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger systemd-udev-settle"
DISK = r"""
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"; cd "$1"
mkdir upper work root sources sources-work
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
mount -t tmpfs -o mode=711 tmpfs root/var/lib/trine 2>/dev/null || {
    mkdir -p root/var/lib/trine; mount -t tmpfs -o mode=711 tmpfs root/var/lib/trine; }
rm -rf root/etc/systemd/system/* root/etc/rc?.d root/etc/init.d root/etc/trine root/etc/default/trine*
for unit in $MASKED; do ln -s /dev/null root/etc/systemd/system/$unit.service; done
: >root/etc/fstab; : >root/etc/machine-id; echo machine >root/etc/hostname
mkdir root/.old
echo ready
exec sleep infinity
"""
BOOT = r"""
set -e
cd "$1"
for group in $GROUPS_V1 "$GROUP_V2"; do
    mkdir "$group"
    case $group in */cpuset/*)
        for name in cpus mems; do cat "${group%/*}/cpuset.$name" >"$group/cpuset.$name"; done;;
    esac
    echo $$ >"$group/cgroup.procs"
done
exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh -ec '
mount --rbind root root; cd root
mount -t proc proc proc
mount --bind proc/sys proc/sys; mount --bind proc/sys/net proc/sys/net; mount -o remount,ro,bind proc/sys
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p ".$SOURCES"  # in /tmp, or on a disk of their own, they would be out of sight
mount -t overlay -o lowerdir="$SOURCES",upperdir=../sources,workdir=../sources-work overlay ".$SOURCES"
mount -t tmpfs -o mode=755 tmpfs dev; mkdir dev/pts dev/shm
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
    set -- $node; mknod -m 666 dev/$1 c $2 $3
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ip link set lo up; hostname machine
pivot_root . .old; cd /; umount -l /.old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other \
    /lib/systemd/systemd --log-target=journal systemd.unit=multi-user.target'
"""


def _groups(name: str) -> tuple[list[Path], Path]:
    """Return the machine's cgroup in each hierarchy of version 1, and the one of version 2."""
    old, new = [], Path()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, point = after.split()[0], Path(before.split()[4])
        if kind == "cgroup" and point.parent == Path("/sys/fs/cgroup"):
            old.append(point / name)
        elif kind == "cgroup2":
            new = point / name
    return old, new


class Machine:
    """One machine; it is up when the ``with`` block begins."""

    def __init__(self) -> None:
        """Nothing is made yet."""
        self.root = Path(tempfile.mkdtemp(prefix="machine", dir="/var/tmp"))
        self.groups, self.new_group = _groups(f"trine-test-{self.root.name}")
        self.pid = 0  # of systemd
        self._disk: subprocess.Popen[str] | None = None
        self._boot: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        try:
            self._disk = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", DISK, "sh", str(self.root)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "MASKED": MASKED},
            )  # fmt: skip
            assert self._disk.stdout is not None
            assert self._disk.stdout.readline().strip() == "ready", "root is needed"
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def boot(self) -> None:
        """Start systemd and return when it has started all it should."""
        assert self._disk is not None
        # (unshare complains when its child is killed, as halt does.)
        self._boot = subprocess.Popen(
            ["nsenter", f"--mount=/proc/{self._disk.pid}/ns/mnt", "sh", "-c", BOOT, "sh", str(self.root)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "GROUPS_V1": " ".join(map(str, self.groups)),
                "GROUP_V2": str(self.new_group),
                "SOURCES": str(SOURCES),
            },
        )
        deadline = time.monotonic() + 60
        while not self.pid:
            assert self._boot.poll() is None and time.monotonic() < deadline, "the machine does not boot"
            time.sleep(0.02)
            self.pid = self._systemd()
        up = ("running", "degraded")
        while self.run("systemctl", "is-system-running", "--wait").stdout.strip() not in up:
            assert self._boot.poll() is None and time.monotonic() < deadline, "systemd does not come up"
            time.sleep(0.05)

    def _systemd(self) -> int:
        """Return the process id of the machine's process 1, 0 before it is systemd."""
        assert self._boot is not None
        pid = self._boot.pid
        with contextlib.suppress(FileNotFoundError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return 0

    def halt(self) -> None:
        """Take the power away: everything that runs ends at once."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._boot is not None:
            self._boot.wait(30)
        self.pid, self._boot = 0, None
        for top in [*self.groups, self.new_group]:
            for path in sorted([top, *(p for p in top.rglob("*") if p.is_dir())], reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()

    def reboot(self) -> None:
        """Halt and boot again from the same disk."""
        self.halt()
        self.boot()

    def close(self) -> None:
        """Halt, and forget the disk."""
        self.halt()
        if self._disk is not None:
            self._disk.kill()
            self._disk.wait()
            if self._disk.stdout:
                self._disk.stdout.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def run(
        self, *words: str, user: str = "", cwd: str | Path = "/", timeout: float = 60, **environment: str
    ) -> Result:
        """Run a command on the machine, as root or as ``user``."""
        spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", *spaces, f"--wdns={cwd}",
             *(["runuser", "-u", user, "--"] if user else []), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            env={"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **environment},
        )  # fmt: skip

    def must(self, *words: str, **options: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        result = self.run(*words, **options)  # type: ignore[arg-type]
        said = f"{' '.join(words)}: {result.returncode}\n{result.stdout}{result.stderr}"
        assert result.returncode == 0, said
        return result.stdout
