"""What the runtime and network services say about the host; asked once, kept until one comes back."""

from __future__ import annotations

from trine.engine.core import Core
from trine.kit.errors import EngineError
from trine.v1 import image_pb2, network_pb2, runtime_pb2


async def runtime_facts(core: Core) -> runtime_pb2.GetRuntimeInfoResponse:
    """Return what the runtime can do; empty when it does not answer (checks that need it are left out)."""
    if core.runtime_facts is None:
        leaf = core.leaves.runtime
        try:
            core.runtime_facts = await leaf(
                leaf.stub.GetRuntimeInfo, runtime_pb2.GetRuntimeInfoRequest(), timeout_seconds=5
            )
        except EngineError:
            return runtime_pb2.GetRuntimeInfoResponse()
    return core.runtime_facts


async def check_resources(core: Core, resources: image_pb2.Resources) -> list[str]:
    """Clear, in place, limits the host cannot keep; return warnings about them.

    Raises InvalidArgumentError with Docker's text for limits that make no sense.
    """
    if resources == image_pb2.Resources():
        return []
    leaf = core.leaves.runtime
    answer = await leaf(leaf.stub.CheckResources, runtime_pb2.CheckResourcesRequest(resources=resources))
    resources.CopyFrom(answer.resources)
    return list(answer.warnings)


async def network_facts(core: Core) -> network_pb2.GetNetworkInfoResponse:
    """Return what the network service found on the host; empty when it does not answer."""
    if core.network_facts is None:
        leaf = core.leaves.network
        try:
            core.network_facts = await leaf(
                leaf.stub.GetNetworkInfo, network_pb2.GetNetworkInfoRequest(), timeout_seconds=5
            )
        except EngineError:
            return network_pb2.GetNetworkInfoResponse()
    return core.network_facts


def forget_facts(core: Core) -> None:
    """Ask anew next time: a service came back."""
    core.runtime_facts = None
    core.network_facts = None
