"""Resource usage of containers: following it, and the columns of ``stats``."""

from __future__ import annotations

from time import monotonic

from trine.cli.text.columns import Style
from trine.cli.text.table import listing
from trine.cli.text.units import binary_size, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.text.columns import Columns
    from trine.cli.wire import Message

_USUAL = ["Container", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"]
_PATIENCE_SECONDS = 5.0
_LIST_SECONDS = 1.0  # how often to look for containers that came or went


def cpu_percent(sample: Message) -> float:
    """Return the share of one CPU, in percent, since the sample before."""
    used = sample.cpu_usage_nanos - sample.previous_cpu_usage_nanos
    total = sample.system_cpu_usage_nanos - sample.previous_system_cpu_usage_nanos
    if not sample.previous_system_cpu_usage_nanos or used <= 0 or total <= 0:
        return 0.0
    return float(used / total * (sample.online_cpus or 1) * 100)


def memory_percent(sample: Message) -> float:
    """Return the share of the limit, in percent."""
    limit = sample.memory_limit_bytes
    return float(sample.memory_usage_bytes / limit * 100) if limit else 0.0


class Usage:
    """Usage of some containers, or of all."""

    def __init__(self, app: App, names: list[str], *, everything: bool, truncate: bool) -> None:
        """Find the containers; raises DaemonError for a name that is none."""
        self._app = app
        self._truncate = truncate
        self._all = everything
        self._fixed = bool(names)
        self._names: dict[str, str] = {}  # id to name, in the order shown
        self._shown: dict[str, str] = {}  # id to what the first column says
        self._samples: dict[str, Message] = {}
        self._listed = monotonic()
        if names:
            calls = [app.client.start("ContainerService.GetContainer", {"container": n}) for n in names]
            for name, call in zip(names, calls, strict=True):
                container = call.result().container
                self._names[container.id] = container.name
                self._shown[container.id] = name
        else:
            self._list()
        ids = list(self._names) if names else []
        self._call = app.client.start("ContainerService.WatchContainerUsage", {"container_ids": ids})

    def _list(self) -> None:
        answer = self._app.client.call("ContainerService.ListContainers", {"all": self._all})
        self._names = {row.id: row.name for row in answer.containers}
        self._listed = monotonic()

    def read(self, seconds: float) -> bool:
        """Take the samples of so many seconds; return False when no more come. Raises DaemonError."""
        deadline = monotonic() + seconds
        while (left := deadline - monotonic()) > 0:
            try:
                sample = self._call.receive(left)
            except TimeoutError:
                break
            if sample is None:
                return False
            self._samples[sample.container_id] = sample
        if not self._fixed and monotonic() - self._listed > _LIST_SECONDS:
            self._list()
        return True

    def read_twice(self) -> None:
        """Take two samples of each container, for a share of the CPU takes two."""
        deadline = monotonic() + _PATIENCE_SECONDS
        waiting = set(self._names)
        while waiting and (left := deadline - monotonic()) > 0:
            try:
                sample = self._call.receive(left)
            except TimeoutError:
                return
            if sample is None:
                return
            self._samples[sample.container_id] = sample
            if sample.previous_system_cpu_usage_nanos:
                waiting.discard(sample.container_id)

    def listing(self, form: str) -> str:
        """Return the table, or what --format asks for."""
        return listing(form, self._columns(), _USUAL, list(self._names), Style("*container.statsContext"))

    def _columns(self) -> Columns:
        def sample(identifier: str) -> Message | None:
            return self._samples.get(identifier)

        def short(identifier: str) -> str:
            return identifier[:12] if self._truncate else identifier

        def container(identifier: str) -> str:
            return self._shown.get(identifier) or short(identifier)

        def cpu(identifier: str) -> str:
            found = sample(identifier)
            return f"{cpu_percent(found):.2f}%" if found else "--"

        def memory(identifier: str) -> str:
            found = sample(identifier)
            if not found:
                return "-- / --"
            return f"{binary_size(found.memory_usage_bytes)} / {binary_size(found.memory_limit_bytes)}"

        def share(identifier: str) -> str:
            found = sample(identifier)
            return f"{memory_percent(found):.2f}%" if found else "--"

        def network(identifier: str) -> str:
            found = sample(identifier)
            if not found:
                return "--"
            received, sent = found.network_received_bytes, found.network_sent_bytes
            return f"{human_size(received, 3)} / {human_size(sent, 3)}"

        def block(identifier: str) -> str:
            found = sample(identifier)
            if not found:
                return "--"
            return f"{human_size(found.block_read_bytes, 3)} / {human_size(found.block_written_bytes, 3)}"

        def pids(identifier: str) -> str:
            found = sample(identifier)
            return str(found.pids) if found else "--"

        return {
            "Container": ("CONTAINER ID", container),
            "ID": ("CONTAINER ID", short),
            "Name": ("NAME", lambda identifier: self._names.get(identifier, "--")),
            "CPUPerc": ("CPU %", cpu),
            "MemUsage": ("MEM USAGE / LIMIT", memory),
            "MemPerc": ("MEM %", share),
            "NetIO": ("NET I/O", network),
            "BlockIO": ("BLOCK I/O", block),
            "PIDs": ("PIDS", pids),
        }
