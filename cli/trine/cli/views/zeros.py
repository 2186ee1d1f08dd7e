"""What a template finds where an object has nothing: the zero values of Go's types.

JSON leaves such fields out or shows null; ``{{.State.Health}}`` of a container without a health check
is <nil> and ``{{.Config.Labels}}`` map[], not an error.
"""

from __future__ import annotations

from trine.cli.text.values import GoStruct, NilList, NilMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAP, _LIST = NilMap(), NilList()


def _zeros(
    maps: str = "", lists: str = "", pointers: str = "", texts: str = "", flags: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(maps.split(), _MAP)
    found.update(dict.fromkeys(lists.split(), _LIST))
    found.update(dict.fromkeys(pointers.split()))
    found.update(dict.fromkeys(texts.split(), ""))
    found.update(dict.fromkeys(flags.split(), False))
    return found


_IMAGE = _zeros(
    lists="RepoTags RepoDigests Manifests", pointers="Descriptor", texts="Comment Container Variant OsVersion"
)
_IMAGE_CONFIG = _zeros(
    maps="ExposedPorts Volumes Labels",
    lists="Env Cmd Entrypoint OnBuild Shell",
    pointers="Healthcheck",
    texts="StopSignal",
    flags="ArgsEscaped",
)
_CONTAINER = _zeros(lists="Args ExecIDs Mounts", pointers="SizeRw SizeRootFs")
_CONTAINER_CONFIG = {
    **_IMAGE_CONFIG,
    **_zeros(pointers="StopTimeout", texts="MacAddress", flags="NetworkDisabled"),
}
_STATE = _zeros(pointers="Health")
_HOST_CONFIG = _zeros(
    maps="Annotations PortBindings StorageOpt Sysctls Tmpfs",
    lists="Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps "
    "BlkioWeightDevice CapAdd CapDrop DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch "
    "ExtraHosts GroupAdd Links MaskedPaths Mounts ReadonlyPaths SecurityOpt Ulimits VolumesFrom",
    pointers="Init MemorySwappiness OomKillDisable PidsLimit",
)


def with_zeros(found: dict[str, Any]) -> dict[str, Any]:
    """Return an inspected object for templates; JSON of it is as it was."""
    if "RootFS" in found:
        parts = {"Config": _IMAGE_CONFIG, "ContainerConfig": _CONTAINER_CONFIG}
        return _struct(found, _IMAGE, parts)
    if "HostConfig" in found:
        parts = {"Config": _CONTAINER_CONFIG, "State": _STATE, "HostConfig": _HOST_CONFIG}
        return _struct(found, _CONTAINER, parts)
    return found


def _struct(found: dict[str, Any], zeros: dict[str, Any], parts: dict[str, dict[str, Any]]) -> GoStruct:
    whole = GoStruct(found, zeros)
    for name, part_zeros in parts.items():
        whole[name] = GoStruct(whole[name], part_zeros)
    return whole
