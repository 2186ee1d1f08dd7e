"""Places where an engine can run: the host itself, or a network and mount namespace of its own.

In its own place an engine has the standard bridge, ports and rules for itself, two can run side by
side, and the kernel takes all of it away at the end whatever happened.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# /sys shows the devices of the network namespace that mounted it: mount it anew, but keep cgroups.
_HOLD = r"""
set -e
ip link set lo up
keep=$(mktemp -d)
mount --rbind /sys/fs/cgroup "$keep"
mount -t sysfs sysfs /sys
mount --rbind "$keep" /sys/fs/cgroup
umount -l "$keep"; rmdir "$keep"
echo ready
exec sleep infinity
"""


class Place:
    """The host's namespaces."""

    prefix: tuple[str, ...] = ()
    pid = os.getpid()

    def close(self) -> None:
        """Give the place back."""

    def mountinfo(self) -> str:
        """Return the mounts as this place sees them (proc_pid_mountinfo(5))."""
        return Path(f"/proc/{self.pid}/mountinfo").read_text()

    def command(self, *words: str | os.PathLike[str]) -> list[str]:
        """Return a command line that runs ``words`` here, in the caller's working directory."""
        return [*self.prefix, *(str(word) for word in words)]

    def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread of its own that is in this place's network namespace (setns(2))."""
        return work()


class OwnPlace(Place):
    """A new network namespace (lo up, nothing else) and a mount namespace that follows the host's."""

    def __init__(self) -> None:
        """Make it; it lives until ``close``."""
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "slave", "sh", "-c", _HOLD],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != "ready":
            raise RuntimeError("can't make a network namespace: root is needed")
        self.pid = self._holder.pid

    @property
    def prefix(self) -> tuple[str, ...]:  # type: ignore[override]
        """The words before a command."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt",
                f"--wdns={os.getcwd()}", "--")  # fmt: skip

    def close(self) -> None:
        """End the holder; the kernel removes what nobody else holds."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout:
            self._holder.stdout.close()

    def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread in this network namespace and return what it returns."""
        result: list[T] = []
        failure: list[BaseException] = []

        def enter() -> None:
            try:
                with open(f"/proc/{self.pid}/ns/net") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result.append(work())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result[0]


def connect(first: Place, first_name: str, second: Place, second_name: str) -> None:
    """Join two places by a veth pair with these names on the two sides; the caller sets addresses."""
    temporary = f"tv{os.getpid() % 100000}x"
    subprocess.run(
        ["ip", "link", "add", temporary, "type", "veth", "peer", "name", f"{temporary}p"], check=True
    )
    for device, place, name in ((temporary, first, first_name), (f"{temporary}p", second, second_name)):
        subprocess.run(["ip", "link", "set", device, "netns", str(place.pid), "name", name], check=True)
        subprocess.run(place.command("ip", "link", "set", name, "up"), check=True)


@contextlib.contextmanager
def own_place():  # type: ignore[no-untyped-def]
    """Give an OwnPlace for a ``with`` block."""
    place = OwnPlace()
    try:
        yield place
    finally:
        place.close()
