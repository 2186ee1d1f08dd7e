"""From a CreateRuntimeContainerRequest to an OCI runtime-spec 1.1 configuration (config.json).

Pure: a message and facts about the host in, a dict out. Nothing is looked up, opened or made here;
what must be looked up (devices, another container's namespaces) comes as functions in ``HostFacts``.

What OCI has no word for is under the private key ``"trine"``:

* ``overlay``: ``{"lower": [topmost first], "upper": …, "work": …}`` to mount at ``root.path`` inside
  the container's mount namespace, or None when ``root.path`` is a directory as it is;
* ``copy_up``: targets of bind mounts whose empty source is first filled from the image;
* ``managed_files``: ``[{"target": "/etc/hosts", "source": …}]``, already in ``mounts``; written by the
  service before;
* ``shared_shm``: path of a process' mount namespace whose /dev/shm this container uses, or None;
* ``log``: ``{"driver", "options", "path"}``; ``init``: a small init as process 1;
* ``open_stdin``, ``stdin_once``: of the container's process.

The user stays text, because names mean what the *container's* /etc/passwd says: annotations
``trine.user`` ("user[:group]", maybe empty) and ``trine.groups`` (additional ones, comma separated).
``process.user`` is only what a runtime without such look-ups would take.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trine.runtime import capability_sets, devices, seccomp_profile, sysctls
from trine.runtime.spec_defaults import (
    MASKED_PATHS,
    OCI_VERSION,
    READONLY_PATHS,
    default_mounts,
    mqueue_mount,
    shm_mount,
)

if TYPE_CHECKING:
    from trine.v1 import image_pb2, runtime_pb2

USER_ANNOTATION = "trine.user"
GROUPS_ANNOTATION = "trine.groups"
DEFAULT_SHM_BYTES = 64 << 20
_NO_LIMIT = (1 << 64) - 1  # RLIM_INFINITY
_CPU_PERIOD_MICROS = 100_000
_READ_ONLY_ROOT_KEEPS = frozenset({"/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"})


class SpecError(ValueError):
    """A request no container can be made from; one line in Docker's words."""


def _no_namespace(container_id: str, kind: str) -> str:
    raise SpecError(f"No such container: {container_id}")


@dataclass(frozen=True)
class HostFacts:
    """What the spec must know of the host and of the service's own configuration."""

    state_directory: str  # <exec-root>/runtime/<id>; the root file system is mounted at <it>/rootfs
    managed_directory: str  # <data-root>/runtime/containers/<id>; managed files and log
    cgroup_parent: str = "/trine"
    capabilities_mask: int = capability_sets.ALL_MASK  # the service's bounding set
    kernel_version: tuple[int, int] = (6, 0)
    architecture: str = "x86_64"  # uname -m
    default_ulimits: Sequence[tuple[str, int, int]] = ()  # --default-ulimit: name, soft, hard
    seccomp_default: Mapping[str, Any] | None = None  # --seccomp-profile; None: our own
    seccomp_unconfined: bool = False  # --seccomp-profile unconfined, or a kernel without it
    apparmor: bool = False  # the kernel has it
    scan_devices: Callable[[str, str], list[devices.DeviceNode]] = field(default=devices.scan)
    missing_paths: frozenset[str] = frozenset()  # of /dev/mqueue and /dev/shm, what the host has not
    namespace_path: Callable[[str, str], str] = field(default=_no_namespace)
    """(container id, "pid"|"ipc"|"net"|"mnt"|…) → /proc/<pid>/ns/…; raises SpecError when it does not run."""


_LOCAL_LOG = {"max-size": "20m", "max-file": "5"}  # what Docker's local driver keeps


def oci_spec(request: runtime_pb2.CreateRuntimeContainerRequest, facts: HostFacts) -> dict[str, Any]:
    """Return the config.json of a container (runtime-spec 1.1) with the private key "trine".

    Args:
        request: what the engine asks for.
        facts: what is true here.

    Raises:
        SpecError, capability_sets.CapabilityError, devices.DeviceError,
        seccomp_profile.ProfileError: all ValueErrors with one line for the user.
    """
    _check_texts(request)
    security = request.security
    capabilities = capability_sets.granted(
        security.capabilities_add,
        security.capabilities_drop,
        security.privileged,
        facts.capabilities_mask,
    )
    mounts, propagation = _mounts(request, facts)
    nodes, device_rules = _devices(request, facts)
    unmasked = security.privileged or security.unmask_system_paths
    linux: dict[str, Any] = {
        "namespaces": _namespaces(request.namespaces, facts),
        "cgroupsPath": f"{(request.cgroup_parent or facts.cgroup_parent).rstrip('/')}/{request.id}",
        "resources": {**resources(request.resources), "devices": device_rules},
        "devices": [node.as_oci() for node in nodes],
        "rootfsPropagation": propagation,
        "maskedPaths": [] if unmasked else list(MASKED_PATHS),
        "readonlyPaths": [] if unmasked else list(READONLY_PATHS),
        "sysctl": _sysctls(request),
    }
    profile = _seccomp(security, capabilities, facts)
    if profile is not None:
        linux["seccomp"] = profile
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(request, capabilities, facts),
        "root": {
            "path": f"{facts.state_directory}/rootfs" if request.HasField("root") else request.root_path,
            "readonly": request.read_only_root,
        },
        "hostname": request.hostname,
        "domainname": request.domainname,
        "mounts": mounts,
        "linux": linux,
        "annotations": {
            USER_ANNOTATION: request.process.user,
            GROUPS_ANNOTATION: ",".join(request.process.additional_groups),
        },
        "trine": _private(request, facts),
    }


def process_spec(
    process: runtime_pb2.ProcessSpec, container: Mapping[str, Any], capabilities_mask: int
) -> dict[str, Any]:
    """Return the OCI process of an exec in a container made from ``container`` (its config.json).

    Capabilities are the container's own, or all the host grants with ``privileged``; the resource
    limits are the container's where the request names none. ``annotations`` rides along in the same
    form as in a config.json.
    """
    own = container["process"]
    names = capability_sets.from_mask(capabilities_mask)
    result = _process_base(process)
    result["capabilities"] = capability_lists(names) if process.privileged else own["capabilities"]
    result["noNewPrivileges"] = own.get("noNewPrivileges", False)
    result["oomScoreAdj"] = own.get("oomScoreAdj", 0)
    result["rlimits"] = _rlimits(process.resource_limits) or own.get("rlimits", [])
    result["annotations"] = {
        USER_ANNOTATION: process.user,
        GROUPS_ANNOTATION: ",".join(process.additional_groups),
    }
    return result


def capability_lists(names: Sequence[str]) -> dict[str, list[str]]:
    """Return process.capabilities: inheritable and ambient stay empty, as since Docker 20.10.14."""
    return {
        "bounding": list(names),
        "effective": list(names),
        "permitted": list(names),
        "inheritable": [],
        "ambient": [],
    }


DeviceNumber = Callable[[str], tuple[int, int]]


def resources(wanted: image_pb2.Resources, device_number: DeviceNumber = devices.number) -> dict[str, Any]:
    """Return linux.resources (without devices) of the limits that are set.

    ``nano_cpus`` becomes a quota over 100 ms; memory without a swap limit allows as much swap again.
    """
    result: dict[str, Any] = {}
    memory = {
        "limit": wanted.memory_bytes,
        "reservation": wanted.memory_reservation_bytes,
        "swap": wanted.memory_swap_bytes or 2 * wanted.memory_bytes,
        "kernel": wanted.kernel_memory_bytes,
    }
    memory = {key: value for key, value in memory.items() if value}
    if wanted.memory_swappiness_set:
        memory["swappiness"] = wanted.memory_swappiness
    if wanted.oom_kill_disable:
        memory["disableOOMKiller"] = True
    cpu: dict[str, Any] = {
        "shares": wanted.cpu_shares,
        "period": wanted.cpu_period_micros,
        "quota": wanted.cpu_quota_micros,
        "realtimePeriod": wanted.cpu_realtime_period_micros,
        "realtimeRuntime": wanted.cpu_realtime_runtime_micros,
        "cpus": wanted.cpuset_cpus,
        "mems": wanted.cpuset_mems,
    }
    if wanted.nano_cpus:
        cpu["period"] = _CPU_PERIOD_MICROS
        cpu["quota"] = wanted.nano_cpus * _CPU_PERIOD_MICROS // 1_000_000_000
    cpu = {key: value for key, value in cpu.items() if value}
    for name, section in (("memory", memory), ("cpu", cpu)):
        if section:
            result[name] = section
    if wanted.pids_limit:
        result["pids"] = {"limit": wanted.pids_limit}
    block = _block_io(wanted, device_number)
    if block:
        result["blockIO"] = block
    return result


def _block_io(wanted: image_pb2.Resources, device_number: DeviceNumber) -> dict[str, Any]:
    """Return linux.resources.blockIO; raises devices.DeviceError for a device that is not there."""
    block: dict[str, Any] = {"weight": wanted.blkio_weight} if wanted.blkio_weight else {}
    for key, value, entries in (
        ("weightDevice", "weight", wanted.blkio_weight_devices),
        ("throttleReadBpsDevice", "rate", wanted.device_read_bps),
        ("throttleWriteBpsDevice", "rate", wanted.device_write_bps),
        ("throttleReadIOPSDevice", "rate", wanted.device_read_iops),
        ("throttleWriteIOPSDevice", "rate", wanted.device_write_iops),
    ):
        found = []
        for entry in entries:
            major, minor = device_number(entry.path)
            found.append({"major": major, "minor": minor, value: entry.rate})
        if found:
            block[key] = found
    return block


def _check_texts(request: runtime_pb2.CreateRuntimeContainerRequest) -> None:
    """Refuse what execve(2) and mount(2) would cut short without a word: a NUL; and no command at all."""
    process = request.process
    if not process.args:
        raise SpecError("No command specified")
    texts = [*process.args, *process.env, process.working_directory, process.user]
    texts += [request.hostname, request.domainname, request.root_path, request.cgroup_parent]
    texts += [text for mount in request.mounts for text in (mount.source, mount.target, *mount.options)]
    texts += [text for device in request.devices for text in (device.host_path, device.container_path)]
    texts += [file.target for file in request.managed_files]
    for text in texts:
        if "\0" in text:
            raise SpecError("invalid argument: a NUL in " + repr(text))
    if ".." in request.cgroup_parent.split("/"):
        raise SpecError(f"invalid cgroup parent: {request.cgroup_parent}")


def _process(
    request: runtime_pb2.CreateRuntimeContainerRequest, capabilities: list[str], facts: HostFacts
) -> dict[str, Any]:
    result = _process_base(request.process)
    result["capabilities"] = capability_lists(capabilities)
    result["noNewPrivileges"] = request.security.no_new_privileges
    result["oomScoreAdj"] = request.oom_score_adjustment
    result["rlimits"] = _rlimits(request.process.resource_limits, facts.default_ulimits)
    profile = request.security.apparmor_profile
    if facts.apparmor and profile and profile != "unconfined" and not request.security.privileged:
        result["apparmorProfile"] = profile
    return result


def _process_base(process: runtime_pb2.ProcessSpec) -> dict[str, Any]:
    result: dict[str, Any] = {
        "args": list(process.args),
        "env": list(process.env),
        "cwd": process.working_directory or "/",
        "user": _plain_user(process.user),
        "terminal": process.terminal,
    }
    if process.terminal and (process.terminal_rows or process.terminal_columns):
        result["consoleSize"] = {"height": process.terminal_rows, "width": process.terminal_columns}
    return result


def _plain_user(text: str) -> dict[str, int]:
    user, _, group = text.partition(":")
    return {
        "uid": int(user) if user.isdecimal() else 0,
        "gid": int(group) if group.isdecimal() else 0,
    }


def _rlimits(
    asked: Iterable[runtime_pb2.ResourceLimit], defaults: Iterable[tuple[str, int, int]] = ()
) -> list[dict[str, Any]]:
    chosen = {name: (soft, hard) for name, soft, hard in defaults}
    chosen.update((limit.name, (limit.soft, limit.hard)) for limit in asked)
    return [
        {
            "type": f"RLIMIT_{name.upper()}",
            "soft": _NO_LIMIT if soft < 0 else soft,
            "hard": _NO_LIMIT if hard < 0 else hard,
        }
        for name, (soft, hard) in chosen.items()
    ]


def _namespaces(wanted: runtime_pb2.NamespaceSpec, facts: HostFacts) -> list[dict[str, str]]:
    result = [{"type": "mount"}]

    def add(kind: str, choice: str, short: str) -> None:
        if choice == "host":
            return
        if choice.startswith("container:"):
            path = facts.namespace_path(choice.removeprefix("container:"), short)
            result.append({"type": kind, "path": path})
        elif choice.startswith("/"):
            result.append({"type": kind, "path": choice})
        else:
            result.append({"type": kind})

    add("network", wanted.network, "net")
    add("uts", wanted.uts, "uts")
    add("pid", wanted.pid, "pid")
    add("ipc", wanted.ipc, "ipc")
    add("cgroup", wanted.cgroup, "cgroup")
    return result


def _sysctls(request: runtime_pb2.CreateRuntimeContainerRequest) -> dict[str, str]:
    result: dict[str, str] = {}
    if not request.namespaces.network:
        # As Docker 20.10: ping and low ports need no capability inside a network namespace of its own. Who
        # made one for us has set what was asked for there, and another container's is not ours to change.
        result["net.ipv4.ping_group_range"] = "0 2147483647"
        result["net.ipv4.ip_unprivileged_port_start"] = "0"
    for name in sorted(request.sysctls):
        refusal = sysctls.refusal(name, request.namespaces)
        if refusal:
            raise SpecError(f"OCI runtime create failed: runc create failed: {refusal}: unknown")
        result[name] = request.sysctls[name]
    return result


def _seccomp(
    security: runtime_pb2.SecuritySpec, capabilities: list[str], facts: HostFacts
) -> dict[str, Any] | None:
    text = security.seccomp_profile
    if security.privileged or text == "unconfined":
        return None
    if text:
        profile: Mapping[str, Any] = seccomp_profile.parse(text)
    elif facts.seccomp_unconfined:
        return None
    else:
        profile = facts.seccomp_default or seccomp_profile.DEFAULT
    return seccomp_profile.resolve(profile, capabilities, facts.architecture, facts.kernel_version)


def _devices(
    request: runtime_pb2.CreateRuntimeContainerRequest, facts: HostFacts
) -> tuple[list[devices.DeviceNode], list[dict[str, Any]]]:
    """Return the nodes beyond the default ones, and the device cgroup's rules."""
    if request.security.privileged:
        default = {node.path for node in devices.DEFAULT_NODES}
        nodes = [node for node in facts.scan_devices("/dev", "/dev") if node.path not in default]
        return nodes, [dict(devices.ALLOW_ALL)]
    nodes, rules = [], [dict(entry) for entry in devices.DEFAULT_RULES]
    for wanted in request.devices:
        access = devices.check_access(wanted.permissions)
        found = facts.scan_devices(wanted.host_path, wanted.container_path or wanted.host_path)
        nodes.extend(found)
        rules.extend(node.as_rule(access) for node in found)
    rules.extend(devices.parse_rule(text) for text in request.security.device_cgroup_rules)
    return nodes, rules


def _mounts(
    request: runtime_pb2.CreateRuntimeContainerRequest, facts: HostFacts
) -> tuple[list[dict[str, Any]], str]:
    """Return all mounts in order, and the propagation of the root they need."""
    targets = {posixpath.normpath(mount.target) for mount in request.mounts}
    own_dev = "/dev" in targets
    result = [
        mount
        for mount in _default_mounts(request, facts)
        if mount["destination"] not in targets and not (own_dev and mount["destination"].startswith("/dev/"))
    ]
    propagation = "rprivate"
    # Outer ones first, whatever order they were asked for: else /a would hide /a/b.
    for mount in sorted(request.mounts, key=lambda m: posixpath.normpath(m.target).count("/")):
        result.append(_user_mount(mount))
        if mount.propagation in ("shared", "rshared"):
            propagation = "shared"
        elif mount.propagation in ("slave", "rslave") and propagation != "shared":
            propagation = "rslave"
    for managed in _managed(request, facts):
        if posixpath.normpath(managed["target"]) not in targets:
            result.append(
                {
                    "destination": managed["target"],
                    "type": "bind",
                    "source": managed["source"],
                    "options": ["rbind", "rprivate", *(["ro"] if request.read_only_root else [])],
                }
            )
    return result, propagation


def _default_mounts(
    request: runtime_pb2.CreateRuntimeContainerRequest, facts: HostFacts
) -> list[dict[str, Any]]:
    result = default_mounts()
    ipc = request.namespaces.ipc
    result.append(mqueue_mount())  # of the IPC namespace it will be in, the host's too
    if ipc == "host":
        result.append(
            {
                "destination": "/dev/shm",
                "type": "bind",
                "source": "/dev/shm",
                "options": ["rbind", "rprivate"],
            }
        )
    elif ipc != "none" and not ipc.startswith("container:"):
        result.append(shm_mount(request.shm_size_bytes or DEFAULT_SHM_BYTES))
    for mount in result:
        options: list[str] = mount["options"]
        where = mount["destination"]
        if request.security.privileged and where in ("/sys", "/sys/fs/cgroup"):
            options.remove("ro")
        elif request.read_only_root and where not in _READ_ONLY_ROOT_KEEPS and "ro" not in options:
            options.append("ro")
    return result


def _user_mount(mount: runtime_pb2.MountSpec) -> dict[str, Any]:
    target = posixpath.normpath(mount.target)
    read_only = ["ro"] if mount.read_only else []
    if mount.kind == 2:  # MOUNT_KIND_TMPFS; the message is not imported here, it only comes in
        options = ["noexec", "nosuid", "nodev", *mount.options, *read_only]
        if mount.tmpfs_size_bytes:
            options.append(f"size={mount.tmpfs_size_bytes}")
        if mount.tmpfs_mode:
            options.append(f"mode={mount.tmpfs_mode:o}")
        return {
            "destination": target,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": _last_word(options),
        }
    if mount.kind == 3:  # MOUNT_KIND_FILESYSTEM
        return {
            "destination": target,
            "type": mount.filesystem_type,
            "source": mount.source,
            "options": _last_word([*mount.options, *read_only]),
        }
    bind = "bind" if mount.non_recursive else "rbind"
    return {
        "destination": target,
        "type": "bind",
        "source": mount.source,
        "options": [bind, mount.propagation or "rprivate", *read_only, *mount.options],
    }


_OPPOSITE = {
    "exec": "noexec",
    "suid": "nosuid",
    "dev": "nodev",
    "rw": "ro",
    "atime": "noatime",
    "async": "sync",
}
_OPPOSITE.update({no: yes for yes, no in _OPPOSITE.items()})


def _last_word(options: Iterable[str]) -> list[str]:
    """Return options without those a later one takes back ("noexec … exec")."""
    kept: dict[str, str] = {}
    for option in options:
        kept.pop(_OPPOSITE.get(option, ""), None)
        kept[option.partition("=")[0]] = option
    return list(kept.values())


def _managed(request: runtime_pb2.CreateRuntimeContainerRequest, facts: HostFacts) -> list[dict[str, str]]:
    return [
        {"target": file.target, "source": f"{facts.managed_directory}/{file.target.rpartition('/')[2]}"}
        for file in request.managed_files
    ]


def _private(request: runtime_pb2.CreateRuntimeContainerRequest, facts: HostFacts) -> dict[str, Any]:
    overlay = None
    if request.HasField("root"):
        overlay = {
            "lower": list(request.root.lower_directories),
            "upper": request.root.upper_directory,
            "work": request.root.work_directory,
        }
    ipc = request.namespaces.ipc
    shared = facts.namespace_path(ipc.partition(":")[2], "mnt") if ipc.startswith("container:") else None
    driver = request.log.driver or "json-file"
    return {
        "overlay": overlay,
        "copy_up": [posixpath.normpath(mount.target) for mount in request.mounts if mount.copy_up],
        "managed_files": _managed(request, facts),
        "shared_shm": shared,
        "log": {
            "driver": driver,
            "options": (_LOCAL_LOG if driver == "local" else {}) | dict(request.log.options),
            "attributes": dict(sorted(request.log.attributes.items())),
            "path": "" if driver == "none" else f"{facts.managed_directory}/{request.id}-json.log",
        },
        "init": request.init,
        "open_stdin": request.process.open_stdin,
        "stdin_once": request.process.stdin_once,
    }
