"""--link on the default bridge: what a container knows of those it is linked to, the names links give, and
taking one away."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from dataclasses import dataclass, field

from trine.engine.core import Core
from trine.engine.hosts import link_environment
from trine.engine.registry import Entry, Registry
from trine.engine.states import has_process
from trine.kit.errors import ConflictError, InternalError, InvalidArgumentError
from trine.v1 import container_pb2


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


def names_by_link(registry: Registry) -> dict[str, list[str]]:
    """Return, for each container others link to, the names that gives it: "other/alias"."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in registry:
        for alias, container_id in entry.private.links.items():
            found[container_id].append(f"{entry.name}/{alias}")
    return found


def shown(registry: Registry, entry: Entry) -> list[str]:
    """Return a container's links as inspection shows them: "/database:/web/db"."""
    found = []
    for alias, container_id in entry.private.links.items():
        other = registry.get(container_id)
        if other is not None:
            found.append(f"/{other.name}:/{entry.name}/{alias}")
    return found


async def remove_link(core: Core, reference: str) -> container_pb2.DeleteContainerResponse:
    """Take the link "container/alias" away; the container's hosts file forgets it at once.

    Raises NotFoundError when nothing has that name, ConflictError for a container's own name.
    """
    core.registry.find(reference)
    name, slash, alias = reference.removeprefix("/").partition("/")
    if not slash:
        raise ConflictError("Conflict, cannot remove the default link name of the container")
    entry = core.registry.find(name)
    async with entry.lock:
        container_id = entry.private.links.pop(alias, "")
        if not container_id:
            raise InvalidArgumentError(f"Cannot get parent /{name} for name /{reference.removeprefix('/')}")
        core.save(entry)
        await core.store.flush()
        if has_process(entry.status):
            try:
                await asyncio.to_thread(_forget_line, entry.container.hosts_path, alias)
            except OSError as error:
                raise InternalError(f"cannot update the hosts file: {error.strerror}") from error
    return container_pb2.DeleteContainerResponse()


async def tell_linked(core: Core, entry: Entry) -> None:
    """Write a container's address into the hosts files of those linked to it: it may be a new one.

    Whoever has its old address now must not be taken for it.
    """
    for other in list(core.registry):
        aliases = [alias for alias, linked_id in other.private.links.items() if linked_id == entry.id]
        if not aliases or not has_process(other.status):
            continue
        links = Links()
        for alias in aliases:
            _add(links, other, alias, entry)
        try:
            await asyncio.to_thread(_replace_addresses, other.container.hosts_path, links.hosts)
        except OSError as error:
            core.log.warning("cannot update the hosts file", container=other.id[:12], error=str(error))


def _replace_addresses(path: str, hosts: list[tuple[str, str]]) -> None:
    """Give the lines of links (found by the alias, their first name) their addresses, in place."""
    if not path or not os.path.exists(path):
        return
    addresses = {names.split()[0]: address for address, names in hosts}
    with open(path, "r+") as file:
        before = file.readlines()
        after = []
        for line in before:
            _old, _, names = line.partition("\t")
            address = addresses.get((names.split() or [""])[0], "")
            after.append(f"{address}\t{names}" if address else line)
        if after != before:
            file.seek(0)
            file.writelines(after)
            file.truncate()


def _forget_line(path: str, alias: str) -> None:
    """Take a link's line out of a hosts file, in place: it is bind-mounted."""
    if not path or not os.path.exists(path):
        return
    with open(path, "r+") as file:
        lines = [line for line in file if line.split("\t", 1)[-1].split()[:1] != [alias]]
        file.seek(0)
        file.writelines(lines)
        file.truncate()
