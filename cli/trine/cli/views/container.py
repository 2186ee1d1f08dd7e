"""A container as ``docker inspect`` shows it: the same keys in the same order (engine 20.10)."""

from __future__ import annotations

from trine.cli.text.times import rfc3339_nano
from trine.cli.text.values import GoMap
from trine.cli.views import host_config
from trine.cli.views.rows import state_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.wire import Message


def _state(state: Message) -> dict[str, Any]:
    status = state_name(state)
    found: dict[str, Any] = {
        "Status": status,
        "Running": status in ("running", "paused", "restarting"),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": status == "dead",
        "Pid": state.process_id,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339_nano(state.started_at_unix_nanos),
        "FinishedAt": rfc3339_nano(state.finished_at_unix_nanos),
    }
    if state.health_status:
        found["Health"] = {
            "Status": state.health_status,
            "FailingStreak": state.health_failing_streak,
            "Log": [
                {
                    "Start": rfc3339_nano(probe.started_at_unix_nanos),
                    "End": rfc3339_nano(probe.finished_at_unix_nanos),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                }
                for probe in state.health_log
            ],
        }
    return found


def health_check(check: Message) -> dict[str, Any]:
    """Return a HEALTHCHECK; what is not set is left out."""
    found: dict[str, Any] = {}
    if check.test:
        found["Test"] = list(check.test)
    for key, value in (
        ("Interval", check.interval_nanos),
        ("Timeout", check.timeout_nanos),
        ("StartPeriod", check.start_period_nanos),
        ("Retries", check.retries),
    ):
        if value:
            found[key] = value
    return found


def _config(container: Message) -> dict[str, Any]:
    config = container.config
    exposed: dict[str, dict[str, str]] = {str(port): {} for port in config.exposed_ports}
    for port in config.ports:
        exposed.setdefault(f"{port.container_port}/{port.protocol or 'tcp'}", {})
    found: dict[str, Any] = {
        "Hostname": config.hostname,
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": config.attach_stdin,
        "AttachStdout": config.attach_stdout,
        "AttachStderr": config.attach_stderr,
    }
    if exposed:
        found["ExposedPorts"] = GoMap(sorted(exposed.items()))
    volumes = set(config.anonymous_volumes)
    volumes |= {m.target for m in config.mounts if m.type == "volume" and not m.source and m.from_volume_flag}
    found.update(
        {
            "Tty": config.tty,
            "OpenStdin": config.open_stdin,
            "StdinOnce": config.stdin_once,
            "Env": list(config.env),
            "Cmd": list(config.cmd) or None,
        }
    )
    if "health_check" in config:
        found["Healthcheck"] = health_check(config.health_check)
    found.update(
        {
            "Image": config.image,
            "Volumes": GoMap({path: {} for path in sorted(volumes)}) if volumes else None,
            "WorkingDir": config.working_dir,
            "Entrypoint": list(config.entrypoint) or None,
        }
    )
    if config.mac_address:
        found["MacAddress"] = config.mac_address
    found.update({"OnBuild": None, "Labels": GoMap(sorted(config.labels.items()))})
    if config.stop_signal:
        found["StopSignal"] = config.stop_signal
    if config.stop_timeout_set:
        found["StopTimeout"] = config.stop_timeout_seconds
    return found


def _mount(point: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"Type": point.type}
    if point.name:
        found["Name"] = point.name
    found.update({"Source": point.source, "Destination": point.destination})
    if point.driver:
        found["Driver"] = point.driver
    found.update({"Mode": point.mode, "RW": point.writable, "Propagation": point.propagation})
    return found


def _endpoint(endpoint: Message, network_id: str = "") -> dict[str, Any]:
    """Return one network of NetworkSettings.Networks."""
    ipam: dict[str, Any] = {}
    if endpoint.requested_ipv4_address:
        ipam["IPv4Address"] = endpoint.requested_ipv4_address
    if endpoint.requested_ipv6_address:
        ipam["IPv6Address"] = endpoint.requested_ipv6_address
    if endpoint.link_local_addresses:
        ipam["LinkLocalIPs"] = list(endpoint.link_local_addresses)
    return {
        "IPAMConfig": ipam or None,
        "Links": list(endpoint.links) or None,
        "Aliases": list(endpoint.aliases) or None,
        "NetworkID": endpoint.network_id or network_id,
        "EndpointID": endpoint.id,
        "Gateway": endpoint.ipv4_gateway,
        "IPAddress": endpoint.ipv4_address,
        "IPPrefixLen": endpoint.ipv4_prefix_length,
        "IPv6Gateway": endpoint.ipv6_gateway,
        "GlobalIPv6Address": endpoint.ipv6_address,
        "GlobalIPv6PrefixLen": endpoint.ipv6_prefix_length,
        "MacAddress": endpoint.mac_address,
        "DriverOpts": GoMap(sorted(endpoint.driver_options.items())) or None,
    }


def _requested_endpoint(request: Message, network_id: str = "", short_id: str = "") -> dict[str, Any]:
    """Return a network of a container that does not run; ``network_id`` is of its last run, if any."""
    ipam: dict[str, Any] = {}
    if request.ipv4_address:
        ipam["IPv4Address"] = request.ipv4_address
    if request.ipv6_address:
        ipam["IPv6Address"] = request.ipv6_address
    if request.link_local_addresses:
        ipam["LinkLocalIPs"] = list(request.link_local_addresses)
    return {
        "IPAMConfig": ipam or None,
        "Links": list(request.links) or None,
        # Once it ran, its short id is a name on networks of the user.
        "Aliases": [*request.aliases, *([short_id] if network_id and short_id else [])] or None,
        "NetworkID": network_id,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": request.mac_address,
        "DriverOpts": GoMap(sorted(request.driver_options.items())) or None,
    }


def _ports(container: Message) -> dict[str, Any]:
    sandbox = container.sandbox
    found: dict[str, Any] = {}
    if not sandbox.id:
        return found
    for port in container.config.exposed_ports:
        found[str(port)] = None
    for port in sandbox.ports:
        key = f"{port.container_port}/{port.protocol or 'tcp'}"
        entry = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
        if found.get(key) is None:
            found[key] = []
        found[key].append(entry)
    return dict(sorted(found.items()))


def _network_settings(container: Message) -> dict[str, Any]:
    sandbox = container.sandbox
    networks = {str(e.network_name): _endpoint(e) for e in sandbox.endpoints}
    for request in container.networks:
        name = str(request.network)
        short_id = "" if name in ("bridge", "host", "none") else container.id[:12]
        networks.setdefault(name, _requested_endpoint(request, container.network_ids.get(name, ""), short_id))
    # What the default bridge gave is repeated at the top, for clients older than networks.
    first = networks.get("bridge", {})
    return {
        "Bridge": "",
        "SandboxID": sandbox.id,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": GoMap(_ports(container)),
        "SandboxKey": sandbox.netns_path,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": first.get("EndpointID", ""),
        "Gateway": first.get("Gateway", ""),
        "GlobalIPv6Address": first.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": first.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "IPv6Gateway": first.get("IPv6Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": GoMap(sorted(networks.items())),
    }


def graph_driver(root: Message) -> dict[str, Any]:
    """Return where an overlay's directories are; it is mounted in the container's namespace alone."""
    return {
        "Data": GoMap(
            {
                "LowerDir": ":".join(root.lower_directories),
                "MergedDir": "",
                "UpperDir": root.upper_directory,
                "WorkDir": root.work_directory,
            }
        ),
        "Name": "overlay2",
    }


def as_docker(container: Message, *, size: bool = False) -> dict[str, Any]:
    """Return a container with Docker's keys, for inspection.

    Args:
        container: as GetContainer gives it.
        size: also SizeRw and SizeRootFs.
    """
    found: dict[str, Any] = {
        "Id": container.id,
        "Created": rfc3339_nano(container.created_at_unix_nanos),
        "Path": container.path,
        "Args": list(container.args),
        "State": _state(container.state),
        "Image": container.image_id,
        "ResolvConfPath": container.resolv_conf_path,
        "HostnamePath": container.hostname_path,
        "HostsPath": container.hosts_path,
        "LogPath": container.log_path,
        "Name": f"/{container.name}",
        "RestartCount": container.state.restart_count,
        "Driver": "overlay2",
        "Platform": container.platform or "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": container.config.security.apparmor_profile,
        "ExecIDs": list(container.exec_ids) or None,
        "HostConfig": host_config.as_docker(container),
        "GraphDriver": graph_driver(container.root),
    }
    if size:
        found["SizeRw"] = container.size_rw_bytes
        found["SizeRootFs"] = container.size_root_bytes
    found["Mounts"] = [_mount(point) for point in container.mounts]
    found["Config"] = _config(container)
    found["NetworkSettings"] = _network_settings(container)
    return found
