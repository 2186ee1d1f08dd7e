"""What instructions do to a config: --change, ports, signals, accounts, cache keys."""

from __future__ import annotations

import copy
import stat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.image.build.accounts import parse_owner
from trine.image.build.apply import exposed_ports
from trine.image.build.cache import step_key
from trine.image.build.changes import apply_changes
from trine.image.build.image_json import child_image
from trine.image.build.instructions import InstructionError
from trine.image.build.member import MemberEntry
from trine.image.build.run_config import RunConfig, from_json
from trine.image.build.tree import DIRECTORY, FILE, LINK, SPECIAL, digest, resolve
from trine.kit.errors import ConflictError, InvalidArgumentError

BASE: dict[str, Any] = {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/w"}


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("CMD a b", "Cmd", ["/bin/sh", "-c", "a b"]),
        ('CMD ["a", "b"]', "Cmd", ["a", "b"]),
        ("ENTRYPOINT x", "Entrypoint", ["/bin/sh", "-c", "x"]),
        ('ENTRYPOINT ["x"]', "Cmd", None),
        ("ENV a=$PATH b=$a", "Env", ["PATH=/bin", "a=/bin", "b="]),
        ("ENV PATH=/x", "Env", ["PATH=/x"]),
        ("EXPOSE 80 90-91/udp", "ExposedPorts", {"80/tcp": {}, "90/udp": {}, "91/udp": {}}),
        (
            "HEALTHCHECK --interval=5s CMD x",
            "Healthcheck",
            {"Test": ["CMD-SHELL", "x"], "Interval": 5 * 10**9},
        ),
        ("LABEL a=b 'c d'=e", "Labels", {"a": "b", "c d": "e"}),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
        ("USER web", "User", "web"),
        ('VOLUME ["/a", "/b"]', "Volumes", {"/a": {}, "/b": {}}),
        ("WORKDIR x", "WorkingDir", "/w/x"),
        ("workdir /x", "WorkingDir", "/x"),
    ],
)
def test_changes(change: str, key: str, value: Any) -> None:
    before = copy.deepcopy(BASE)
    assert apply_changes(BASE, [change])[key] == value
    assert before == BASE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("STOPSIGNAL SIGINT", "stopsignal is not a valid change command"),
        ("RUN x", "run is not a valid change command"),
        ("FOO", "foo is not a valid change command"),
        ('SHELL ["a"]', "shell is not a valid change command"),
        ("", "file with no instructions"),
        ("ENV a", "ENV must have two arguments"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("EXPOSE foo", "Invalid containerPort: foo"),
    ],
)
def test_changes_docker_refuses(change: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        apply_changes(BASE, [change])
    assert caught.value.message == message


def test_no_change_changes_nothing() -> None:
    assert from_json(apply_changes(BASE, [])) == from_json(BASE)


@pytest.mark.parametrize(
    ("spec", "ports"),
    [
        ("80", {"80/tcp"}),
        ("80/UDP", {"80/udp"}),
        ("80/", {"80/tcp"}),
        ("8000-8002", {"8000/tcp", "8001/tcp", "8002/tcp"}),
        ("5000:50", {"50/tcp"}),
        ("127.0.0.1:7:8/udp", {"8/udp"}),
        ("[::1]:80:90", {"90/tcp"}),
    ],
)
def test_ports(spec: str, ports: set[str]) -> None:
    assert exposed_ports([spec]) == ports


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("foo", "Invalid containerPort: foo"),
        ("70000", "Invalid containerPort: 70000"),
        ("10-9", "Invalid containerPort: 10-9"),
        ("x:80", "Invalid hostPort: x"),
        ("80/foo", "Invalid proto: foo"),
        ("1.2.3:1:2", "Invalid ip address: 1.2.3"),
        ("1:2:3:4", "Invalid ip address 1:2: address 1:2:: too many colons in address"),
        ("80-81:90-92", "Invalid ranges specified for container and host Ports: 90-92 and 80-81"),
    ],
)
def test_bad_ports(spec: str, message: str) -> None:
    with pytest.raises(InstructionError) as caught:
        exposed_ports([spec])
    assert str(caught.value) == message


def file(content: bytes, mode: int = 0o644, kind: str = FILE) -> MemberEntry:
    class Once:
        def __init__(self) -> None:
            self.left = content

        def read(self, size: int = -1, /) -> bytes:
            data, self.left = self.left, b""
            return data

        def close(self) -> None: ...

        def __enter__(self) -> Once:
            return self

        def __exit__(self, *_: object) -> None: ...

    entry = MemberEntry(kind, (stat.S_IFREG if kind == FILE else stat.S_IFIFO) | mode, Once)
    entry.size = len(content)
    return entry


def directory(**children: MemberEntry) -> MemberEntry:
    entry = MemberEntry(DIRECTORY, stat.S_IFDIR | 0o755)
    entry.children = children
    return entry


def link(target: str) -> MemberEntry:
    entry = MemberEntry(LINK, stat.S_IFLNK | 0o777)
    entry.target = target
    return entry


def test_owners_come_from_the_image() -> None:
    root = directory(
        etc=directory(
            passwd=file(b"root:x:0:0::/:\nweb:x:1000:1001::/:\n\nbad\nneg:x:-5:0\n"),
            group=file(b"root:x:0:\nweb:x:1001:\nstaff:x:50:\n"),
        )
    )
    assert parse_owner("web", root) == (1000, 1001)
    assert parse_owner("web:staff", root) == (1000, 50)
    assert parse_owner("7:staff", root) == (7, 50)
    assert parse_owner("7", root) == (7, 7)
    for text, message in (
        ("nobody", "can't find uid for user nobody: no such user: nobody"),
        ("web:nope", "can't find gid for group nope: no such group: nope"),
        ("a:b:c", "invalid chown string format: a:b:c"),
        ("neg", "can't find uid for user neg: no such user: neg"),
        ("4294967295", "can't find uid for user 4294967295: no such user: 4294967295"),
    ):
        with pytest.raises(ConflictError) as caught:
            parse_owner(text, root)
        expected = f"unable to convert uid/gid chown string to host mapping: {message}"
        assert caught.value.message == expected


def test_only_a_regular_file_is_read_for_accounts() -> None:
    pipe = directory(etc=directory(passwd=file(b"", kind=SPECIAL), group=link("/../../etc/group")))
    with pytest.raises(ConflictError, match="no such user: web"):
        parse_owner("web", pipe)


def test_digests_see_names_modes_contents_and_nothing_else() -> None:
    one = digest(directory(a=file(b"1"), d=directory(b=file(b"2")), l=link("a")))
    assert one == digest(directory(l=link("a"), d=directory(b=file(b"2")), a=file(b"1")))
    later = directory(a=file(b"1"), d=directory(b=file(b"2")), l=link("a"))
    later.children["a"].mtime_ns = 5
    later.children["a"].uid = 7
    assert one == digest(later)
    others = [
        directory(a=file(b"1 "), d=directory(b=file(b"2")), l=link("a")),
        directory(a=file(b"1", 0o755), d=directory(b=file(b"2")), l=link("a")),
        directory(a=file(b"1"), d=directory(c=file(b"2")), l=link("a")),
        directory(a=file(b"1"), d=directory(b=file(b"2")), l=link("b")),
        directory(a=file(b"1"), d=directory(b=file(b"2"))),
        directory(a=file(b"1"), d=directory(), b=file(b"2"), l=link("a")),
    ]
    assert len({one, *(digest(o) for o in others)}) == len(others) + 1


NAMES = st.sampled_from(["a", "b", "..", ".", "", "l", "up", "abs", "loop"])


@given(st.lists(NAMES, max_size=8))
def test_no_path_leaves_a_tree(parts: list[str]) -> None:
    root = directory(
        a=directory(
            b=file(b"1"), l=link("../a"), up=link("../../../../a"), abs=link("/a/b"), loop=link("loop")
        ),
        b=file(b"2"),
        up=link("../.."),
        loop=link("/loop"),
    )
    try:
        found = resolve(root, "/".join(parts))
    except OSError:
        return
    assert ".." not in found.path.split("/")
    here: Any = root
    for part in [p for p in found.path.split("/") if p]:
        here = here.child(part) if here is not None and here.kind == DIRECTORY else None
    assert here is found.entry


def test_keys_differ_by_parent_command_and_platform() -> None:
    config = RunConfig(cmd=["/bin/sh", "-c", "#(nop) ", "ENV a=b"], env=["a=b"])
    keys = [
        step_key("sha256:1", config.to_json()),
        step_key("sha256:2", config.to_json()),
        step_key("sha256:1", RunConfig(cmd=config.cmd, env=["a=c"]).to_json()),
        step_key("sha256:1", config.to_json(), "linux/arm64"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == step_key("sha256:1", config.copy().to_json())


def test_a_child_image_has_one_entry_of_history_more() -> None:
    parent = {"architecture": "arm64", "history": [{"created_by": "x"}], "rootfs": {"diff_ids": ["sha256:1"]}}
    config = RunConfig(cmd=["sh"])
    step = RunConfig(cmd=["/bin/sh", "-c", "#(nop) ", 'CMD ["sh"]'])
    child = child_image(parent, config, step, created="now", architecture="amd64", author="A")
    assert child["architecture"] == "arm64"
    assert child["history"][1] == {
        "created": "now",
        "created_by": '/bin/sh -c #(nop)  CMD ["sh"]',
        "author": "A",
        "empty_layer": True,
    }
    assert child["rootfs"]["diff_ids"] == ["sha256:1"]
    layered = child_image(parent, config, step, created="now", architecture="amd64", diff_id="sha256:2")
    assert layered["rootfs"]["diff_ids"] == ["sha256:1", "sha256:2"]
    assert "empty_layer" not in layered["history"][1]
    assert parent["history"] == [{"created_by": "x"}]


def test_configs_survive_json() -> None:
    config = apply_changes(BASE, ["LABEL a=b", "EXPOSE 1", "VOLUME /v", "HEALTHCHECK CMD x", "ONBUILD RUN y"])
    assert from_json(config).to_json() == config
