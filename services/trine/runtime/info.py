"""GetRuntimeInfo: what host and kernel can do."""

from __future__ import annotations

import os
from importlib import metadata

from trine.linux import seccomp
from trine.runtime.cgroups import layout as layouts
from trine.runtime.cgroups import limits
from trine.runtime.cgroups.layout import Layout
from trine.runtime.containers import Settings
from trine.v1 import runtime_pb2

INIT_BINARY = "trine-init"


def version() -> str:
    """Return the distribution's version."""
    try:
        return metadata.version("trine")
    except metadata.PackageNotFoundError:
        return "unknown"


def operating_system(text: str) -> str:
    """Return PRETTY_NAME of an os-release(5) file."""
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip("\"'")
    return "Linux"


def describe(layout: Layout, settings: Settings) -> runtime_pb2.GetRuntimeInfoResponse:
    """Return the message; reads a few small files."""
    release = ""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8") as file:
                release = file.read()
            break
        except OSError:
            continue
    options = []
    if seccomp.available():
        profile = "unconfined" if settings.seccomp_unconfined else "default"
        if settings.seccomp_default is not None:
            profile = "custom"
        options.append(f"name=seccomp,profile={profile}")
    if layout.version == 2:
        options.append("name=cgroupns")
    uname = os.uname()
    return runtime_pb2.GetRuntimeInfoResponse(
        version=version(),
        cgroup_version=str(layout.version),
        cgroup_driver="cgroupfs",
        security_options=options,
        warnings=limits.info_warnings(layouts.features(layout), layout.version),
        kernel_version=uname.release,
        operating_system=operating_system(release),
        architecture=uname.machine,
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cgroup_root=settings.cgroup_parent,
        init_binary=INIT_BINARY,
    )
