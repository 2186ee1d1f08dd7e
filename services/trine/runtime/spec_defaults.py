"""What Docker 20.10 puts in every container by default: mounts, masks; and a bare config.json.

Pure tables; fresh lists and dicts at each call, so that a caller may change them.
"""

from __future__ import annotations

from typing import Any

from trine.runtime import devices

OCI_VERSION = "1.1.0"

MASKED_PATHS: tuple[str, ...] = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",  # CVE-2020-8694; Docker has it since 24.0.7
)
READONLY_PATHS: tuple[str, ...] = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def default_mounts() -> list[dict[str, Any]]:
    """Return /proc, /dev, /dev/pts, /sys and /sys/fs/cgroup as Docker mounts them, outer ones first."""
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev"),
    ]


def mqueue_mount() -> dict[str, Any]:
    """Return the mount of /dev/mqueue (an IPC namespace's own)."""
    return _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")


def shm_mount(size_bytes: int) -> dict[str, Any]:
    """Return the mount of /dev/shm with a bound."""
    return _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={size_bytes}")


def bare_config() -> dict[str, Any]:
    """Return the config.json that ``trine-oci spec`` writes: a shell on a terminal in ./rootfs."""
    capabilities = ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "trine",
        "mounts": [*default_mounts(), mqueue_mount(), shm_mount(64 << 20)],
        "linux": {
            "resources": {"devices": [dict(devices.DENY_ALL)]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }
