"""--link on the default bridge: what a container knows of those it is linked to."""

from __future__ import annotations

from dataclasses import dataclass, field

from trine.engine.core import Core
from trine.engine.hosts import link_environment
from trine.engine.registry import Entry
from trine.engine.states import has_process
from trine.kit.errors import ConflictError


@dataclass
class Links:
    """Lines of the hosts file as (address, names), and environment variables."""

    hosts: list[tuple[str, str]] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)


def linked(core: Core, entry: Entry) -> Links:
    """Return the links of a container that starts; raises ConflictError when one it needs does not run."""
    links = Links()
    for alias, container_id in entry.private.links.items():
        other = core.registry.get(container_id)
        if other is None or not has_process(other.status):
            name = other.name if other is not None else container_id
            raise ConflictError(
                f"Cannot link to a non running container: /{name} AS /{entry.name}/{alias}",
                reason="NOT_RUNNING",
            )
        _add(links, entry, alias, other)
    return links


def link_variables(core: Core, entry: Entry) -> list[str]:
    """Return the variables of the links of a running container, without those that ended meanwhile."""
    links = Links()
    for alias, container_id in entry.private.links.items():
        other = core.registry.get(container_id)
        if other is not None and has_process(other.status):
            _add(links, entry, alias, other)
    return links.variables


def _add(links: Links, entry: Entry, alias: str, other: Entry) -> None:
    address = next((e.ipv4_address for e in other.container.sandbox.endpoints if e.ipv4_address), "")
    names = [alias]
    names += [n for n in (other.config.hostname, other.name) if n not in names]
    links.hosts.append((address, " ".join(names)))
    links.variables += link_environment(entry.name, alias, address, other.config)
