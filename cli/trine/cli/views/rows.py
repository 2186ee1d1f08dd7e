"""The columns of ``ps``."""

from __future__ import annotations

from time import time_ns

from trine.cli.text.units import ellipsis, human_duration, human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

CONTAINER_COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
_COMMAND_WIDTH = 20


def status_text(state: Message, now: int | None = None) -> str:
    """Return the STATUS column, "Up 52 seconds", "Exited (130) 7 seconds ago"."""
    now = time_ns() if now is None else now
    status = state.status
    if status in ("CONTAINER_STATUS_RUNNING", "CONTAINER_STATUS_PAUSED"):
        text = f"Up {human_duration((now - state.started_at_unix_nanos) / 1e9)}"
        if status.endswith("PAUSED"):
            return f"{text} (Paused)"
        health = state.health_status
        if health:
            return f"{text} ({'health: starting' if health == 'starting' else health})"
        return text
    ago = f"{human_duration((now - state.finished_at_unix_nanos) / 1e9)} ago"
    if status == "CONTAINER_STATUS_RESTARTING":
        return f"Restarting ({state.exit_code}) {ago}"
    if status == "CONTAINER_STATUS_REMOVING":
        return "Removal In Progress"
    if status == "CONTAINER_STATUS_DEAD":
        return "Dead"
    if status == "CONTAINER_STATUS_EXITED":
        return f"Exited ({state.exit_code}) {ago}" if state.finished_at_unix_nanos else ""
    return "Created"


def state_name(state: Message) -> str:
    """Return the state in one word, "running"."""
    return str(state.status).removeprefix("CONTAINER_STATUS_").lower()


def _port_entries(row: Message) -> list[tuple[int, str, int, str]]:
    """Return (container port, host address, host port, protocol), published and merely exposed."""
    entries = []
    published = set()
    for port in row.ports:
        protocol = port.protocol or "tcp"
        published.add(f"{port.container_port}/{protocol}")
        entries.append((port.container_port, port.host_ip or "0.0.0.0", port.host_port, protocol))
    for exposed in row.exposed_ports:
        number, _, protocol = exposed.partition("/")
        if exposed not in published and number.isdigit() and f"{number}/{protocol or 'tcp'}" not in published:
            entries.append((int(number), "", 0, protocol or "tcp"))
    return sorted(set(entries))


def ports_text(row: Message) -> str:
    """Return the PORTS column: neighbours are joined to ranges (docker/cli's DisplayablePorts)."""
    groups: dict[str, list[int]] = {}
    done: list[str] = []
    mappings: list[str] = []
    for private, address, public, protocol in _port_entries(row):
        key = protocol
        if address:
            if public != private:
                mappings.append(f"{_joined(address, str(public))}->{private}/{protocol}")
                continue
            key = f"{address}/{protocol}"
        group = groups.get(key)
        if group is not None and private == group[1] + 1:
            group[1] = private
            continue
        if group is not None:
            done.append(_group_text(key, *group))
        groups[key] = [private, private]
    done += [_group_text(key, *group) for key, group in groups.items()]
    return ", ".join(done + mappings)


def _joined(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _group_text(key: str, first: int, last: int) -> str:
    address, _, protocol = key.rpartition("/")
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{_joined(address, ports)}->{ports}/{protocol}" if address else f"{ports}/{protocol}"


def size_text(row: Message) -> str:
    """Return the SIZE column, "2B (virtual 4.86MB)"."""
    text = human_size(row.size_rw_bytes, 3)
    if row.size_root_bytes > 0:
        text += f" (virtual {human_size(row.size_root_bytes, 3)})"
    return text


def image_text(row: Message, truncate: bool) -> str:
    """Return the IMAGE column; an id is cut, and so is a digest."""
    name = row.image or "<no image>"
    if truncate and name.startswith("sha256:"):
        return short_id(name)
    if truncate and len(name) == 64 and row.image_id.endswith(name):
        return str(name[:12])
    return str(name)


def container_columns(*, truncate: bool) -> Columns:
    """Return all columns of ``ps``."""
    from trine.cli.text import times

    def command(row: Message) -> str:
        text = row.command
        shown = ellipsis(text, _COMMAND_WIDTH) if truncate else text
        return '"' + shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    def mounts(row: Message) -> str:
        names = [mount.name or mount.source for mount in row.mounts]
        return ",".join(ellipsis(name, 15) if truncate else name for name in names)

    def labels(row: Message) -> str:
        return ",".join(f"{key}={value}" for key, value in sorted(row.labels.items()))

    return {
        "ID": ("CONTAINER ID", lambda row: short_id(row.id) if truncate else row.id),
        # Docker keeps the names of legacy links for --no-trunc.
        "Names": (
            "NAMES",
            lambda row: row.name if truncate else ",".join(sorted([row.name, *row.link_names])),
        ),
        "Image": ("IMAGE", lambda row: image_text(row, truncate)),
        "Command": ("COMMAND", command),
        "CreatedAt": ("CREATED AT", lambda row: times.go_string(row.created_at_unix_nanos)),
        "RunningFor": (
            "CREATED",
            lambda row: human_duration((time_ns() - row.created_at_unix_nanos) / 1e9) + " ago",
        ),
        "Ports": ("PORTS", ports_text),
        "State": ("STATE", lambda row: state_name(row.state)),
        "Status": ("STATUS", lambda row: status_text(row.state)),
        "Size": ("SIZE", size_text),
        "Labels": ("LABELS", labels),
        "Label": ("", lambda row: lambda name: row.labels.get(name, "")),
        "Mounts": ("MOUNTS", mounts),
        "LocalVolumes": ("LOCAL VOLUMES", lambda row: str(sum(1 for m in row.mounts if m.driver == "local"))),
        "Networks": ("NETWORKS", lambda row: ",".join(row.networks)),
        "Platform": ("PLATFORM", lambda row: None),  # as of an engine before API 1.48
    }
