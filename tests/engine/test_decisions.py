"""The pure parts: states, merge, validation, hosts, names, policies, filters, mounts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from trine.engine import hosts, listing, restart_policy, validate
from trine.engine.filters import Filters
from trine.engine.merge import argv, environment, merge
from trine.engine.mounts import check_mount, plan_mounts
from trine.engine.names import check_name, generate_name
from trine.engine.propagation import parse_mounts, propagation_problem
from trine.engine.registry import Entry, Registry
from trine.engine.restart_policy import Policy
from trine.engine.runtime_spec import runtime_request
from trine.engine.states import Event, StateError, Status, after
from trine.engine.volume_book import check_options, check_volume_name
from trine.kit.errors import EngineError
from trine.v1 import container_pb2 as c
from trine.v1 import image_pb2, network_pb2, runtime_pb2


def config(**fields: object) -> c.ContainerConfig:
    return c.ContainerConfig(image="x", **fields)  # type: ignore[arg-type]


# -- states


def test_every_state_has_an_answer_to_every_event() -> None:
    for status in Status:
        for event in Event:
            try:
                assert isinstance(after(status, event, "ID"), Status)
            except StateError as error:
                assert str(error) and "\n" not in str(error)


def test_a_running_container_is_neither_started_nor_removed() -> None:
    with pytest.raises(StateError, match="already running"):
        after(Status.RUNNING, Event.START, "ID")
    with pytest.raises(StateError, match=r"^You cannot remove a paused container ID\. Unpause and then stop"):
        after(Status.PAUSED, Event.REMOVE, "ID")


# -- merge

IMAGE = image_pb2.ImageConfig(
    user="web", env=["PATH=/bin", "A=image"], entrypoint=["/entry"], cmd=["serve"], working_dir="/srv",
    exposed_ports=["80/tcp"], volumes=["/data"], labels={"a": "image", "b": "image"}, stop_signal="SIGUSR1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (config(), ["/entry", "serve"]),
        (config(cmd=["other"]), ["/entry", "other"]),
        (config(entrypoint=["/bin/sh"], entrypoint_set=True), ["/bin/sh"]),
        (config(entrypoint_set=True, cmd=["ls"]), ["ls"]),
        (config(entrypoint=[""], entrypoint_set=True, cmd=["ls"]), ["ls"]),
        (config(entrypoint_set=True), []),
    ],
)
def test_command_of_user_and_image(asked: c.ContainerConfig, line: list[str]) -> None:
    assert argv(merge(asked, IMAGE)) == line


def test_the_rest_is_united_and_the_user_wins() -> None:
    asked = config(env=["A=user"], labels={"a": "user"}, exposed_ports=["81/tcp"], user="me")
    result = merge(asked, IMAGE)
    assert list(result.env) == ["A=user", "PATH=/bin"]
    assert dict(result.labels) == {"a": "user", "b": "image"}
    assert list(result.exposed_ports) == ["81/tcp", "80/tcp"]
    assert (result.user, result.working_dir, result.stop_signal) == ("me", "/srv", "SIGUSR1")
    assert list(asked.env) == ["A=user"], "the request is not touched"


def test_health_check_is_filled_field_by_field_and_can_be_switched_off() -> None:
    image = image_pb2.ImageConfig(health_check=image_pb2.HealthCheck(test=["CMD", "x"], retries=5))
    asked = config(health_check=image_pb2.HealthCheck(interval_nanos=7))
    assert merge(asked, image).health_check == image_pb2.HealthCheck(
        test=["CMD", "x"], retries=5, interval_nanos=7
    )
    assert list(
        merge(config(health_check=image_pb2.HealthCheck(test=["NONE"])), image).health_check.test
    ) == ["NONE"]


def test_environment_order_and_removal() -> None:
    done = environment(config(hostname="h", tty=True, env=["B=1", "TERM"]), ["L=link"], ["B=2"])
    assert done[1:] == ["HOSTNAME=h", "L=link", "B=2"]
    assert done[0].startswith("PATH=/usr/local/sbin:")


# -- validation


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (config(env=["=x"]), "invalid environment variable: =x"),
        (config(hostname="a\nb"), "invalid hostname format: a b"),
        (config(hostname="x" * 64), "invalid hostname format: " + "x" * 64),
        (config(extra_hosts=["bad"]), 'bad format for add-host: "bad"'),
        (config(extra_hosts=["db:x"]), 'invalid IP address in add-host: "x"'),
        (config(extra_hosts=["a\nb:1.2.3.4"]), 'bad format for add-host: "a b:1.2.3.4"'),
        (config(dns_servers=["x"]), "x is not an ip address"),
        (config(stop_signal="NOPE"), "Invalid signal: NOPE"),
        (config(ipc_mode="nonsense"), "Invalid IPC mode: nonsense"),
        (config(pid_mode="nonsense"), "invalid PID mode: nonsense"),
        (
            config(network_mode="container:x", hostname="h"),
            "conflicting options: hostname and the network mode",
        ),
        (
            config(network_mode="container:x", ports=[network_pb2.PortMapping(container_port=80)]),
            "conflicting options: port publishing and the container type network mode",
        ),
        (config(uts_mode="host", hostname="h"), "conflicting options: hostname and the UTS mode"),
        (
            config(network_mode="container:"),
            "Invalid network mode: invalid container format container:<name|id>",
        ),
        (
            config(endpoints=[network_pb2.EndpointRequest(ipv4_address="172.17.0.9")]),
            "user specified IP address is supported on user defined networks only",
        ),
        (
            config(network_mode="n", endpoints=[network_pb2.EndpointRequest(ipv4_address="nonsense")]),
            "invalid IPv4 address: nonsense",
        ),
        (
            config(restart_policy=c.RestartPolicy(name="always", maximum_retry_count=3)),
            "maximum retry count cannot be used with restart policy 'always'",
        ),
        (config(restart_policy=c.RestartPolicy(name="x")), "invalid restart policy 'x'"),
        (
            config(auto_remove=True, restart_policy=c.RestartPolicy(name="always")),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (config(runtime="kata"), "Unknown runtime specified kata"),
        (config(isolation="hyperv"), "Invalid isolation: \"hyperv\" - linux only supports 'default'"),
        (config(storage_options={"foo": "1"}), "Unknown option foo"),
        (
            config(storage_options={"size": "1G"}),
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ),
        (config(oom_score_adjustment=2000), "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
        (
            config(log=runtime_pb2.LogSpec(driver="x")),
            'error looking up logging plugin x: plugin "x" not found',
        ),
        (
            config(health_check=image_pb2.HealthCheck(test=["CMD", "x"], interval_nanos=5)),
            "Interval in Healthcheck cannot be less than 1ms",
        ),
    ],
)  # fmt: skip
def test_refusals_have_dockers_words(asked: c.ContainerConfig, text: str) -> None:
    with pytest.raises(EngineError) as caught:
        validate.check_request(asked)
    assert caught.value.message == text


def test_capabilities_cpus_and_working_directory() -> None:
    asked = config()
    asked.security.capabilities_add.append("nonsense")
    with pytest.raises(EngineError, match='invalid CapAdd: unknown capability: "CAP_NONSENSE"'):
        validate.check_request(asked)
    asked.security.capabilities_add[:] = ["ALL", "cap_net_admin", "SYS_TIME"]
    validate.check_request(asked)
    with pytest.raises(EngineError, match="the working directory 'relative' is invalid"):
        validate.check_effective(config(cmd=["x"], working_dir="relative"))
    with pytest.raises(EngineError, match="No command specified"):
        validate.check_effective(config())


@pytest.mark.parametrize(
    ("text", "number"),
    [("KILL", 9), ("sigterm", 15), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("SIGWINCH", 28)],
)
def test_signals(text: str, number: int) -> None:
    assert validate.signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "NONSENSE", "RTMIN+99", "-1"])
def test_signals_that_are_none(text: str) -> None:
    with pytest.raises(EngineError, match="Invalid signal"):
        validate.signal_number(text)


# -- files of a container


def test_hosts_in_dockers_order() -> None:
    asked = config(
        hostname="alpha", domainname="example.org", extra_hosts=["db:10.1.2.3", "g:host-gateway", "s:fd00::1"]
    )
    endpoint = network_pb2.Endpoint(ipv4_address="172.17.0.2", ipv6_address="fd00::2")
    lines = (
        hosts.compose_hosts(asked, [endpoint], [("172.17.0.9", "l abc")], "172.17.0.1").decode().splitlines()
    )
    assert lines[0] == "127.0.0.1\tlocalhost" and len(lines) == 12
    assert lines[6:] == [
        "10.1.2.3\tdb",
        "172.17.0.1\tg",
        "fd00::1\ts",
        "172.17.0.9\tl abc",
        "172.17.0.2\talpha.example.org alpha",
        "fd00::2\talpha.example.org alpha",
    ]  # fmt: skip


def test_link_variables() -> None:
    child = config(exposed_ports=["80/tcp"], env=["K=v", "PATH=/bin"])
    assert hosts.link_environment("web", "my-db", "172.17.0.2", child) == [
        "MY_DB_PORT=tcp://172.17.0.2:80",
        "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
        "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_80_TCP_PORT=80",
        "MY_DB_PORT_80_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_K=v",
    ]


def test_resolv_conf_replaces_what_is_given() -> None:
    base = "nameserver 1.1.1.1\nsearch a b\noptions edns0\n"
    text = hosts.compose_resolv_conf(["9.9.9.9"], ["c"], [], base).decode()
    assert text == "options edns0\nsearch c\nnameserver 9.9.9.9\n"
    assert hosts.compose_resolv_conf([], [], [], base).decode() == base


# -- names


def test_names_are_made_of_two_words_and_never_taken() -> None:
    taken: set[str] = set()
    for _ in range(2000):
        name = generate_name(taken.__contains__, random.Random(len(taken)))
        assert name not in taken and check_name(name) == name
        taken.add(name)
    assert all(name.count("_") == 1 for name in taken)


@pytest.mark.parametrize("name", ["_", "a b", "-a", "a\nb", "", "a/b", "ü" * 3])
def test_bad_names(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_name(name)
    assert "\n" not in caught.value.message


def test_one_character_is_a_name_as_in_the_tour() -> None:
    assert check_name("u") == check_name("/u") == "u"


# -- restart policies


@pytest.mark.parametrize(
    ("policy", "code", "count", "stopped", "again"),
    [
        (Policy("no"), 1, 0, False, False),
        (Policy("always"), 0, 9, True, True),
        (Policy("unless-stopped"), 0, 9, False, True),
        (Policy("unless-stopped"), 0, 9, True, False),
        (Policy("on-failure"), 0, 0, False, False),
        (Policy("on-failure"), 1, 99, False, True),
        (Policy("on-failure", 2), 1, 1, False, True),
        (Policy("on-failure", 2), 1, 2, False, False),
    ],
)
def test_restart_policies(policy: Policy, code: int, count: int, stopped: bool, again: bool) -> None:
    assert restart_policy.wants_restart(policy, code, count, stopped) is again


def test_delays_double_to_a_minute_and_fall_back() -> None:
    delays = [0.0]
    for _ in range(12):
        delays.append(restart_policy.next_delay(delays[-1], 0.1))
    assert delays[1:5] == [0.1, 0.2, 0.4, 0.8] and delays[-1] == 60.0
    assert restart_policy.next_delay(60.0, 10.0) == 0.1


# -- filters


def test_filters() -> None:
    with pytest.raises(EngineError, match=r"^Invalid filter 'nonsense'$"):
        Filters(["nonsense=1"], ["name"])
    filters = Filters(["label=a=1", "label=b"], ["label"])
    assert filters.match_labels({"a": "1", "b": ""}) and not filters.match_labels({"a": "2", "b": ""})
    assert Filters(["name=^we"], ["name"]).fuzzy("name", "web")
    assert not Filters(["name=^eb"], ["name"]).fuzzy("name", "web")
    assert Filters(["name=["], ["name"]).fuzzy("name", "x[") is False
    for text in ("status=x", "health=x", "exited=x", "publish=x"):
        with pytest.raises(EngineError):
            listing.check_filters(Filters([text], listing.FILTERS))


def test_times_of_until() -> None:
    assert listing.parse_time("1700000000.5", 0) == 1_700_000_000_500_000_000
    assert listing.parse_time("1h30m", 10**13) == 10**13 - 5400 * 10**9
    assert listing.parse_time("1970-01-01T00:00:01Z", 0) == 10**9
    with pytest.raises(EngineError):
        listing.parse_time("yesterday", 0)


# -- mounts and volumes


@pytest.mark.parametrize(
    ("mount", "text"),
    [
        (
            c.ContainerMount(type="bind", source="/tmp", target="/", from_volume_flag=True),
            "invalid volume specification: '/tmp:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
        (
            c.ContainerMount(type="bind", source="/no/such/source", target="/x"),
            'invalid mount config for type "bind": bind source path does not exist: /no/such/source',
        ),
        (
            c.ContainerMount(type="bind", target="/x"),
            'invalid mount config for type "bind": field Source must not be empty',
        ),
        (c.ContainerMount(type="zz", target="/x"), 'invalid mount config for type "zz": mount type unknown'),
        (
            c.ContainerMount(type="bind", source="/a", target="/b", mode="nonsense", from_volume_flag=True),
            "invalid mode: nonsense",
        ),
        (
            c.ContainerMount(type="tmpfs", target="relative"),
            "invalid mount path: 'relative' mount path must be absolute",
        ),
    ],
)
def test_bad_mounts(mount: c.ContainerMount, text: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_mount(mount)
    assert caught.value.message == text


def test_image_volumes_fill_what_nothing_else_takes(tmp_path: Path) -> None:
    asked = config(
        mounts=[
            c.ContainerMount(type="bind", source=str(tmp_path), target="/data/", from_volume_flag=True),
            c.ContainerMount(type="tmpfs", target="/tmp"),
        ],
        anonymous_volumes=["/data", "/tmp", "/other"],
    )
    plan = plan_mounts(asked, Registry())
    assert sorted(plan.points) == ["/data", "/other"]
    assert [wish.target for wish in plan.volumes] == ["/other"] and plan.volumes[0].name == ""


def test_volume_names_and_options() -> None:
    with pytest.raises(EngineError, match="volume name is too short"):
        check_volume_name("v")
    with pytest.raises(EngineError) as caught:
        check_volume_name("relative/path")
    assert caught.value.message.startswith(
        'create relative/path: "relative/path" includes invalid characters'
    )
    with pytest.raises(EngineError, match='invalid option: "size"'):
        check_options("v", {"size": "1"})
    check_options("v", {"type": "none", "o": "bind", "device": "/srv"})


@pytest.mark.parametrize(("asked", "path"), [("", ""), ("ours", "/ours"), ("/a/b", "/a/b")])
def test_a_cgroup_parent_without_a_slash_is_below_the_root(asked: str, path: str) -> None:
    entry = Entry(c.Container(id="a" * 64, config=config(cmd=["x"], cgroup_parent=asked)))
    assert runtime_request(entry, "", [], {}, [], 0).cgroup_parent == path


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /shared\\040one rw shared:5 - tmpfs tmpfs rw
31 22 0:27 / /slave rw master:5 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("source", "wanted", "problem"),
    [
        ("/tmp", "rprivate", ""),
        ("/tmp", "shared", "path /tmp is mounted on / but it is not a shared mount"),
        ("/tmp", "rslave", "path /tmp is mounted on / but it is not a shared or slave mount"),
        ("/shared one/x", "rshared", ""),
        ("/slave/x", "slave", ""),
        ("/slave/x", "shared", "path /slave/x is mounted on /slave but it is not a shared mount"),
    ],
)
def test_propagation_needs_a_mount_that_propagates(source: str, wanted: str, problem: str) -> None:
    assert propagation_problem(parse_mounts(MOUNTS), source, source, wanted) == problem
