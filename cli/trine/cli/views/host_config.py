"""HostConfig of a container, with Docker's keys in Docker's order."""

from __future__ import annotations

from trine.cli.text.values import GoMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.wire import Message

_MASKED = [
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
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def _port_bindings(config: Message) -> GoMap:
    found: dict[str, list[dict[str, str]]] = {}
    for port in config.ports:
        number = str(port.host_port) if port.host_port else ""
        if port.host_port_end:
            number = f"{port.host_port}-{port.host_port_end}"
        key = f"{port.container_port}/{port.protocol or 'tcp'}"
        found.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": number})
    return GoMap(sorted(found.items()))


def _mounts(config: Message) -> list[dict[str, Any]]:
    """Return what --mount asked for; --volume is in Binds, --tmpfs in Tmpfs."""
    found: list[dict[str, Any]] = []
    for mount in config.mounts:
        if mount.from_volume_flag or (mount.type == "tmpfs" and mount.options):
            continue
        entry: dict[str, Any] = {"Type": mount.type}
        if mount.source:
            entry["Source"] = mount.source
        entry["Target"] = mount.target
        if mount.read_only:
            entry["ReadOnly"] = True
        if mount.propagation:
            entry["BindOptions"] = {"Propagation": mount.propagation}
        if mount.no_copy or mount.volume_labels or mount.volume_driver_options:
            options: dict[str, Any] = {}
            if mount.no_copy:
                options["NoCopy"] = True
            if mount.volume_labels:
                options["Labels"] = GoMap(mount.volume_labels)
            if mount.volume_driver or mount.volume_driver_options:
                options["DriverConfig"] = {
                    "Name": mount.volume_driver,
                    "Options": GoMap(mount.volume_driver_options),
                }
            entry["VolumeOptions"] = options
        if mount.tmpfs_size_bytes or mount.tmpfs_mode:
            entry["TmpfsOptions"] = {"SizeBytes": mount.tmpfs_size_bytes, "Mode": mount.tmpfs_mode}
        found.append(entry)
    return found


def _list(values: Any) -> list[str] | None:
    return [str(value) for value in values] or None


def _rates(entries: Any, figure: str = "Rate") -> list[dict[str, Any]]:
    return [{"Path": entry.path, figure: entry.rate} for entry in entries]


def _device_request(request: Message) -> dict[str, Any]:
    return {
        "Driver": request.driver,
        "Count": request.count,
        "DeviceIDs": _list(request.device_ids),
        "Capabilities": [_list(request.capabilities)],
        "Options": GoMap(request.options),
    }


def _resources(config: Message) -> dict[str, Any]:
    limits = config.resources
    swap = limits.memory_swap_bytes or limits.memory_bytes * 2
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory_bytes,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": config.cgroup_parent,
        "BlkioWeight": limits.blkio_weight,
        "BlkioWeightDevice": _rates(limits.blkio_weight_devices, "Weight"),
        "BlkioDeviceReadBps": _rates(limits.device_read_bps),
        "BlkioDeviceWriteBps": _rates(limits.device_write_bps),
        "BlkioDeviceReadIOps": _rates(limits.device_read_iops),
        "BlkioDeviceWriteIOps": _rates(limits.device_write_iops),
        "CpuPeriod": limits.cpu_period_micros,
        "CpuQuota": limits.cpu_quota_micros,
        "CpuRealtimePeriod": limits.cpu_realtime_period_micros,
        "CpuRealtimeRuntime": limits.cpu_realtime_runtime_micros,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path,
                "CgroupPermissions": device.permissions,
            }
            for device in config.devices
        ],
        "DeviceCgroupRules": _list(config.security.device_cgroup_rules),
        "DeviceRequests": [_device_request(request) for request in config.device_requests] or None,
        "KernelMemory": limits.kernel_memory_bytes,
        "KernelMemoryTCP": 0,
        "MemoryReservation": limits.memory_reservation_bytes,
        "MemorySwap": swap,
        "MemorySwappiness": limits.memory_swappiness if limits.memory_swappiness_set else None,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids_limit or None,
        "Ulimits": [{"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in config.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def as_docker(container: Message) -> dict[str, Any]:
    """Return a container's HostConfig."""
    config = container.config
    security = config.security
    bare = security.privileged or security.unmask_system_paths
    policy = config.restart_policy
    found: dict[str, Any] = {
        "Binds": _list(config.binds),
        "ContainerIDFile": "",
        "LogConfig": {
            "Type": config.log.driver or "json-file",
            "Config": GoMap(sorted(config.log.options.items())),
        },
        "NetworkMode": config.network_mode or "default",
        "PortBindings": _port_bindings(config),
        "RestartPolicy": {"Name": policy.name or "no", "MaximumRetryCount": policy.maximum_retry_count},
        "AutoRemove": config.auto_remove,
        "VolumeDriver": config.volume_driver,
        "VolumesFrom": _list(config.volumes_from),
        "CapAdd": _list(security.capabilities_add),
        "CapDrop": _list(security.capabilities_drop),
        "CgroupnsMode": config.cgroupns_mode or "private",
        "Dns": list(config.dns_servers),
        "DnsOptions": list(config.dns_options),
        "DnsSearch": list(config.dns_search),
        "ExtraHosts": _list(config.extra_hosts),
        "GroupAdd": _list(config.group_add),
        "IpcMode": config.ipc_mode or "private",
        "Cgroup": "",
        "Links": _list(container.links),
        "OomScoreAdj": config.oom_score_adjustment,
        "PidMode": config.pid_mode,
        "Privileged": security.privileged,
        "PublishAllPorts": config.publish_all,
        "ReadonlyRootfs": config.read_only_root,
        "SecurityOpt": _list(config.security_options),
    }
    if config.storage_options:
        found["StorageOpt"] = GoMap(sorted(config.storage_options.items()))
    tmpfs = {m.target: ",".join(m.options) for m in config.mounts if m.type == "tmpfs" and m.options}
    if tmpfs:
        found["Tmpfs"] = GoMap(tmpfs)
    found.update(
        {
            "UTSMode": config.uts_mode,
            "UsernsMode": config.userns_mode,
            "ShmSize": config.shm_size_bytes or 64 * 1024 * 1024,
        }
    )
    if config.sysctls:
        found["Sysctls"] = GoMap(sorted(config.sysctls.items()))
    found.update(
        {
            "Runtime": config.runtime or "trine",
            "ConsoleSize": [config.console_rows, config.console_columns],
            "Isolation": config.isolation,
        }
    )
    found.update(_resources(config))
    mounts = _mounts(config)
    if mounts:
        found["Mounts"] = mounts
    found["MaskedPaths"] = None if bare else list(_MASKED)
    found["ReadonlyPaths"] = None if bare else list(_READ_ONLY)
    if config.init:
        found["Init"] = True
    return found
