"""From the flags of ``run`` and ``create`` to a ContainerConfig."""

from __future__ import annotations

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.flags import Values

# Flags that the engine does not carry: refused, not ignored.
_UNSUPPORTED = ("annotation", "health-start-interval", "use-api-socket")
_WINDOWS = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")
_DEFAULT_NETWORKS = ("default", "bridge", "host", "none")


class ConfigError(Exception):
    """Flags that make no sense together; the message is Docker's."""


def config_of(values: Values) -> dict[str, Any]:
    """Return the ContainerConfig of the flags and arguments of run or create.

    Raises ConfigError for what Docker's client refuses, opts.mounts.DaemonText for what its daemon does.
    """
    for name in _WINDOWS:
        if values.changed(name):
            raise Failure(
                f'"--{name}" is only supported on a Trine daemon running on windows, '
                "but the Trine daemon is running on linux"
            )
    for name in _UNSUPPORTED:
        if values.changed(name):
            raise ConfigError(f"--{name} is not supported by trine")
    image, *command = values.arguments
    config: dict[str, Any] = {"image": image, "cmd": command}
    _process(values, config)
    _mounts(values, config)
    _network(values, config)
    _limits(values, config)
    _security(values, config)
    _health(values, config)
    return config


def _files(values: Values, name: str, *, lookup: bool) -> list[str]:
    if not values.changed(name):
        return []
    from trine.cli.opts.env import read_files

    try:
        return read_files(values[name], lookup=lookup)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _process(values: Values, config: dict[str, Any]) -> None:
    streams = values["attach"]
    config.update(
        env=_files(values, "env-file", lookup=True) + values["env"],
        working_dir=values["workdir"],
        user=values["user"],
        hostname=values["hostname"],
        domainname=values["domainname"],
        tty=values["tty"],
        open_stdin=values["interactive"],
        attach_stdin="stdin" in streams or values["interactive"],
        attach_stdout="stdout" in streams or not streams,
        attach_stderr="stderr" in streams or not streams,
        labels=_labels(values),
        stop_signal=values["stop-signal"],
        stop_timeout_seconds=values["stop-timeout"],
        stop_timeout_set=values.changed("stop-timeout"),
        init=values["init"],
        auto_remove=values.get("rm", False),
        read_only_root=values["read-only"],
        ulimits=values["ulimit"],
        group_add=values["group-add"],
        cgroup_parent=values["cgroup-parent"],
        platform=values["platform"],
        runtime=values["runtime"],
        oom_score_adjustment=values["oom-score-adj"],
        shm_size_bytes=values["shm-size"],
        sysctls=dict(values["sysctl"]),
        device_requests=values["gpus"],
        storage_options=_storage_options(values["storage-opt"]),
        isolation=values["isolation"],
    )
    config["stdin_once"] = config["open_stdin"] and config["attach_stdin"]
    if values.changed("entrypoint"):
        entrypoint = values["entrypoint"]
        config.update(entrypoint=[entrypoint] if entrypoint else [], entrypoint_set=True)
    config["restart_policy"] = restart_policy(values["restart"])
    if config["auto_remove"] and config["restart_policy"]["name"] not in ("", "no"):
        raise ConfigError("conflicting options: cannot specify both --restart and --rm")
    _log(values, config)


def _storage_options(pairs: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError("invalid storage option")
        options[name] = value
    return options


def _labels(values: Values) -> dict[str, str]:
    from trine.cli.opts.labels import to_map

    pairs = _files(values, "label-file", lookup=False) + values["label"]
    return to_map(pairs) if pairs else {}


def restart_policy(text: str) -> dict[str, str | int]:
    """Return the RestartPolicy of "no", "always", "unless-stopped" or "on-failure[:count]".

    Raises ConfigError.
    """
    name, colon, count = text.partition(":")
    if text and not name:
        raise ConfigError("invalid restart policy format: no policy provided before colon")
    if not colon:
        return {"name": name, "maximum_retry_count": 0}
    if not count.removeprefix("-").isdigit():
        raise ConfigError("invalid restart policy format: maximum retry count must be an integer")
    return {"name": name, "maximum_retry_count": int(count)}


def _log(values: Values, config: dict[str, Any]) -> None:
    driver, options = values["log-driver"], values["log-opt"]
    if driver == "none" and options:
        raise ConfigError("invalid logging opts for driver none")
    if driver or options:
        from trine.cli.opts.labels import to_map

        config["log"] = {"driver": driver, "options": to_map(options)}


def _mounts(values: Values, config: dict[str, Any]) -> None:
    config["volumes_from"] = values["volumes-from"]
    config["volume_driver"] = values["volume-driver"]
    if not (values.changed("volume") or values.changed("mount") or values.changed("tmpfs")):
        return
    from trine.cli.opts import mounts

    found: list[dict[str, Any]] = []
    binds: list[str] = []
    for text in dict.fromkeys(values["volume"]):  # twice the same is once, as in Docker
        try:
            mount, bind = mounts.parse_volume(text)
        except mounts.DaemonText:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if mount["type"] == "volume" and values["volume-driver"]:
            mount["volume_driver"] = values["volume-driver"]
        found.append(mount)
        if bind:
            binds.append(bind)
    for mount in values["mount"]:
        mounts.check_mount(mount)
        found.append(mount)
    found += [mounts.parse_tmpfs(text) for text in values["tmpfs"]]
    targets: set[str] = set()
    for mount in found:
        if mount["target"] in targets:
            raise mounts.DaemonText(f"Duplicate mount point: {mount['target']}")
        targets.add(mount["target"])
    config.update(mounts=found, binds=binds)


def _network(values: Values, config: dict[str, Any]) -> None:
    try:
        if values.changed("publish") or values.changed("expose"):
            from trine.cli.opts import ports

            config["ports"] = [mapping for text in values["publish"] for mapping in ports.parse_publish(text)]
            config["exposed_ports"] = [port for text in values["expose"] for port in ports.parse_expose(text)]
    except ValueError as error:
        raise ConfigError(str(error)) from None
    config.update(
        publish_all=values["publish-all"],
        dns_servers=values["dns"],
        dns_search=values["dns-search"],
        dns_options=values["dns-option"],
        extra_hosts=values["add-host"],
        links=values["link"],
        mac_address=_mac(values["mac-address"]),
    )
    endpoints = [dict(network) for network in values["network"]]
    names = [endpoint["network"] for endpoint in endpoints]
    for name in names:
        if not name:
            raise ConfigError("no name set for network")
        if names.count(name) > 1:
            raise ConfigError(f'network "{name}" is specified multiple times')
    mode = names[0] if names else "default"
    config["network_mode"] = mode
    own = mode in _DEFAULT_NETWORKS or mode.startswith("container:")
    if values["network-alias"] and own:
        raise ConfigError("network-scoped aliases are only supported for user-defined networks")
    wishes = {
        "aliases": values["network-alias"],
        "ipv4_address": values["ip"],
        "ipv6_address": values["ip6"],
        "link_local_addresses": values["link-local-ip"],
    }
    if not endpoints and any(wishes.values()):
        endpoints = [{"network": mode}]
    if endpoints:
        first = endpoints[0]
        first["aliases"] = [*first.get("aliases", []), *wishes["aliases"]]
        for key in ("ipv4_address", "ipv6_address", "link_local_addresses"):
            if wishes[key]:
                first[key] = wishes[key]
        if config["mac_address"] and not own:
            first.setdefault("mac_address", config["mac_address"])
        if not own:
            first["links"] = values["link"]
        config["endpoints"] = endpoints


def _mac(text: str) -> str:
    if not text:
        return text
    parts = text.replace("-", ":").split(":")
    good = len(parts) == 6 and all(
        len(p) == 2 and not set(p.lower()) - set("0123456789abcdef") for p in parts
    )
    if not good:
        raise ConfigError(f"{text} is not a valid mac address")
    return text.lower()


def resources(values: Values) -> dict[str, Any]:
    """Return the Resources of the flags of run, create and update; raises ConfigError."""
    swappiness = values.get("memory-swappiness", -1)
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise ConfigError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    return {
        "memory_bytes": values["memory"],
        "memory_swap_bytes": values["memory-swap"],
        "memory_reservation_bytes": values["memory-reservation"],
        "nano_cpus": values["cpus"],
        "cpu_shares": values["cpu-shares"],
        "cpu_period_micros": values["cpu-period"],
        "cpu_quota_micros": values["cpu-quota"],
        "cpuset_cpus": values["cpuset-cpus"],
        "cpuset_mems": values["cpuset-mems"],
        "pids_limit": values["pids-limit"],
        "blkio_weight": values["blkio-weight"],
        "kernel_memory_bytes": values.get("kernel-memory", 0),
        "memory_swappiness": max(0, swappiness),
        "memory_swappiness_set": swappiness != -1,
        "oom_kill_disable": values.get("oom-kill-disable", False),
        "cpu_realtime_period_micros": values["cpu-rt-period"],
        "cpu_realtime_runtime_micros": values["cpu-rt-runtime"],
        "blkio_weight_devices": values.get("blkio-weight-device", []),
        "device_read_bps": values.get("device-read-bps", []),
        "device_write_bps": values.get("device-write-bps", []),
        "device_read_iops": values.get("device-read-iops", []),
        "device_write_iops": values.get("device-write-iops", []),
    }


def _limits(values: Values, config: dict[str, Any]) -> None:
    found = {name: value for name, value in resources(values).items() if value}
    if found:
        config["resources"] = found
    if values.changed("device"):
        from trine.cli.opts.devices import parse_device

        try:
            config["devices"] = [parse_device(text) for text in values["device"]]
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _security(values: Values, config: dict[str, Any]) -> None:
    for name, field, allowed in (
        ("pid", "pid_mode", ("", "host")),
        ("uts", "uts_mode", ("", "host")),
        ("userns", "userns_mode", ("", "host")),
        ("cgroupns", "cgroupns_mode", ("", "host", "private")),
    ):
        mode = values[name]
        if mode not in allowed and not (name == "pid" and mode.startswith("container:") and mode[10:]):
            kind = {"pid": "PID", "uts": "UTS", "userns": "USER", "cgroupns": "CGROUP"}[name]
            raise ConfigError(f"--{name}: invalid {kind} mode")
        config[field] = mode
    config["ipc_mode"] = values["ipc"]
    security: dict[str, Any] = {
        "privileged": values["privileged"],
        "capabilities_add": values["cap-add"],
        "capabilities_drop": values["cap-drop"],
        "device_cgroup_rules": values["device-cgroup-rule"],
    }
    options = values["security-opt"]
    if options:
        from trine.cli.opts.mounts import DaemonText
        from trine.cli.opts.security import apply_options

        try:
            config["security_options"] = apply_options(options, security)
        except DaemonText:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from None
    config["security"] = {name: value for name, value in security.items() if value}


def _health(values: Values, config: dict[str, Any]) -> None:
    given = {
        "interval_nanos": values["health-interval"],
        "timeout_nanos": values["health-timeout"],
        "start_period_nanos": values["health-start-period"],
        "retries": values["health-retries"],
    }
    command = values["health-cmd"]
    wanted = bool(command) or any(given.values())
    if values["no-healthcheck"]:
        if wanted:
            raise ConfigError("--no-healthcheck conflicts with --health-* options")
        config["health_check"] = {"test": ["NONE"]}
        return
    for field, flag in (
        ("interval_nanos", "health-interval"),
        ("timeout_nanos", "health-timeout"),
        ("retries", "health-retries"),
        ("start_period_nanos", "health-start-period"),
    ):
        if given[field] < 0:
            raise ConfigError(f"--{flag} cannot be negative")
    if wanted:
        config["health_check"] = {"test": ["CMD-SHELL", command] if command else [], **given}


def fail(error: Exception, command: str, status: int = 125) -> Failure:
    """Return the Failure for a ConfigError or DaemonText of ``run`` or ``create``, with where to read on."""
    from trine.cli.opts.mounts import DaemonText

    text = f"Error response from daemon: {error}" if isinstance(error, DaemonText) else str(error)
    if isinstance(error, DaemonText) and command == "create":
        return Failure(text, 1)
    return Failure(f"trine: {text}\n\nRun 'trine {command} --help' for more information", status)
