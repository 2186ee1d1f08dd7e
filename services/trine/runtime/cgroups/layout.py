"""Where control groups are mounted on this host, and what each hierarchy can do (cgroups(7))."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

LEGACY = "legacy"  # version 1 hierarchies only
HYBRID = "hybrid"  # version 1 hierarchies with the controllers, and a version 2 tree beside them
UNIFIED = "unified"  # version 2 only

V1_CONTROLLERS = (
    "freezer",
    "pids",
    "devices",
    "memory",
    "cpu",
    "cpuacct",
    "cpuset",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
)


class CgroupError(OSError):
    """Control groups that cannot be used as asked; one line for the user."""


class Layout(NamedTuple):
    """What is mounted where.

    ``hierarchies`` maps a version 1 controller (or "name=systemd") to its mount point; controllers
    mounted together have the same one. ``unified`` is the mount point of the version 2 tree, or "".
    ``own`` maps the same names ("" for version 2) to the cgroup this process is in.
    """

    hierarchies: Mapping[str, str] = MappingProxyType({})
    unified: str = ""
    unified_controllers: frozenset[str] = frozenset()
    own: Mapping[str, str] = MappingProxyType({})

    @property
    def mode(self) -> str:
        """Return LEGACY, HYBRID or UNIFIED."""
        if not self.has_v1:
            return UNIFIED
        return HYBRID if self.unified else LEGACY

    @property
    def has_v1(self) -> bool:
        """Tell whether limits go to version 1 hierarchies."""
        return any(name in V1_CONTROLLERS for name in self.hierarchies)

    @property
    def version(self) -> int:
        """Return 1 or 2: which kind carries the limits (what `info` calls "Cgroup Version")."""
        return 1 if self.has_v1 else 2

    def roots(self) -> list[str]:
        """Return every mount point once, in a fixed order; a container gets a directory below each.

        Of a hybrid host's version 2 tree too: it gives ``cgroup.kill`` and ``cgroup.events``.
        """
        found: dict[str, None] = {}
        for name in V1_CONTROLLERS:
            if name in self.hierarchies:
                found[self.hierarchies[name]] = None
        for name in sorted(self.hierarchies):
            found[self.hierarchies[name]] = None
        if self.unified:
            found[self.unified] = None
        return list(found)

    def root_of(self, controller: str) -> str:
        """Return the mount point where a controller is, "" when it is nowhere."""
        if controller in self.hierarchies:
            return self.hierarchies[controller]
        return self.unified if not self.has_v1 else ""

    def inside(self) -> list[tuple[str, str, str]]:
        """Return what a container with a cgroup namespace mounts below /sys/fs/cgroup.

        Each entry is (directory name, file system type, mount data). With version 2 alone there is one
        entry whose name is empty: /sys/fs/cgroup itself. A directory with a comma ("cpu,cpuacct") is
        also known by each of its names: make links.
        """
        if not self.has_v1:
            return [("", "cgroup2", "")]
        by_mount: dict[str, list[str]] = {}
        for name, where in self.hierarchies.items():
            by_mount.setdefault(where, []).append(name)
        return [
            (os.path.basename(where), "cgroup", ",".join(names)) for where, names in sorted(by_mount.items())
        ]


def parse(mountinfo: str, own: str, unified_controllers: str = "") -> Layout:
    """Return the layout that texts of the kernel describe (pure).

    Args:
        mountinfo: /proc/self/mountinfo (proc_pid_mountinfo(5)).
        own: /proc/self/cgroup (cgroups(7)).
        unified_controllers: cgroup.controllers of the version 2 root.
    """
    hierarchies: dict[str, str] = {}
    unified = ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        if kind not in ("cgroup", "cgroup2"):
            continue
        where = before.split(" ")[4]
        if kind == "cgroup2":
            unified = unified or where
            continue
        for option in options.rpartition(" ")[2].split(","):
            if option in V1_CONTROLLERS or option.startswith("name="):
                hierarchies.setdefault(option, where)
    mine: dict[str, str] = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            mine[name] = path
    return Layout(hierarchies, unified, frozenset(unified_controllers.split()), mine)


def detect() -> Layout:
    """Return this host's layout (about 0.2 ms; keep it)."""
    with open("/proc/self/mountinfo") as stream:
        mountinfo = stream.read()
    with open("/proc/self/cgroup") as stream:
        own = stream.read()
    layout = parse(mountinfo, own)
    if not layout.unified:
        return layout
    try:
        with open(f"{layout.unified}/cgroup.controllers") as stream:
            controllers = stream.read()
    except OSError:
        # Listed, but hidden below another mount: not there for us.
        return layout._replace(unified="")
    return parse(mountinfo, own, controllers)


def prime(layout: Layout) -> None:
    """Write this process into the cgroup it is already in, and lose the wait others would have.

    The first write to any cgroup.procs after a quiet time waits for an RCU grace period (12 to 15 ms);
    those of the next milliseconds do not. A helper does this when a create arrives, while the
    create itself still makes directories. Failure is no matter: it only was to save time.
    """
    for name, root in (("freezer", layout.hierarchies.get("freezer", "")), ("", layout.unified)):
        if not root or name not in layout.own:
            continue
        try:
            target = os.open(f"{root}{layout.own[name].rstrip('/')}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.write(target, b"0")
            return
        except OSError:
            continue
        finally:
            os.close(target)


def available(layout: Layout) -> tuple[str, str]:
    """Return the CPUs and memory nodes containers may be given ("0-3", "0"); empty where cpuset is not."""
    root = layout.root_of("cpuset")
    found = []
    for name in ("cpus", "mems"):
        text = ""
        for file in (f"cpuset.{name}", f"cpuset.{name}.effective"):
            try:
                with open(f"{root}/{file}") as stream:
                    text = stream.read().strip()
                break
            except OSError:
                continue
        found.append(text)
    return found[0], found[1]


def features(layout: Layout) -> frozenset[str]:
    """Return what can be limited here, by the names ``limits`` uses.

    "memory", "swap", "reservation", "kernel_memory", "swappiness", "oom_kill_disable", "cpu_shares",
    "cpu_quota", "cpu_realtime", "cpuset", "pids", "blkio_weight", "blkio_weight_device", "blkio_throttle",
    "devices", "freezer".
    """
    if not layout.has_v1:
        return _unified_features(layout)
    probes = {
        "memory": ("memory", "memory.limit_in_bytes"),
        "swap": ("memory", "memory.memsw.limit_in_bytes"),
        "reservation": ("memory", "memory.soft_limit_in_bytes"),
        "swappiness": ("memory", "memory.swappiness"),
        "oom_kill_disable": ("memory", "memory.oom_control"),
        "cpu_shares": ("cpu", "cpu.shares"),
        "cpu_quota": ("cpu", "cpu.cfs_quota_us"),
        "cpuset": ("cpuset", "cpuset.cpus"),
        "pids": ("pids", "cgroup.procs"),
        "blkio_weight": ("blkio", "blkio.weight"),
        "blkio_weight_device": ("blkio", "blkio.weight_device"),
        "blkio_throttle": ("blkio", "blkio.throttle.read_bps_device"),
        "cpu_realtime": ("cpu", "cpu.rt_period_us"),
        "devices": ("devices", "devices.list"),
        "freezer": ("freezer", "cgroup.procs"),
    }
    # Kernel memory is left out: 5.16 and later refuse the write, and Docker has deprecated it.
    return frozenset(
        name
        for name, (controller, file) in probes.items()
        if controller in layout.hierarchies and os.path.exists(f"{layout.hierarchies[controller]}/{file}")
    )


def _unified_features(layout: Layout) -> frozenset[str]:
    have = layout.unified_controllers
    found = {"freezer", "devices"}
    if "memory" in have:
        found |= {"memory", "reservation"}
        if os.path.exists("/proc/swaps"):
            found.add("swap")
    if "cpu" in have:
        found |= {"cpu_shares", "cpu_quota"}
    if "io" in have:
        found |= {"blkio_weight", "blkio_weight_device", "blkio_throttle"}
    return frozenset(found | (have & {"cpuset", "pids"}))
