"""Whether asked limits make sense, and which this kernel cannot keep; in Docker 20.10's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trine.v1 import image_pb2

MINIMUM_MEMORY_BYTES = 6 << 20
KERNEL_MEMORY_WARNING = (
    "Specifying a kernel memory limit is deprecated and will be removed in a future release."
)
_NOT_MOUNTED = "or the cgroup is not mounted."

_DISCARDED = {
    "memory": f"Your kernel does not support memory limit capabilities {_NOT_MOUNTED} Limitation discarded.",
    "swap": "Your kernel does not support swap limit capabilities "
    f"{_NOT_MOUNTED} Memory limited without swap.",
    "reservation": "Your kernel does not support memory soft limit capabilities "
    f"{_NOT_MOUNTED} Limitation discarded.",
    "swappiness": "Your kernel does not support memory swappiness capabilities "
    f"{_NOT_MOUNTED} Memory swappiness discarded.",
    "oom_kill_disable": "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "cpu_shares": f"Your kernel does not support CPU shares {_NOT_MOUNTED} Shares discarded.",
    "cpu_quota": "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    "cpuset": f"Your kernel does not support cpuset {_NOT_MOUNTED} Cpuset discarded.",
    "pids": f"Your kernel does not support PIDs limit capabilities {_NOT_MOUNTED} PIDs limit discarded.",
    "blkio_weight": f"Your kernel does not support Block I/O weight {_NOT_MOUNTED} Weight discarded.",
    "blkio_weight_device": f"Your kernel does not support Block I/O weight_device {_NOT_MOUNTED} "
    "Weight-device discarded.",
    "device_read_bps": f"Your kernel does not support BPS Block I/O read limit {_NOT_MOUNTED} "
    "Block I/O BPS read limit discarded.",
    "device_write_bps": f"Your kernel does not support BPS Block I/O write limit {_NOT_MOUNTED} "
    "Block I/O BPS write limit discarded.",
    "device_read_iops": f"Your kernel does not support IOPS Block read limit {_NOT_MOUNTED} "
    "Block I/O IOPS read limit discarded.",
    "device_write_iops": f"Your kernel does not support IOPS Block write limit {_NOT_MOUNTED} "
    "Block I/O IOPS write limit discarded.",
}
_INFO = (
    ("memory", "WARNING: No memory limit support"),
    ("swap", "WARNING: No swap limit support"),
    ("oom_kill_disable", "WARNING: No oom kill disable support"),
    ("cpu_quota", "WARNING: No cpu cfs quota support"),
    ("cpu_quota", "WARNING: No cpu cfs period support"),
    ("cpu_shares", "WARNING: No cpu shares support"),
    ("cpuset", "WARNING: No cpuset support"),
)


class LimitError(ValueError):
    """A limit that makes no sense; one line for the user."""


def warning(feature: str) -> str:
    """Return the line for a limit that could not be kept."""
    return _DISCARDED.get(
        feature, f"Your kernel does not support {feature} {_NOT_MOUNTED} Limitation discarded."
    )


def info_warnings(features: Iterable[str], version: int) -> list[str]:
    """Return what `trine info` says of a host's control groups."""
    have = set(features)
    return [
        text for name, text in _INFO if name not in have and not (version == 2 and name == "oom_kill_disable")
    ]


def discard_unsupported(wanted: image_pb2.Resources, features: Iterable[str]) -> list[str]:
    """Clear, in place, the limits this kernel lacks, and return a warning for each, in Docker's order.

    Raises:
        LimitError: --cpus on a kernel without the CFS quota, which Docker refuses.
    """
    have = set(features)
    warnings: list[str] = []

    def drop(feature: str, fields: dict[str, object], asked: bool) -> None:
        if not asked or feature in have:
            return
        warnings.append(_DISCARDED[feature])
        for name, value in fields.items():
            setattr(wanted, name, value)

    drop("memory", {"memory_bytes": 0, "memory_swap_bytes": 0}, wanted.memory_bytes > 0)
    # Also when only memory was asked for: Docker then limits swap too, so it says so.
    drop("swap", {"memory_swap_bytes": -1}, wanted.memory_bytes > 0 and wanted.memory_swap_bytes != -1)
    drop(
        "swappiness",
        {"memory_swappiness_set": False, "memory_swappiness": 0},
        wanted.memory_swappiness_set,
    )
    drop("reservation", {"memory_reservation_bytes": 0}, wanted.memory_reservation_bytes > 0)
    drop("oom_kill_disable", {"oom_kill_disable": False}, wanted.oom_kill_disable)
    if wanted.oom_kill_disable and not wanted.memory_bytes:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    drop("pids", {"pids_limit": 0}, wanted.pids_limit > 0)
    drop("cpu_shares", {"cpu_shares": 0}, wanted.cpu_shares > 0)
    if wanted.nano_cpus > 0 and "cpu_quota" not in have:
        raise LimitError(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler "
            "or the cgroup is not mounted"
        )
    drop(
        "cpu_quota",
        {"cpu_period_micros": 0, "cpu_quota_micros": 0},
        wanted.cpu_period_micros > 0 or wanted.cpu_quota_micros > 0,
    )
    drop("cpuset", {"cpuset_cpus": "", "cpuset_mems": ""}, bool(wanted.cpuset_cpus or wanted.cpuset_mems))
    drop("blkio_weight", {"blkio_weight": 0}, wanted.blkio_weight > 0)
    for name, feature in (
        ("blkio_weight_devices", "blkio_weight_device"),
        ("device_read_bps", "blkio_throttle"),
        ("device_write_bps", "blkio_throttle"),
        ("device_read_iops", "blkio_throttle"),
        ("device_write_iops", "blkio_throttle"),
    ):
        if getattr(wanted, name) and feature not in have:
            warnings.append(_DISCARDED[feature if feature in _DISCARDED else name])
            del getattr(wanted, name)[:]
    if (
        wanted.cpu_realtime_period_micros or wanted.cpu_realtime_runtime_micros
    ) and "cpu_realtime" not in have:
        raise LimitError("Your kernel does not support CPU real-time scheduler")
    return warnings


def check(wanted: image_pb2.Resources, cpus: int, cpus_available: str = "", mems_available: str = "") -> None:
    """Refuse limits that contradict each other or the host.

    Args:
        wanted: as asked.
        cpus: how many the host has.
        cpus_available: list of the host's CPUs ("0-3"), not checked when empty.
        mems_available: likewise for memory nodes.

    Raises:
        LimitError: in Docker's words.
    """
    _check_memory(wanted)
    _check_cpu(wanted, cpus)
    for kind, what, asked, available in (
        ("cpus", "CPUs", wanted.cpuset_cpus, cpus_available),
        ("mems", "memory nodes", wanted.cpuset_mems, mems_available),
    ):
        if not asked:
            continue
        try:
            numbers = parse_list(asked)
        except ValueError:
            raise LimitError(f"Invalid value {asked} for cpuset {kind}: invalid format: {asked}") from None
        if available and not numbers <= parse_list(available):
            raise LimitError(
                f"Requested {what} are not available - requested {asked}, available: {available}"
            )
    if wanted.blkio_weight and not 10 <= wanted.blkio_weight <= 1000:
        raise LimitError("Range of blkio weight is from 10 to 1000")


def _check_memory(wanted: image_pb2.Resources) -> None:
    memory, swap = wanted.memory_bytes, wanted.memory_swap_bytes
    reservation = wanted.memory_reservation_bytes
    if memory and memory < MINIMUM_MEMORY_BYTES:
        raise LimitError("Minimum memory limit allowed is 6MB")
    if memory and 0 < swap < memory:
        raise LimitError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if not memory and swap > 0:
        raise LimitError("You should always set the Memory limit when using Memoryswap limit, see usage")
    if wanted.memory_swappiness_set and not 0 <= wanted.memory_swappiness <= 100:
        raise LimitError(f"Invalid value: {wanted.memory_swappiness}, valid memory swappiness range is 0-100")
    if reservation and reservation < MINIMUM_MEMORY_BYTES:
        raise LimitError("Minimum memory reservation allowed is 6MB")
    if memory and reservation and memory < reservation:
        raise LimitError("Minimum memory limit can not be less than memory reservation limit, see usage")
    if wanted.kernel_memory_bytes and wanted.kernel_memory_bytes < MINIMUM_MEMORY_BYTES:
        raise LimitError("Minimum kernel memory limit allowed is 6MB")


def _check_cpu(wanted: image_pb2.Resources, cpus: int) -> None:
    if wanted.nano_cpus:
        for value, name in ((wanted.cpu_period_micros, "Period"), (wanted.cpu_quota_micros, "Quota")):
            if value > 0:
                raise LimitError(f"Conflicting options: Nano CPUs and CPU {name} cannot both be set")
        if not 10_000_000 <= wanted.nano_cpus <= cpus * 1_000_000_000:
            raise LimitError(
                f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )
    if wanted.cpu_shares < 0:
        raise LimitError("shares: invalid argument")
    if 0 < wanted.cpu_realtime_period_micros < wanted.cpu_realtime_runtime_micros:
        raise LimitError("cpu real-time runtime cannot be higher than cpu real-time period")
    period, quota = wanted.cpu_period_micros, wanted.cpu_quota_micros
    if period and not 1_000 <= period <= 1_000_000:
        raise LimitError(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if quota > 0 and quota < 1_000:
        raise LimitError("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def parse_list(text: str) -> frozenset[int]:
    """Return the numbers of a kernel list ("0-2,5"; cpuset(7) "List format"); ValueError when it is none."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(text)
        low, high = int(first), int(last or first)
        if high < low or high > 8191:
            raise ValueError(text)
        numbers.update(range(low, high + 1))
    return frozenset(numbers)
