"""Create, start, exit, removal over leaves that fail or vanish at each call: nothing is left half-made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from engine.fakes import Stack, World, eventually
from trine.kit.errors import EngineError, InternalError, UnavailableError, from_rpc_error
from trine.v1 import container_pb2 as c
from trine.v1 import image_pb2, network_pb2, system_pb2, volume_pb2


def run(directory: Path, scenario: Callable[[Stack], Awaitable[None]], world: World | None = None) -> None:
    async def main() -> None:
        stack = await Stack(directory, world or World()).open()
        try:
            await asyncio.wait_for(scenario(stack), 20)
        finally:
            await stack.close()

    asyncio.run(main())


def config(**fields: object) -> c.ContainerConfig:
    return c.ContainerConfig(image="busybox", **fields)  # type: ignore[arg-type]


async def create(stack: Stack, name: str = "", **fields: object) -> str:
    answer = await stack.containers.CreateContainer(
        c.CreateContainerRequest(name=name, config=config(**fields))
    )
    return answer.id


async def failure(call: Awaitable[object]) -> EngineError:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def state(stack: Stack, name: str) -> c.Container:
    return (await stack.containers.GetContainer(c.GetContainerRequest(container=name))).container


def names(world: World) -> tuple[set[str], set[str], set[str]]:
    return set(world.snapshots), set(world.sandboxes), set(world.containers)


def test_life_of_a_container(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        world = stack.world
        key = await create(stack, "web")
        assert names(world) == ({key}, set(), set())  # created: nothing of network or runtime
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        assert names(world) == ({key}, {key}, {key})
        now = await state(stack, "web")
        assert now.state.status == c.CONTAINER_STATUS_RUNNING and now.state.process_id == 4242
        world.end(key, 7)
        await eventually(lambda: names(world) == ({key}, set(), set()))
        now = await state(stack, key[:6])
        assert (now.state.status, now.state.exit_code) == (c.CONTAINER_STATUS_EXITED, 7)
        assert key in world.kept_data  # the log stays
        await stack.containers.DeleteContainer(c.DeleteContainerRequest(container="/web"))
        assert names(world) == (set(), set(), set()) and not world.kept_data
        error = await failure(stack.containers.GetContainer(c.GetContainerRequest(container="web")))
        assert (error.message, error.reason) == ("No such container: web", "NO_SUCH_CONTAINER")

    run(tmp_path, scenario)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["PrepareSnapshot"])
def test_failing_create_leaves_nothing(tmp_path: Path, call: str, when: str) -> None:
    async def scenario(stack: Stack) -> None:
        stack.faults.by_name[call] = (when, InternalError("broken"))
        mount = c.ContainerMount(type="volume", target="/data")
        error = await failure(create(stack, "web", mounts=[mount]))
        assert error.message == "broken"
        assert names(stack.world) == (set(), set(), set())
        volumes = await stack.volumes.ListVolumes(volume_pb2.ListVolumesRequest())
        assert not volumes.volumes
        assert await create(stack, "web")  # the name is free again

    run(tmp_path, scenario)


def test_bad_request_after_the_snapshot_removes_it_and_new_volumes(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        mounts = [
            c.ContainerMount(type="volume", target="/data", source="fresh"),
            c.ContainerMount(type="volume", target="/data", source="other"),
        ]
        error = await failure(create(stack, mounts=mounts))
        assert error.message == "Duplicate mount point: /data"
        stack.world.image_config.ClearField("cmd")
        error = await failure(create(stack))
        assert error.message == "No command specified"
        assert names(stack.world) == (set(), set(), set())
        assert not (await stack.volumes.ListVolumes(volume_pb2.ListVolumesRequest())).volumes

    run(tmp_path, scenario)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["CreateSandbox", "CreateRuntimeContainer", "StartRuntimeContainer"])
@pytest.mark.parametrize("auto_remove", [False, True])
def test_failing_start_is_undone(tmp_path: Path, call: str, when: str, auto_remove: bool) -> None:
    async def scenario(stack: Stack) -> None:
        key = await create(stack, "web", auto_remove=auto_remove)
        stack.faults.by_name[call] = (when, InternalError("broken"))
        error = await failure(stack.containers.StartContainer(c.StartContainerRequest(container="web")))
        assert error.message == "broken"
        if auto_remove:
            assert names(stack.world) == (set(), set(), set())
            assert len(stack.engine._core.registry) == 0
            return
        assert names(stack.world) == ({key}, set(), set())
        now = (await state(stack, "web")).state
        assert (now.status, now.exit_code, now.error) == (c.CONTAINER_STATUS_CREATED, 128, "broken")
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        assert (await state(stack, "web")).state.error == ""

    run(tmp_path, scenario)


def test_command_not_found_is_127_and_stays_created(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        await create(stack, "web", cmd=["missing"])
        error = await failure(stack.containers.StartContainer(c.StartContainerRequest(container="web")))
        assert "executable file not found in $PATH" in error.message
        now = (await state(stack, "web")).state
        assert (now.status, now.exit_code) == (c.CONTAINER_STATUS_CREATED, 127)
        assert now.error == error.message

    run(tmp_path, scenario)


def test_port_in_use_has_dockers_words(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        port = network_pb2.PortMapping(host_port=8080, container_port=80, protocol="tcp")
        await create(stack, "one", ports=[port])
        await create(stack, "two", ports=[port])
        await stack.containers.StartContainer(c.StartContainerRequest(container="one"))
        error = await failure(stack.containers.StartContainer(c.StartContainerRequest(container="two")))
        assert error.message.startswith("driver failed programming external connectivity on endpoint two (")
        assert error.message.endswith("Bind for 0.0.0.0:8080 failed: port is already allocated")
        assert (await state(stack, "two")).state.status == c.CONTAINER_STATUS_CREATED

    run(tmp_path, scenario)


def test_prepared_and_not_started_is_taken_down(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        from trine.v1 import runtime_pb2

        key = await create(stack, "web")
        request = runtime_pb2.GetAttachSocketRequest(container_id="web")
        answer = await stack.containers.GetContainerAttachSocket(request)
        assert answer.path == f"/shim/{key}" and names(stack.world) == ({key}, {key}, {key})
        await eventually(lambda: names(stack.world) == ({key}, set(), set()))
        await stack.containers.GetContainerAttachSocket(request)
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        await asyncio.sleep(0.3)  # longer than the time a prepared one has
        assert names(stack.world) == ({key}, {key}, {key})

    run(tmp_path, scenario)


def test_process_that_ends_before_start_returns(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        stack.world.exits_at_once = True
        for number in range(5):
            key = await create(stack, f"c{number}", auto_remove=True)
            wait = stack.containers.WaitContainer(
                c.WaitContainerRequest(container=key, condition=c.WAIT_CONDITION_REMOVED)
            )
            first = await wait.read()
            assert isinstance(first, c.WaitContainerResponse) and first.registered
            await stack.containers.StartContainer(c.StartContainerRequest(container=key))
            last = await wait.read()
            assert isinstance(last, c.WaitContainerResponse) and last.exit_code == 0
        assert names(stack.world) == (set(), set(), set())

    run(tmp_path, scenario)


def test_many_clients_at_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        stack.world.exits_at_once = True
        gate = asyncio.Semaphore(8)

        async def one(number: int) -> None:
            async with gate:
                key = await create(stack, auto_remove=True)
                wait = stack.containers.WaitContainer(
                    c.WaitContainerRequest(container=key, condition=c.WAIT_CONDITION_REMOVED)
                )
                await wait.read()
                await stack.containers.StartContainer(c.StartContainerRequest(container=key))
                await wait.read()

        await asyncio.gather(*(one(n) for n in range(100)))
        assert names(stack.world) == (set(), set(), set())

    run(tmp_path, scenario)


def test_stop_kill_pause_and_their_refusals(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        api = stack.containers
        key = await create(stack, "web")
        error = await failure(api.KillContainer(c.KillContainerRequest(container="web")))
        assert error.message == f"Cannot kill container: web: Container {key} is not running"
        error = await failure(api.PauseContainer(c.PauseContainerRequest(container="web")))
        assert error.message == f"Container {key} is not running"
        await api.StopContainer(c.StopContainerRequest(container="web"))  # no error, as Docker
        await api.StartContainer(c.StartContainerRequest(container="web"))
        error = await failure(api.DeleteContainer(c.DeleteContainerRequest(container="web")))
        assert error.message == (
            f"You cannot remove a running container {key}. Stop the container before attempting removal or "
            "force remove"
        )
        await api.PauseContainer(c.PauseContainerRequest(container="web"))
        error = await failure(api.PauseContainer(c.PauseContainerRequest(container="web")))
        assert error.message == f"Container {key} is already paused"
        error = await failure(api.CreateExec(c.CreateExecRequest(container="web", args=["ls"])))
        assert error.message == "Container web is paused, unpause the container before exec"
        error = await failure(api.StartContainer(c.StartContainerRequest(container="web")))
        assert error.message == "cannot start a paused container, try unpause instead"
        await api.UnpauseContainer(c.UnpauseContainerRequest(container="web"))
        error = await failure(api.UnpauseContainer(c.UnpauseContainerRequest(container="web")))
        assert error.message == f"Container {key} is not paused"
        error = await failure(api.KillContainer(c.KillContainerRequest(container="web", signal="FOO")))
        assert error.message == "Invalid signal: FOO"
        stack.world.ignores_sigterm = True
        await api.StopContainer(c.StopContainerRequest(container="web", timeout_seconds=0, timeout_set=True))
        now = (await state(stack, "web")).state
        assert (now.status, now.exit_code) == (c.CONTAINER_STATUS_EXITED, 137)

    run(tmp_path, scenario)


def test_restart_policy_tries_and_gives_up(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        policy = c.RestartPolicy(name="on-failure", maximum_retry_count=2)
        key = await create(stack, "web", restart_policy=policy)
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        entry = stack.engine._core.registry.find("web")
        for expected in (1, 2):
            stack.world.end(key, 3)
            await eventually(
                lambda n=expected: (
                    entry.status.value == "running"  # type: ignore[misc]
                    and entry.container.state.restart_count == n
                )
            )
        stack.world.end(key, 3)
        await eventually(lambda: entry.status.value == "exited")
        await asyncio.sleep(0.05)
        assert entry.container.state.restart_count == 2 and entry.container.state.exit_code == 3

    run(tmp_path, scenario)


def test_a_restart_that_finds_a_service_away_is_tried_again(tmp_path: Path) -> None:
    """Not the container's fault: it must not stay down for ever. Any other failure ends it, as in Docker."""

    async def scenario(stack: Stack) -> None:
        key = await create(stack, "web", restart_policy=c.RestartPolicy(name="always"))
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        entry = stack.engine._core.registry.find("web")
        stack.faults.by_name["CreateSandbox"] = ("before", UnavailableError("away"))
        stack.world.end(key, 3)
        await eventually(lambda: "CreateSandbox" not in stack.faults.by_name)
        await eventually(lambda: entry.status.value == "running")
        stack.faults.by_name["CreateSandbox"] = ("before", InternalError("broken"))
        stack.world.end(key, 3)
        await eventually(lambda: entry.status.value == "exited")
        assert entry.restart_task is None and entry.container.state.error == "broken"

    run(tmp_path, scenario)


def test_stop_while_restarting_ends_it(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        key = await create(stack, "web", restart_policy=c.RestartPolicy(name="always"))
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        entry = stack.engine._core.registry.find("web")
        entry.restart_delay_seconds = 20.0
        stack.world.end(key, 1)
        await eventually(lambda: entry.status.value == "restarting")
        await stack.containers.StopContainer(c.StopContainerRequest(container="web"))
        assert (await state(stack, "web")).state.status == c.CONTAINER_STATUS_EXITED
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        await stack.containers.DeleteContainer(c.DeleteContainerRequest(container="web", force=True))
        assert names(stack.world) == (set(), set(), set())

    run(tmp_path, scenario)


def test_names_conflict_rename_and_prefixes(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        api = stack.containers
        key = await create(stack, "web")
        error = await failure(create(stack, "web"))
        assert error.reason == "NAME_IN_USE"
        assert error.message == (
            f'Conflict. The container name "/web" is already in use by container "{key}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )
        other = await create(stack)
        made_up = (await state(stack, other)).name
        assert made_up.count("_") == 1
        error = await failure(api.RenameContainer(c.RenameContainerRequest(container=other, new_name="web")))
        assert error.message.startswith('Error when allocating new name: Conflict. The container name "/web"')
        await api.RenameContainer(c.RenameContainerRequest(container=other, new_name="db"))
        assert (await state(stack, "db")).id == other
        assert await create(stack, made_up)
        error = await failure(create(stack, "bad name\n"))
        assert "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" in error.message and "\n" not in error.message

    run(tmp_path, scenario)


def test_removal_goes_on_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        api = stack.containers
        await create(stack, "web")
        calls = [api.DeleteContainer(c.DeleteContainerRequest(container="web")) for _ in range(4)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        failed = [from_rpc_error(r).message for r in results if isinstance(r, grpc.RpcError)]
        assert len(failed) == 3
        assert set(failed) <= {"removal of container web is already in progress", "No such container: web"}

    run(tmp_path, scenario)


def test_forced_removal_wins_over_starts(tmp_path: Path) -> None:
    """A start under way is ended too, and none begins between the kill and the removal."""

    async def scenario(stack: Stack) -> None:
        api = stack.containers
        start = c.StartContainerRequest(container="web")
        restart = c.RestartContainerRequest(container="web", timeout_seconds=0, timeout_set=True)
        for running in (False, True):
            await create(stack, "web")
            if running:
                await api.StartContainer(start)
            starts = [api.StartContainer(start), *(api.RestartContainer(restart) for _ in range(4))]
            await asyncio.sleep(0)
            removal = api.DeleteContainer(c.DeleteContainerRequest(container="web", force=True))
            results = await asyncio.gather(removal, *starts, return_exceptions=True)
            assert not isinstance(results[0], BaseException), str(results[0])
            assert names(stack.world) == (set(), set(), set())

    run(tmp_path, scenario)


def test_events_of_a_run(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        stack.world.exits_at_once = True
        key = await create(stack, "web", auto_remove=True, labels={"a": "b"})
        await stack.containers.StartContainer(c.StartContainerRequest(container="web"))
        await eventually(lambda: len(stack.engine._core.registry) == 0)
        await asyncio.sleep(0.02)
        seen = []
        request = system_pb2.WatchEventsRequest(since_unix_nanos=1, until_unix_nanos=time.time_ns())
        async for event in stack.system.WatchEvents(request):
            seen.append(f"{event.type} {event.action}")
            if event.action == "die":
                assert event.actor_id == key
                assert dict(event.attributes) == {
                    "a": "b",
                    "exitCode": "0",
                    "image": "busybox",
                    "name": "web",
                }
        assert seen == [
            "container create",
            "network connect",
            "container start",
            "container die",
            "network disconnect",
            "container destroy",
        ]

    run(tmp_path, scenario)


def test_pass_through_tells_uses_and_events(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        await create(stack, "web")
        await stack.images.DeleteImage(image_pb2.DeleteImageRequest(name="busybox"))
        assert "uses=1" in stack.world.calls
        answer = await stack.images.TagImage(image_pb2.TagImageRequest(source="busybox", target="x/y"))
        assert answer.image_id.startswith("sha256:")
        error = await failure(stack.images.ListSnapshots(image_pb2.ListSnapshotsRequest()))
        assert error.code is grpc.StatusCode.UNIMPLEMENTED  # between engine and leaf alone
        error = await failure(_no_image(stack))
        assert (error.message, error.reason) == ("No such image: nosuch:latest", "NO_SUCH_IMAGE")

    async def _no_image(stack: Stack) -> object:
        request = c.CreateContainerRequest(config=c.ContainerConfig(image="nosuch"))
        return await stack.containers.CreateContainer(request)

    run(tmp_path, scenario)
