"""NetworkService of trine.v1: each method reads its message, calls a use case, writes the answer."""

from __future__ import annotations

from typing import Any

from trine.network import convert
from trine.network.service import NetworkProgram
from trine.v1 import network_pb2 as pb
from trine.v1 import network_pb2_grpc


class NetworkServicer(network_pb2_grpc.NetworkServiceServicer):
    """See protos/trine/v1/network.proto."""

    def __init__(self, program: NetworkProgram) -> None:
        """Serve one program."""
        self._program = program
        self._networks, self._sandboxes = program.networks, program.sandboxes

    async def ListNetworks(self, request: pb.ListNetworksRequest, context: Any) -> pb.ListNetworksResponse:
        """List networks, by name."""
        found = self._networks.list(list(request.filters))
        return pb.ListNetworksResponse(networks=[convert.network_message(n) for n in found])

    async def GetNetwork(self, request: pb.GetNetworkRequest, context: Any) -> pb.GetNetworkResponse:
        """Return one network with its endpoints."""
        state = self._program.state
        network = state.find_network(request.name)
        message = convert.network_message(network)
        message.endpoints.extend(
            convert.endpoint_message(s, e, network.name)
            for s, e in state.endpoints_of(network.id)
            if s.state == "ready"
        )
        return pb.GetNetworkResponse(network=message)

    async def CreateNetwork(self, request: pb.CreateNetworkRequest, context: Any) -> pb.CreateNetworkResponse:
        """Create a bridge network."""
        network, warning = await self._networks.create(convert.network_request(request))
        return pb.CreateNetworkResponse(id=network.id, warning=warning)

    async def DeleteNetwork(self, request: pb.DeleteNetworkRequest, context: Any) -> pb.DeleteNetworkResponse:
        """Delete a network without endpoints."""
        network = await self._networks.delete(request.name)
        return pb.DeleteNetworkResponse(name=network.name, id=network.id)

    async def PruneNetworks(self, request: pb.PruneNetworksRequest, context: Any) -> pb.PruneNetworksResponse:
        """Delete unused user-made networks."""
        names = await self._networks.prune(list(request.filters), list(request.keep))
        return pb.PruneNetworksResponse(names=names)

    async def CreateSandbox(self, request: pb.CreateSandboxRequest, context: Any) -> pb.CreateSandboxResponse:
        """Make a sandbox, all or nothing."""
        sandbox = await self._sandboxes.create(convert.sandbox_request(request))
        return pb.CreateSandboxResponse(
            sandbox=convert.sandbox_message(sandbox), resolv_conf=self._sandboxes.resolv_conf(sandbox)
        )

    async def GetSandbox(self, request: pb.GetSandboxRequest, context: Any) -> pb.GetSandboxResponse:
        """Return one sandbox."""
        return pb.GetSandboxResponse(sandbox=convert.sandbox_message(self._sandboxes.get(request.id)))

    async def ListSandboxes(self, request: pb.ListSandboxesRequest, context: Any) -> pb.ListSandboxesResponse:
        """List sandboxes."""
        return pb.ListSandboxesResponse(
            sandboxes=[convert.sandbox_message(s) for s in self._sandboxes.list()]
        )

    async def DeleteSandbox(self, request: pb.DeleteSandboxRequest, context: Any) -> pb.DeleteSandboxResponse:
        """Delete a sandbox and its endpoints."""
        await self._sandboxes.delete(request.id)
        return pb.DeleteSandboxResponse()

    async def CreateEndpoint(
        self, request: pb.CreateEndpointRequest, context: Any
    ) -> pb.CreateEndpointResponse:
        """Connect a sandbox to one more network."""
        wish = convert.endpoint_wish(request.endpoint)
        sandbox, endpoint, old = await self._sandboxes.connect(request.sandbox_id, wish)
        new = self._sandboxes.resolv_conf(sandbox)
        return pb.CreateEndpointResponse(
            endpoint=convert.endpoint_message(sandbox, endpoint),
            sandbox=convert.sandbox_message(sandbox),
            resolv_conf="" if new == old else new,
            old_resolv_conf="" if new == old else old,
        )

    async def DeleteEndpoint(
        self, request: pb.DeleteEndpointRequest, context: Any
    ) -> pb.DeleteEndpointResponse:
        """Disconnect a sandbox from a network."""
        sandbox = await self._sandboxes.disconnect(request.sandbox_id, request.network, request.force)
        return pb.DeleteEndpointResponse(sandbox=convert.sandbox_message(sandbox))

    async def RenameSandbox(self, request: pb.RenameSandboxRequest, context: Any) -> pb.RenameSandboxResponse:
        """Tell a container's new name."""
        await self._sandboxes.rename(request.id, request.container_name)
        return pb.RenameSandboxResponse()

    async def GetNetworkInfo(
        self, request: pb.GetNetworkInfoRequest, context: Any
    ) -> pb.GetNetworkInfoResponse:
        """Tell what the host can do."""
        return pb.GetNetworkInfoResponse(**self._program.info())
