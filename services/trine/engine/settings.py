"""What the engine is told by the supervisor: places, defaults and what `info` shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class EngineSettings:
    """Settings of one engine; paths are absolute."""

    data_root: Path  # /var/lib/trine; the engine's own state is below engine/
    exec_root: Path  # /run/trine
    log_driver: str = "json-file"  # when a container names none
    registry_mirrors: list[str] = field(default_factory=list)
    insecure_registries: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # of the daemon
    dns_servers: list[str] = field(default_factory=list)  # when a container names none
    dns_search: list[str] = field(default_factory=list)
    dns_options: list[str] = field(default_factory=list)
    default_address_pools: list[str] = field(default_factory=list)  # "base=CIDR,size=N"
    host_gateway: str = ""  # what host-gateway in --add-host means; empty: the default bridge's address
    default_shm_size_bytes: int = 64 * 1024 * 1024
    debug: bool = False
    prepare_timeout_seconds: float = 30.0  # a prepared container not started by then is unprepared
    services_apart: dict[str, str] = field(default_factory=dict)  # name to address, of those others run
    leaf_timeout_seconds: float = 60.0  # deadline of a short call to a leaf

    @property
    def root(self) -> Path:
        """Return the engine's own directory."""
        return self.data_root / "engine"
