"""List containers: filters, order and summary of `ps`."""

from __future__ import annotations

import asyncio
import time

from trine.engine.core import Core
from trine.engine.filters import Filters
from trine.engine.links import names_by_link
from trine.engine.registry import Entry
from trine.engine.sizes import snapshot_sizes
from trine.engine.states import is_up
from trine.kit.errors import EngineError, InvalidArgumentError, NotFoundError
from trine.v1 import container_pb2, image_pb2

_FILTER_TEXT = (
    "ancestor before exited expose health id is-task isolation label name network publish since status volume"
)
FILTERS = _FILTER_TEXT.split()
_NAME_SECONDS = 0.5
_STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
_HEALTH = ("none", "starting", "healthy", "unhealthy")


async def list_containers(
    core: Core, request: container_pb2.ListContainersRequest
) -> container_pb2.ListContainersResponse:
    """Return summaries, newest first; raises InvalidArgumentError for a bad filter."""
    filters = Filters(request.filters, FILTERS)
    check_filters(filters)
    entries = core.registry.all()
    ancestors = await _ancestors(core, filters)
    before, since = _bound(core, filters, "before"), _bound(core, filters, "since")
    explicit = request.all or request.limit > 0 or any(k in filters for k in ("status", "exited"))
    # before and since, as Docker has it, also look at those that do not run.
    explicit = explicit or before is not None or since is not None
    found: list[Entry] = []
    for entry in entries:
        if not explicit and not is_up(entry.status):
            continue
        created = entry.container.created_at_unix_nanos
        if before is not None and created >= before:
            continue
        if since is not None and created <= since:
            continue
        if matches(entry, filters, ancestors):
            found.append(entry)
        if request.limit and len(found) >= request.limit:
            break
    summaries = [summary(entry) for entry in found]
    by_link = names_by_link(core.registry)
    for item in summaries:
        item.link_names[:] = sorted(by_link.get(item.id, ()))
    await _name_images(core, summaries)
    if request.with_size:
        sizes = await asyncio.gather(*(snapshot_sizes(core, entry.id) for entry in found))
        for item, (size, root_size) in zip(summaries, sizes, strict=True):
            item.size_rw_bytes, item.size_root_bytes = size, root_size
    return container_pb2.ListContainersResponse(containers=summaries)


async def _name_images(core: Core, summaries: list[container_pb2.ContainerSummary]) -> None:
    """Show the image's id where its name is gone or another image's now.

    Not worth waiting for: when the image service does not answer at once the names stay as written.
    """
    leaf = core.leaves.image
    names = sorted({item.image for item in summaries})
    if not names or not leaf.is_ready():
        return

    async def look_up(name: str) -> str | None:
        try:
            answer = await leaf(
                leaf.stub.GetImage, image_pb2.GetImageRequest(name=name), timeout_seconds=_NAME_SECONDS
            )
        except NotFoundError:
            return ""
        except EngineError:
            return None
        return answer.image.id

    ids = dict(zip(names, await asyncio.gather(*map(look_up, names)), strict=True))
    for item in summaries:
        found = ids[item.image]
        if found is not None and found != item.image_id:
            item.image = item.image_id


def check_filters(filters: Filters) -> None:
    """Refuse values that can never match, with Docker's text."""
    for value in filters.values("status"):
        if value not in _STATUSES:
            raise InvalidArgumentError(f"Invalid filter 'status={value}'", reason="INVALID_FILTER")
    for value in filters.values("health"):
        if value not in _HEALTH:
            raise InvalidArgumentError(
                f"Unrecognised filter value for health: {value}", reason="INVALID_FILTER"
            )
    for value in filters.values("exited"):
        if not value.lstrip("-").isdigit():
            raise InvalidArgumentError(
                f'strconv.Atoi: parsing "{value}": invalid syntax', reason="INVALID_FILTER"
            )
    filters.boolean("is-task")
    for key in ("publish", "expose"):
        for value in filters.values(key):
            try:
                port_range(value)
            except ValueError as error:
                raise InvalidArgumentError(
                    f"error while looking up for {key} {value}: {error}", reason="INVALID_FILTER"
                ) from None


def port_range(text: str) -> tuple[int, int, str]:
    """Return first, last and protocol of "80", "80-90/udp"; raises ValueError with Go's text."""
    numbers, _, protocol = text.partition("/")
    first, _, last = numbers.partition("-")
    for number in (first, last or first):
        if not number.isdigit():
            raise ValueError(f'strconv.ParseUint: parsing "{number}": invalid syntax')
    return int(first), int(last or first), protocol or "tcp"


def _bound(core: Core, filters: Filters, key: str) -> int | None:
    values = filters.values(key)
    if not values:
        return None
    reference = next(iter(values))
    try:
        return core.registry.find(reference).container.created_at_unix_nanos
    except NotFoundError as error:
        raise NotFoundError(f"no such container {reference}", reason=error.reason) from error


async def _ancestors(core: Core, filters: Filters) -> set[str] | None:
    """Return the ids of the images named by "ancestor" and of all made from them; None: no such filter."""
    names = filters.values("ancestor")
    if not names:
        return None
    leaf = core.leaves.image
    found: set[str] = set()
    for name in names:
        try:
            answer = await leaf(leaf.stub.GetImage, image_pb2.GetImageRequest(name=name))
            found.add(answer.image.id)
        except NotFoundError:
            continue
    if found:
        images = (await leaf(leaf.stub.ListImages, image_pb2.ListImagesRequest(all=True))).images
        grown = True
        while grown:
            grown = False
            for image in images:
                if image.parent_id in found and image.id not in found:
                    found.add(image.id)
                    grown = True
    return found


def matches(entry: Entry, filters: Filters, ancestors: set[str] | None) -> bool:
    """Tell whether a container passes all filters but before and since."""
    container, state = entry.container, entry.container.state
    if filters.boolean("is-task"):
        return False  # tasks are a swarm's
    if filters.values("id") and not any(entry.id.startswith(v) for v in filters.values("id")):
        return False
    # Docker matches both the bare name and the one with a slash.
    if not (filters.fuzzy("name", entry.name) or filters.fuzzy("name", f"/{entry.name}")):
        return False
    if not filters.exact("status", entry.status.value):
        return False
    if "exited" in filters and (
        is_up(entry.status)
        or not state.started_at_unix_nanos
        or str(state.exit_code) not in filters.values("exited")
    ):
        return False
    if not filters.exact("health", state.health_status or "none"):
        return False
    if not filters.match_labels(container.config.labels):
        return False
    if ancestors is not None and container.image_id not in ancestors:
        return False
    return _matches_places(entry, filters)


def _matches_places(entry: Entry, filters: Filters) -> bool:
    container = entry.container
    volumes = filters.values("volume")
    if volumes and not any(
        point.name in volumes or point.destination in volumes or (point.source and point.source in volumes)
        for point in container.mounts
    ):
        return False
    networks = filters.values("network")
    if networks:
        known = set(network_names(entry)) | {e.network_id for e in container.sandbox.endpoints}
        if not any(v in known or any(k.startswith(v) and len(v) >= 12 for k in known) for v in networks):
            return False
    if "publish" in filters:
        ports = [(p.host_port, p.protocol) for p in container.sandbox.ports]
        if not _any_port(ports, filters.values("publish")):
            return False
    if "expose" in filters:
        exposed = [port_range(text) for text in container.config.exposed_ports]
        ports = [(number, protocol) for first, last, protocol in exposed for number in range(first, last + 1)]
        if not _any_port(ports, filters.values("expose")):
            return False
    return True


def _any_port(ports: list[tuple[int, str]], wanted: set[str]) -> bool:
    for text in wanted:
        first, last, protocol = port_range(text)
        if any(first <= number <= last and kind == protocol for number, kind in ports):
            return True
    return False


def network_names(entry: Entry) -> list[str]:
    """Return the names of the networks a container is on."""
    if entry.container.sandbox.endpoints:
        return [endpoint.network_name for endpoint in entry.container.sandbox.endpoints]
    return [endpoint.network for endpoint in entry.container.networks]


def summary(entry: Entry) -> container_pb2.ContainerSummary:
    """Return the row of a container."""
    container = entry.container
    result = container_pb2.ContainerSummary(
        id=container.id,
        name=container.name,
        image=container.config.image,
        image_id=container.image_id,
        # As Docker: an argument with a blank in it stands in quotes.
        command=" ".join(f"'{word}'" if " " in word else word for word in [container.path, *container.args]),
        created_at_unix_nanos=container.created_at_unix_nanos,
        state=container.state,
        ports=container.sandbox.ports,
        labels=dict(container.config.labels),
        mounts=container.mounts,
        networks=network_names(entry),
    )
    # Without an address (host, none, disconnected from all) nothing is exposed.
    if is_up(entry.status) and any(e.ipv4_address or e.ipv6_address for e in container.sandbox.endpoints):
        published = {f"{p.container_port}/{p.protocol or 'tcp'}" for p in container.sandbox.ports}
        result.exposed_ports.extend(p for p in container.config.exposed_ports if p not in published)
    return result


async def prune_containers(
    core: Core, request: container_pb2.PruneContainersRequest
) -> container_pb2.PruneContainersResponse:
    """Remove containers that do not run; raises InvalidArgumentError for a bad filter."""
    from trine.engine.remove import delete_container

    filters = Filters(request.filters, ["label", "label!", "until"])
    until = prune_until(filters)
    response = container_pb2.PruneContainersResponse()
    for entry in core.registry.all():
        container = entry.container
        if is_up(entry.status) or entry.removing or entry.prepared is not None:
            continue
        if until is not None and container.created_at_unix_nanos > until:
            continue
        labels = container.config.labels
        if not filters.match_labels(labels) or filters.refuse_labels(labels):
            continue
        size, _ = await snapshot_sizes(core, entry.id)
        try:
            await delete_container(core, container_pb2.DeleteContainerRequest(container=entry.id))
        except EngineError as error:
            core.log.warning("not pruned", container=entry.id[:12], error=error.message)
            continue
        response.ids.append(entry.id)
        response.reclaimed_bytes += max(0, size)
    core.events.publish("container", "prune", "", {"reclaimed": str(response.reclaimed_bytes)})
    return response


def prune_until(filters: Filters) -> int | None:
    """Return the time of an until filter in nanoseconds (a timestamp, or a duration back from now)."""
    values = filters.values("until")
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgumentError("more than one until filter specified", reason="INVALID_FILTER")
    return parse_time(next(iter(values)), time.time_ns())


def parse_time(text: str, now: int) -> int:
    """Return nanoseconds of "1700000000[.n]", "10m", "1h30m" or an RFC 3339 date; raises for others."""
    import datetime
    import re

    match = re.fullmatch(r"(\d+)(?:\.(\d+))?", text)
    if match:
        return int(match[1]) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0")[:9])
    units = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|us|ns|s)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - int(sum(float(number) * units[unit] for number, unit in parts) * 1e9)
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidArgumentError(
            f'invalid filter: failed to parse "{text}" as a time', reason="INVALID_FILTER"
        ) from None
    return int(moment.timestamp() * 1e9)
