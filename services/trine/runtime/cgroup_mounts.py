"""/sys/fs/cgroup inside a container: the v1 hierarchies below a tmpfs, or cgroup2 (cgroups(7)). Lean."""

from __future__ import annotations

import os
from typing import Any

from trine.linux import mount as mounts
from trine.linux import openat2
from trine.runtime.rootfs import Options, mount_error


def hierarchies() -> list[tuple[str, bool]]:
    """Return the v1 hierarchies of this host: (controllers or name, is it only named)."""
    result = []
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            controllers = line.split(":", 2)[1]
            if controllers.startswith("name="):
                result.append((controllers[5:], True))
            elif controllers:
                result.append((controllers, False))
    return result


def mount(root: int, entry: dict[str, Any]) -> None:
    """Mount an OCI mount of type cgroup; we are in the container's cgroups and cgroup namespace.

    Raises ContainerError.
    """
    destination = entry["destination"]
    options = Options(list(entry.get("options") or []))
    attributes = options.set & ~mounts.MOUNT_ATTR_RDONLY
    try:
        target = openat2.make_directories(root, destination)
        found = hierarchies()
        if not found:
            tree = mounts.new_filesystem("cgroup2", [("source", "cgroup")], options.set)
            mounts.attach(tree, target)
            os.close(tree)
            os.close(target)
            return
        tmpfs = mounts.new_filesystem("tmpfs", [("source", "tmpfs"), ("mode", "755")], attributes)
        mounts.attach(tmpfs, target)
        os.close(target)
        for name, named in found:
            _mount_hierarchy(root, destination, name, named, options.set)
        mounts.set_attributes(tmpfs, set_bits=options.set & mounts.MOUNT_ATTR_RDONLY)
        os.close(tmpfs)
    except OSError as error:
        raise mount_error(entry, error.strerror or str(error)) from None


def _mount_hierarchy(root: int, destination: str, name: str, named: bool, attributes: int) -> None:
    wanted: list[tuple[str, str | None]] = [("source", "cgroup")]
    if named:
        wanted += [("none", None), ("name", name)]
    else:
        wanted += [(controller, None) for controller in name.split(",")]
    target = openat2.make_directories(root, f"{destination}/{name}")
    tree = mounts.new_filesystem("cgroup", wanted, attributes)
    mounts.attach(tree, target)
    os.close(tree)
    os.close(target)
    if "," in name:
        for controller in name.split(","):
            parent = openat2.open_path(root, destination)
            os.symlink(name, controller, dir_fd=parent)
            os.close(parent)
