"""Give a container another name."""

from __future__ import annotations

from trine.engine.core import Core
from trine.engine.names import check_name
from trine.engine.states import has_process
from trine.kit.errors import AlreadyExistsError, EngineError, InvalidArgumentError
from trine.v1 import container_pb2, network_pb2


async def rename_container(
    core: Core, request: container_pb2.RenameContainerRequest
) -> container_pb2.RenameContainerResponse:
    """Rename; raises NotFoundError, InvalidArgumentError, AlreadyExistsError."""
    if not request.container or not request.new_name:
        raise InvalidArgumentError("Neither old nor new names may be empty")
    entry = core.registry.find(request.container)
    async with entry.lock:
        old, new = entry.name, request.new_name.removeprefix("/")
        if old == new:
            raise InvalidArgumentError("Renaming a container with the same name as its current name")
        try:
            new = check_name(f"/{new}")  # the slash is in what Docker tells of a bad one
            core.registry.reserve(new, entry.id)
        except (AlreadyExistsError, InvalidArgumentError) as error:
            raise type(error)(
                f"Error when allocating new name: {error.message}",
                reason=error.reason,
                metadata=error.metadata,
            ) from error
        entry.container.name = new
        core.save(entry)
        try:
            await core.store.flush()
            if has_process(entry.status) and entry.container.sandbox.id:
                leaf = core.leaves.network
                await leaf(
                    leaf.stub.RenameSandbox,
                    network_pb2.RenameSandboxRequest(id=entry.id, container_name=new),
                )
        except EngineError:
            entry.container.name = old
            core.save(entry)
            core.registry.release(new, entry.id)
            raise
        core.registry.release(old, entry.id)
    core.events.container(entry.container, "rename", oldName=f"/{old}")
    return container_pb2.RenameContainerResponse()
