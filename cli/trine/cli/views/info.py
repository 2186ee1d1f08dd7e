"""What ``info`` shows of engine and host."""

from __future__ import annotations

from trine.cli.text.units import binary_size
from trine.cli.text.values import GoMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.wire import Message

_NETWORK_PLUGINS = ("bridge", "host", "null")
_LOG_PLUGINS = ("json-file", "local", "none")


def client_text() -> str:
    """Return the client's part."""
    from trine.cli.main import VERSION

    return f"Client:\n Version:    {VERSION}\n Context:    default\n Debug Mode: false\n"


def _security_lines(options: list[str]) -> list[str]:
    """Return "seccomp" and below it "Profile: default" for "name=seccomp,profile=default"."""
    lines: list[str] = []
    for option in options:
        pairs = dict(part.partition("=")[::2] for part in option.split(","))
        lines.append(f"  {pairs.pop('name', option)}")
        lines += [f"   {key.capitalize()}: {value}" for key, value in pairs.items()]
    return lines


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def server_text(server: Message) -> str:
    """Return the server's part, with Docker's lines in Docker's order and ours where it has none."""
    runtime = server.runtime
    lines = [
        f" Containers: {server.containers}",
        f"  Running: {server.containers_running}",
        f"  Paused: {server.containers_paused}",
        f"  Stopped: {server.containers_stopped}",
        f" Images: {server.images}",
        f" Server Version: {server.server_version}",
        f" Storage Driver: {server.storage_driver}",
        f"  Backing Filesystem: {server.backing_file_system}",
        f" Logging Driver: {server.logging_driver}",
        f" Cgroup Driver: {runtime.cgroup_driver}",
        f" Cgroup Version: {runtime.cgroup_version}",
        " Plugins:",
        "  Volume: local",
        f"  Network: {' '.join(_NETWORK_PLUGINS)}",
        f"  Log: {' '.join(_LOG_PLUGINS)}",
        " Services:",
    ]
    for service in server.services:
        state = str(service.state).removeprefix("SERVICE_STATE_").lower()
        more = f", process {service.process_id}" if service.process_id else ""
        more += f", {service.restarts} restarts" if service.restarts else ""
        lines.append(f"  {service.name}: {state} at {service.address}{more}")
    lines += [f" Init Binary: {runtime.init_binary}", " Security Options:"]
    lines += _security_lines(list(runtime.security_options))
    lines += [
        f" Kernel Version: {runtime.kernel_version}",
        f" Operating System: {runtime.operating_system}",
        " OSType: linux",
        f" Architecture: {runtime.architecture}",
        f" CPUs: {runtime.cpus}",
        f" Total Memory: {binary_size(runtime.memory_bytes)}",
        f" Name: {server.name}",
        f" ID: {server.id}",
        f" Trine Root Dir: {server.data_root}",
        f" Debug Mode: {_boolean(server.debug)}",
        f" Firewall Backend: {server.network.firewall_backend}",
    ]
    for name, value in (
        ("HTTP Proxy", server.http_proxy),
        ("HTTPS Proxy", server.https_proxy),
        ("No Proxy", server.no_proxy),
    ):
        if value:
            lines.append(f" {name}: {value}")
    if server.labels:
        lines += [" Labels:", *(f"  {label}" for label in server.labels)]
    lines.append(" Experimental: false")
    if server.insecure_registries:
        lines += [" Insecure Registries:", *(f"  {entry}" for entry in server.insecure_registries)]
    if server.registry_mirrors:
        lines += [" Registry Mirrors:", *(f"  {url}" for url in server.registry_mirrors)]
    lines.append(" Live Restore Enabled: true")
    if server.default_address_pools:
        lines.append(" Default Address Pools:")
        for pool in server.default_address_pools:
            base, _, size = pool.partition(",")
            lines.append(f"   Base: {base}, Size: {size}")
    return "\n".join(lines) + "\n\n"


def warnings_text(server: Message) -> str:
    """Return the warnings, each a line."""
    found = dict.fromkeys([*server.warnings, *server.runtime.warnings, *server.network.warnings])
    return "".join(f"{line if line.startswith('WARNING') else 'WARNING: ' + line}\n" for line in found)


def as_docker(server: Message | None) -> dict[str, Any]:
    """Return all of it with Docker's keys, for templates and JSON."""
    from trine.cli.commands.version import client_block

    client = {"Debug": False, **client_block(), "Plugins": [], "Warnings": None}
    if server is None:
        return {"ClientInfo": client}
    runtime, network = server.runtime, server.network
    return {
        "ID": server.id,
        "Containers": server.containers,
        "ContainersRunning": server.containers_running,
        "ContainersPaused": server.containers_paused,
        "ContainersStopped": server.containers_stopped,
        "Images": server.images,
        "Driver": server.storage_driver,
        "DriverStatus": [["Backing Filesystem", server.backing_file_system]],
        "Plugins": {
            "Volume": ["local"],
            "Network": list(_NETWORK_PLUGINS),
            "Authorization": None,
            "Log": list(_LOG_PLUGINS),
        },
        "IPv4Forwarding": network.ipv4_forwarding,
        "BridgeNfIptables": network.bridge_nf_iptables,
        "BridgeNfIp6tables": network.bridge_nf_ip6tables,
        "Debug": server.debug,
        "LoggingDriver": server.logging_driver,
        "CgroupDriver": runtime.cgroup_driver,
        "CgroupVersion": runtime.cgroup_version,
        "KernelVersion": runtime.kernel_version,
        "OperatingSystem": runtime.operating_system,
        "OSType": "linux",
        "Architecture": runtime.architecture,
        "IndexServerAddress": server.index_server_address,
        "RegistryConfig": {
            "IndexConfigs": GoMap(
                {
                    "docker.io": {
                        "Mirrors": list(server.registry_mirrors),
                        "Name": "docker.io",
                        "Official": True,
                        "Secure": True,
                    }
                }
            ),
            "InsecureRegistryCIDRs": list(server.insecure_registries),
            "Mirrors": list(server.registry_mirrors),
        },
        "NCPU": runtime.cpus,
        "MemTotal": runtime.memory_bytes,
        "DockerRootDir": server.data_root,
        "HttpProxy": server.http_proxy,
        "HttpsProxy": server.https_proxy,
        "NoProxy": server.no_proxy,
        "Name": server.name,
        "Labels": list(server.labels),
        "ExperimentalBuild": False,
        "ServerVersion": server.server_version,
        "DefaultRuntime": "trine",
        "LiveRestoreEnabled": True,
        "InitBinary": runtime.init_binary,
        "SecurityOptions": list(runtime.security_options),
        "Services": [
            {
                "Name": service.name,
                "State": str(service.state).removeprefix("SERVICE_STATE_").lower(),
                "Address": service.address,
                "Pid": service.process_id,
                "Restarts": service.restarts,
            }
            for service in server.services
        ],
        "Warnings": list(server.warnings) or None,
        "ClientInfo": client,
    }
