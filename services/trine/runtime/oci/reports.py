"""What trine-oci prints: list, ps, events, features, and the limits `update` is told."""

from __future__ import annotations

import json
import sys
from typing import Any

from trine.runtime import capability_sets, spec_defaults
from trine.runtime.cgroups import figures
from trine.runtime.failure import ContainerError
from trine.runtime.oci import state as states
from trine.runtime.oci.options import Parsed


def listing(records: list[states.Record], form: str, quiet: bool) -> str:
    """Return the text of `list`. Raises ContainerError for a format that is none."""
    if quiet:
        return "".join(f"{record.id}\n" for record in records)
    rows = [record.summary() for record in records]
    if form == "json":
        return json.dumps(rows or None)
    if form not in ("", "table"):
        raise ContainerError("invalid format option")
    heads = ("id", "pid", "status", "bundle", "created", "owner")
    table = [[head.upper() for head in heads]]
    table += [[str(row[head]) if head != "owner" else row[head] or "root" for head in heads] for row in rows]
    return columns(table)


def columns(table: list[list[str]]) -> str:
    """Return rows as aligned text, at least 12 wide as runc's."""
    widths = [max(12, *(len(row[place]) + 3 for row in table)) for place in range(len(table[0]))]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def processes(record: states.Record, form: str, arguments: list[str]) -> str:
    """Return the text of `ps`. Raises ContainerError."""
    pids = record.group().pids()
    if form == "json":
        return json.dumps(pids)
    if form not in ("", "table"):
        raise ContainerError("invalid format option")
    from trine.runtime import top  # imports subprocess

    try:
        titles, rows = top.run(pids, " ".join(arguments))
    except top.TopError as error:
        raise ContainerError(str(error)) from None
    widths = [max(len(row[place]) for row in [titles, *rows]) for place in range(len(titles) - 1)]
    lines = [
        " ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in [titles, *rows]
    ]
    return "".join(f"{line}\n" for line in lines)


def usage(record: states.Record) -> str:
    """Return one line of `events --stats`, in the form of runc's."""
    now = figures.read(record.group())
    return json.dumps(
        {
            "type": "stats",
            "id": record.id,
            "data": {
                "cpu": {"usage": {"total": now.cpu_nanos}},
                "memory": {
                    "usage": {
                        "limit": now.memory_limit_bytes or (1 << 63) - 4096,
                        "usage": now.memory_bytes,
                        "max": now.memory_peak_bytes,
                    }
                },
                "pids": {"current": now.pids},
                "blkio": {
                    "ioServiceBytesRecursive": [
                        {"op": "Read", "value": now.block_read_bytes},
                        {"op": "Write", "value": now.block_written_bytes},
                    ]
                },
            },
        }
    )


_MOUNT_OPTIONS = (
    "async bind defaults dev diratime exec noatime nodev nodiratime noexec nosuid private rbind relatime "
    "ro rprivate rshared rslave runbindable rw shared slave strictatime suid tmpcopyup unbindable"
)
_LIMITS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-share": ("cpu", "shares"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}


def limits(options: Parsed) -> dict[str, Any]:
    """Return the linux.resources that `update` is told, by flags or as JSON. Raises ContainerError."""
    if source := options.text("resources"):
        try:
            if source == "-":
                found: dict[str, Any] = json.load(sys.stdin)
            else:
                with open(source, "rb") as stream:
                    found = json.load(stream)
            found.pop("devices", None)
            return found
        except (OSError, ValueError, AttributeError) as error:
            raise ContainerError(f"resources: {error}") from None
    result: dict[str, Any] = {}
    for flag, (section, key) in _LIMITS.items():
        if flag in options.values:
            result.setdefault(section, {})[key] = options.number(flag)
    for flag, key in (("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")):
        if flag in options.values:
            result.setdefault("cpu", {})[key] = options.text(flag)
    return result


def features() -> str:
    """Return what this runtime can do (runtime-spec features.md)."""
    from trine.linux import seccomp_filter
    from trine.runtime import seccomp_profile
    from trine.runtime.oci import hooks

    return json.dumps(
        {
            "ociVersionMin": "1.0.0",
            "ociVersionMax": spec_defaults.OCI_VERSION,
            "hooks": [*hooks.BEFORE_PIVOT, "createContainer", "startContainer", "poststart", "poststop"],
            "mountOptions": _MOUNT_OPTIONS.split(),
            "linux": {
                "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "uts"],
                "capabilities": list(capability_sets.NAMES),
                "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
                "seccomp": {
                    "enabled": True,
                    "actions": sorted(seccomp_profile.ACTIONS),
                    "operators": sorted(seccomp_profile.OPERATORS),
                    "archs": sorted({*seccomp_filter.NATIVE.values(), "SCMP_ARCH_X32"}),
                },
                "apparmor": {"enabled": True},
                "selinux": {"enabled": False},
                "mountExtensions": {"idmap": {"enabled": False}},
            },
            "annotations": {},
        },
        indent=4,
    )
