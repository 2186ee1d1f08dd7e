"""/sys/fs/cgroup inside a container: the v1 hierarchies below a tmpfs, or cgroup2 (cgroups(7)). Lean.

With a cgroup namespace of its own a container's mount begins at its own cgroup. Without one it would
begin at the host's root, so there only the directory of its own cgroup is mounted.
"""

from __future__ import annotations

import os
from typing import Any

from trine.linux import mount as mounts
from trine.linux import openat2
from trine.runtime.rootfs import Options, mount_error


def hierarchies() -> list[tuple[str, bool, str]]:
    """Return the v1 hierarchies of this host: (controllers or name, is it only named, our cgroup in it)."""
    result = []
    for controllers, path in _memberships():
        if controllers.startswith("name="):
            result.append((controllers[5:], True, path))
        elif controllers:
            result.append((controllers, False, path))
    return result


def _memberships() -> list[tuple[str, str]]:
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(":", 2) for line in file]
    return [(row[1], row[2]) for row in rows]


def _attach(tree: int, target: int, path: str) -> None:
    """Attach a hierarchy, or of a hierarchy that begins further up only our directory. Raises OSError."""
    mounts.attach(tree, target)
    if path == "/" or path.startswith("/.."):
        return
    own = mounts.open_tree(tree, path.lstrip("/"), recursive=False)
    mounts.unmount(f"/proc/self/fd/{tree}", mounts.MNT_DETACH)
    mounts.attach(own, target)
    os.close(own)


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
            _attach(tree, target, dict(_memberships()).get("", "/"))
            os.close(tree)
            os.close(target)
            return
        tmpfs = mounts.new_filesystem("tmpfs", [("source", "tmpfs"), ("mode", "755")], attributes)
        mounts.attach(tmpfs, target)
        os.close(target)
        for name, named, path in found:
            _mount_hierarchy(root, f"{destination}/{name}", name, named, path, options.set)
            if "," in name:
                _link_each(root, destination, name)
        mounts.set_attributes(tmpfs, set_bits=options.set & mounts.MOUNT_ATTR_RDONLY)
        os.close(tmpfs)
    except OSError as error:
        raise mount_error(entry, error.strerror or str(error)) from None


def _mount_hierarchy(root: int, where: str, name: str, named: bool, path: str, attributes: int) -> None:
    wanted: list[tuple[str, str | None]] = [("source", "cgroup")]
    if named:
        wanted += [("none", None), ("name", name)]
    else:
        wanted += [(controller, None) for controller in name.split(",")]
    target = openat2.make_directories(root, where)
    tree = mounts.new_filesystem("cgroup", wanted, attributes)
    _attach(tree, target, path)
    os.close(tree)
    os.close(target)


def _link_each(root: int, destination: str, name: str) -> None:
    """Make "cpu" and "cpuacct" links to "cpu,cpuacct"."""
    parent = openat2.open_path(root, destination)
    for controller in name.split(","):
        os.symlink(name, controller, dir_fd=parent)
    os.close(parent)
