"""The engine "killed" at each call to a leaf, before and after its effect: the next one puts it right."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.fakes import Stack, World
from trine.engine.states import has_process
from trine.v1 import container_pb2 as c

# create: PrepareSnapshot; start: CreateSandbox, CreateRuntimeContainer, StartRuntimeContainer; exit and
# removal: DeleteRuntimeContainer, DeleteSandbox, DeleteSnapshot. Beyond the last nothing dies.
_CALLS = 11


def consistent(stack: Stack) -> None:
    """Records equal what the leaves hold."""
    world = stack.world
    entries = list(stack.engine._core.registry)
    up = {entry.id for entry in entries if has_process(entry.status)}
    assert set(world.snapshots) == {entry.id for entry in entries}
    assert set(world.sandboxes) == up
    assert set(world.containers) == up
    assert world.kept_data <= {entry.id for entry in entries}


async def _whole_life(stack: Stack, auto_remove: bool, ends: bool) -> None:
    api = stack.containers
    config = c.ContainerConfig(image="busybox", auto_remove=auto_remove)
    key = (await api.CreateContainer(c.CreateContainerRequest(name="web", config=config))).id
    await api.StartContainer(c.StartContainerRequest(container=key))
    if ends:
        stack.world.end(key, 5)
    elif not auto_remove:
        await api.DeleteContainer(c.DeleteContainerRequest(container=key, force=True))
    await asyncio.sleep(3600)


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "removed"])
@pytest.mark.parametrize("auto_remove", [False, True], ids=["plain", "rm"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, _CALLS + 1))
def test_killed_at_each_call(tmp_path: Path, number: int, after: bool, auto_remove: bool, ends: bool) -> None:
    async def main() -> None:
        world = World()
        (tmp_path / "first").mkdir()
        first = await Stack(tmp_path / "first", world).open()
        # Calls of the first recover are over; count from here.
        first.faults.count = 0
        first.faults.die_at, first.faults.die_after = number, after
        life = asyncio.create_task(_whole_life(first, auto_remove, ends))
        try:
            await asyncio.wait_for(first.faults.dead.wait(), 0.3)
        except TimeoutError:
            pass  # that many calls there are not: killed at rest
        first.faults.dead.set()
        (tmp_path / "second").mkdir()
        first.copy_state(tmp_path / "second")
        life.cancel()
        for container in list(world.containers.values()):
            if ends and container.state:
                world.end(container.id, 5)  # ends while no engine is there
        second = await Stack(tmp_path / "second", world).open(1)
        try:
            consistent(second)
            for entry in second.engine._core.registry:
                assert not auto_remove or has_process(entry.status), "--rm leaves nothing that is down"
                if entry.container.state.started_at_unix_nanos and not has_process(entry.status):
                    assert entry.container.state.exit_code in ((5,) if ends else (137, 5))
            request = c.ListContainersRequest(all=True)
            for item in (await second.containers.ListContainers(request)).containers:
                await second.containers.DeleteContainer(
                    c.DeleteContainerRequest(container=item.id, force=True)
                )
            consistent(second)
            assert not world.snapshots
        finally:
            await second.close()
            await asyncio.gather(life, return_exceptions=True)
            first.faults.dead.set()
            await first.close()

    asyncio.run(main())
