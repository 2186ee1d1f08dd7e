"""The runtime's request for a container's record. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from trine.engine import log_options
from trine.engine.merge import argv, environment
from trine.engine.registry import Entry
from trine.v1 import runtime_pb2, volume_pb2


def process_spec(entry: Entry, link_variables: list[str]) -> runtime_pb2.ProcessSpec:
    """Return the container's own process."""
    config = entry.config
    return runtime_pb2.ProcessSpec(
        args=argv(config),
        env=environment(config, link_variables),
        working_directory=config.working_dir or "/",
        user=config.user,
        additional_groups=config.group_add,
        terminal=config.tty,
        open_stdin=config.open_stdin,
        stdin_once=config.stdin_once,
        terminal_rows=config.console_rows,
        terminal_columns=config.console_columns,
        resource_limits=config.ulimits,
        privileged=config.security.privileged,
    )


def namespaces(entry: Entry, network_path: str) -> runtime_pb2.NamespaceSpec:
    """Return which namespaces are shared; ``network_path`` "" is a fresh one."""
    config = entry.config
    shares = entry.private.shares
    privileged_cgroup = "host" if config.security.privileged and not config.cgroupns_mode else ""
    return runtime_pb2.NamespaceSpec(
        network=network_path,
        pid=f"container:{shares['pid']}" if "pid" in shares else config.pid_mode,
        ipc=f"container:{shares['ipc']}" if "ipc" in shares else config.ipc_mode,
        uts=config.uts_mode,
        cgroup=privileged_cgroup or ("host" if config.cgroupns_mode == "host" else ""),
    )


def runtime_request(
    entry: Entry,
    network_path: str,
    mounts: Iterable[runtime_pb2.MountSpec],
    managed: dict[str, bytes],
    link_variables: list[str],
    default_shm_size_bytes: int,
) -> runtime_pb2.CreateRuntimeContainerRequest:
    """Return all the runtime needs; managed files whose place is mounted over are left out."""
    config = entry.config
    mount_list = list(mounts)
    taken = {mount.target for mount in mount_list}
    # The network service writes those of a sandbox it makes; in another's namespace it is the runtime.
    own_network_sysctls = network_path not in ("", "host") and "network" not in entry.private.shares
    return runtime_pb2.CreateRuntimeContainerRequest(
        id=entry.id,
        process=process_spec(entry, link_variables),
        root=entry.container.root,
        read_only_root=config.read_only_root,
        mounts=mount_list,
        devices=config.devices,
        namespaces=namespaces(entry, network_path),
        hostname=config.hostname if config.uts_mode != "host" else "",
        domainname=config.domainname,
        resources=config.resources,
        security=config.security,
        managed_files=[
            runtime_pb2.ManagedFile(target=target, content=content)
            for target, content in managed.items()
            if target not in taken
        ],
        log=runtime_pb2.LogSpec(
            driver=config.log.driver,
            options=config.log.options,
            attributes=log_options.attributes(config, entry.id, entry.name),
        ),
        init=config.init,
        sysctls={
            key: value
            for key, value in config.sysctls.items()
            if not (own_network_sysctls and key.startswith("net."))
        },
        oom_score_adjustment=config.oom_score_adjustment,
        shm_size_bytes=config.shm_size_bytes or default_shm_size_bytes,
        # A name without a slash is below the root, as in Docker with its cgroupfs driver.
        cgroup_parent=f"/{config.cgroup_parent.lstrip('/')}" if config.cgroup_parent else "",
    )


def volume_map(volumes: Iterable[volume_pb2.Volume]) -> dict[str, volume_pb2.Volume]:
    """Return volumes by name."""
    return {volume.name: volume for volume in volumes}
