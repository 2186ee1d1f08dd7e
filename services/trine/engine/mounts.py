"""What is mounted in a container: from -v, --mount, --tmpfs, --volumes-from and the image's volumes.

Order and precedence are Docker's: --volumes-from first, what is given for the same place replaces it,
the image's volumes fill what is left; parents are mounted before what is below them.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from trine.engine.registry import Entry, Registry
from trine.engine.volume_book import check_volume_name
from trine.kit.errors import InvalidArgumentError
from trine.v1 import container_pb2, runtime_pb2, volume_pb2

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_MODES = ("ro", "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated", "default")

_TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
_TMPFS_FLAGS = """
defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime
nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime
strictatime nostrictatime
"""


@dataclass
class VolumeWish:
    """A volume a container needs; name "" asks for an anonymous one."""

    target: str
    name: str
    driver: str = ""
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class MountPlan:
    """Mount points of a container in order, and the volumes to be made for them (by target)."""

    points: dict[str, container_pb2.MountPoint] = field(default_factory=dict)
    volumes: list[VolumeWish] = field(default_factory=list)


def _written(mount: container_pb2.ContainerMount) -> str:
    return ":".join(part for part in (mount.source, mount.target, mount.mode) if part)


def _wrong(mount: container_pb2.ContainerMount, text: str, kind_text: bool = True) -> InvalidArgumentError:
    message = f'invalid mount config for type "{mount.type}": {text}' if kind_text else text
    if mount.from_volume_flag and kind_text:
        message = f"invalid volume specification: '{_written(mount)}': {message}"
    return InvalidArgumentError(message.replace("\n", "\\n"), reason="INVALID_MOUNT")


def _check_tmpfs(mount: container_pb2.ContainerMount) -> None:
    """Refuse an option of --tmpfs that is neither a flag of mount(8) nor one of tmpfs(5)."""
    for option in mount.options:
        parts = option.split("=", 1)
        if option in _TMPFS_FLAGS.split() or (len(parts) == 2 and parts[0] in _TMPFS_VALUES):
            continue
        listed = " ".join(f'"{part}"' for part in parts).replace("\n", "\\n")
        raise InvalidArgumentError(f"invalid tmpfs option [{listed}]", reason="INVALID_MOUNT")


def check_mount(mount: container_pb2.ContainerMount) -> str:
    """Return the clean target of a mount; raises InvalidArgumentError with Docker's text."""
    if mount.type not in ("bind", "volume", "tmpfs"):
        raise InvalidArgumentError(
            f'invalid mount config for type "{mount.type}": mount type unknown', reason="INVALID_MOUNT"
        )
    if not mount.target:
        raise _wrong(mount, "field Target must not be empty")
    if "\0" in mount.target + mount.source:
        raise InvalidArgumentError("invalid mount path: it holds a NUL byte", reason="INVALID_MOUNT")
    if not mount.target.startswith("/"):
        message = f"invalid mount path: '{mount.target}' mount path must be absolute"
        raise _wrong(mount, message, kind_text=mount.type != "tmpfs")
    target = posixpath.normpath("/" + mount.target.lstrip("/"))
    if target == "/":
        raise _wrong(mount, "invalid specification: destination can't be '/'")
    for word in [word for word in mount.mode.split(",") if word]:
        if word not in _MODES and word not in _PROPAGATIONS:
            raise _wrong(mount, f"invalid mode: {mount.mode}", kind_text=False)
    if mount.propagation and mount.propagation not in _PROPAGATIONS:
        raise _wrong(mount, f"invalid propagation mode: {mount.propagation}")
    if mount.type == "bind":
        _check_bind(mount)
    elif mount.type == "volume":
        if mount.propagation:
            raise _wrong(mount, "propagation must not be set for a volume mount")
        if mount.source:
            check_volume_name(mount.source)
    else:
        if mount.source:
            raise _wrong(mount, "field Source must not be specified")
        _check_tmpfs(mount)
    return target


def _check_bind(mount: container_pb2.ContainerMount) -> None:
    if not mount.source:
        raise _wrong(mount, "field Source must not be empty")
    if not mount.source.startswith("/"):
        raise _wrong(mount, f"invalid mount path: '{mount.source}' mount path must be absolute")
    if not mount.from_volume_flag and not os.path.lexists(mount.source):
        raise _wrong(mount, f"bind source path does not exist: {mount.source}")


def plan_mounts(config: container_pb2.ContainerConfig, registry: Registry) -> MountPlan:
    """Return what to mount for an effective configuration.

    Raises InvalidArgumentError for a bad or doubled mount, NotFoundError for a container of
    --volumes-from that is not there.
    """
    plan = MountPlan()
    for text in config.volumes_from:
        _volumes_from(plan, text, registry)
    given: set[str] = set()
    for mount in config.mounts:
        target = check_mount(mount)
        if target in given:
            raise InvalidArgumentError(f"Duplicate mount point: {target}", reason="DUPLICATE_MOUNT")
        given.add(target)
        plan.points.pop(target, None)
        if mount.type == "tmpfs":
            if mount.tmpfs_size_bytes or mount.tmpfs_mode:
                plan.points[target] = container_pb2.MountPoint(
                    type="tmpfs", destination=target, writable=not mount.read_only
                )
            continue
        point = container_pb2.MountPoint(
            type=mount.type,
            source=posixpath.normpath(mount.source) if mount.type == "bind" else "",
            name=mount.source if mount.type == "volume" else "",
            destination=target,
            driver="local" if mount.type == "volume" else "",
            # Docker's default for a volume that has a name, or was asked for by --mount.
            mode=mount.mode
            or ("z" if mount.type == "volume" and (mount.source or not mount.from_volume_flag) else ""),
            writable=not mount.read_only,
            propagation=(mount.propagation or "rprivate") if mount.type == "bind" else "",
        )
        plan.points[target] = point
        if mount.type == "volume":
            driver = mount.volume_driver or config.volume_driver
            wish = VolumeWish(target, mount.source, driver)
            wish.options.update(mount.volume_driver_options)
            wish.labels.update(mount.volume_labels)
            plan.volumes.append(wish)
    for path in config.anonymous_volumes:
        target = posixpath.normpath("/" + path.lstrip("/"))
        if target == "/":
            raise InvalidArgumentError("invalid volume: the root directory cannot be a volume")
        if target in plan.points or target in given:
            continue
        plan.points[target] = container_pb2.MountPoint(
            type="volume", destination=target, driver="local", writable=True
        )
        plan.volumes.append(VolumeWish(target, "", config.volume_driver))
    return plan


def _volumes_from(plan: MountPlan, text: str, registry: Registry) -> None:
    reference, _, mode = text.partition(":")
    if not reference or (mode and mode not in ("ro", "rw", "z", "Z")):
        raise InvalidArgumentError(
            f"invalid mode: {mode}" if reference else "volumes-from specification cannot be an empty string"
        )
    source = registry.find(reference)
    for point in source.container.mounts:
        if point.type == "tmpfs":
            continue
        copy = container_pb2.MountPoint()
        copy.CopyFrom(point)
        copy.writable = point.writable and mode != "ro"
        copy.mode = mode or point.mode
        plan.points[copy.destination] = copy


def runtime_mounts(entry: Entry, volumes: dict[str, volume_pb2.Volume]) -> list[runtime_pb2.MountSpec]:
    """Return the runtime's mounts of a container, parents first."""
    wishes = {posixpath.normpath(m.target): m for m in entry.config.mounts}
    specs: list[runtime_pb2.MountSpec] = []
    for point in entry.container.mounts:
        wish = wishes.get(point.destination, container_pb2.ContainerMount())
        if point.type == "bind":
            specs.append(
                runtime_pb2.MountSpec(
                    kind=runtime_pb2.MOUNT_KIND_BIND,
                    source=point.source,
                    target=point.destination,
                    read_only=not point.writable,
                    propagation=point.propagation,
                    non_recursive=wish.non_recursive,
                )
            )
        elif point.type == "volume":
            specs.append(_volume_mount(entry, point, wish, volumes.get(point.name)))
    for target, wish in wishes.items():
        if wish.type == "tmpfs":
            specs.append(
                runtime_pb2.MountSpec(
                    kind=runtime_pb2.MOUNT_KIND_TMPFS,
                    target=target,
                    read_only=wish.read_only or "ro" in wish.options,
                    tmpfs_size_bytes=wish.tmpfs_size_bytes,
                    tmpfs_mode=wish.tmpfs_mode,
                    options=wish.options,
                )
            )
    return sorted(specs, key=lambda spec: spec.target.count("/"))


def is_bind_volume(options: Mapping[str, str]) -> bool:
    """Tell whether a volume's options name a directory of the host (type=none,o=bind)."""
    return options.get("type", "") in ("none", "bind") or "bind" in options.get("o", "").split(",")


def _volume_mount(
    entry: Entry,
    point: container_pb2.MountPoint,
    wish: container_pb2.ContainerMount,
    volume: volume_pb2.Volume | None,
) -> runtime_pb2.MountSpec:
    options = dict(volume.options) if volume is not None else {}
    words = [word for word in options.get("o", "").split(",") if word]
    spec = runtime_pb2.MountSpec(
        kind=runtime_pb2.MOUNT_KIND_BIND,
        source=point.source,
        target=point.destination,
        read_only=not point.writable,
        copy_up=not (entry.private.filled or wish.no_copy or "nocopy" in wish.mode.split(",")),
    )
    if not options:
        return spec
    if is_bind_volume(options):
        # The directory itself, without a mount on the host in between.
        spec.source = options.get("device", "")
        spec.read_only = spec.read_only or "ro" in words
        return spec
    # Anything else, tmpfs too, the kernel mounts in the container: nothing of ours is mounted on the host.
    spec.kind = runtime_pb2.MOUNT_KIND_FILESYSTEM
    spec.filesystem_type = options["type"]
    spec.source = options.get("device", "")
    spec.options[:] = words
    spec.copy_up = False
    return spec
