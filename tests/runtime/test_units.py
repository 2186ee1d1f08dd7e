"""The pure parts: users, log format, log positions, packets, commands."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.runtime import json_log, log_files, packets, registry, users
from trine.runtime.cgroups import layout
from trine.runtime.failure import ContainerError
from trine.runtime.store import Store
from trine.v1 import runtime_pb2

PASSWD = b"root:x:0:0::/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:\n# x:y\nbroken\n5:x:7:8::/five:\n"
GROUP = b"root:x:0:root\nusers:x:100:\nwheel:x:10:bob,root\n"


@pytest.mark.parametrize(
    ("text", "extra", "wanted"),
    [
        ("", [], (0, 0, [0, 10], "/root")),
        ("root", [], (0, 0, [0, 10], "/root")),
        ("bob", [], (1000, 100, [100, 10], "/home/bob")),
        ("1000", [], (1000, 100, [100, 10], "/home/bob")),
        ("bob:wheel", [], (1000, 10, [10], "/home/bob")),
        ("bob:77", ["users", "5"], (1000, 77, [77, 100, 5], "/home/bob")),
        ("4242", [], (4242, 0, [0], "/")),
        ("4242:users", [], (4242, 100, [100], "/")),
    ],
)
def test_users_as_docker_finds_them(text: str, extra: list[str], wanted: tuple[object, ...]) -> None:
    found = users.resolve(text, extra, PASSWD, GROUP)
    assert (found.uid, found.gid, found.groups, found.home) == wanted


@pytest.mark.parametrize("number", ["-1", "4294967295", "99999999999", "x", ""])
def test_a_row_cannot_mean_stay_root(number: str) -> None:
    passwd = f"evil:x:{number}:{number}::/:\n".encode()
    with pytest.raises(ContainerError, match="unable to find user evil"):
        users.resolve("evil", [], passwd, b"")
    assert users.resolve("7", [], f"eve:x:7:{number}::/:\n".encode(), b"").gid == 0


@pytest.mark.parametrize("text", ["eve", "bob:eve", "99999999999", "bob:99999999999", "-1", "bob:-1"])
def test_users_that_are_not_there(text: str) -> None:
    with pytest.raises(ContainerError):
        users.resolve(text, [], PASSWD, GROUP)
    with pytest.raises(ContainerError):
        users.resolve("bob", [], None, None)


@given(st.text(), st.text(max_size=8), st.binary(max_size=400), st.binary(max_size=400))
def test_hostile_passwd_files_are_only_refused(user: str, extra: str, passwd: bytes, group: bytes) -> None:
    try:
        found = users.resolve(user, [extra] if extra else [], passwd, group)
    except ContainerError:
        return
    assert found.uid >= 0


@pytest.mark.parametrize(
    ("text", "size"), [("", -1), ("-1", -1), ("10", 10), ("10k", 10240), ("1.5m", 1572864), ("2GiB", 2 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert json_log.parse_size(text) == size


def test_times() -> None:
    assert json_log.format_time(0) == "1970-01-01T00:00:00Z"
    assert json_log.format_time(1_500_000_000_120_000_000) == "2017-07-14T02:40:00.12Z"
    assert log_files.fixed_time("2017-07-14T02:40:00.12Z") == "2017-07-14T02:40:00.120000000Z"
    for when in (0, 1_500_000_000_120_000_000, 1_795_499_925_344_957_055):
        assert log_files.parse_time(json_log.format_time(when)) == when
    assert log_files.parse_time("nonsense") == 0


def test_a_long_line_is_logged_in_parts_of_16_kib(tmp_path: Path) -> None:
    log = json_log.JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"x" * 40_000 + b"\n")
    log.finish()
    entries = [json.loads(line)["log"] for line in (tmp_path / "log").read_text().splitlines()]
    assert [len(entry) for entry in entries] == [16384, 16384, 40_000 - 2 * 16384 + 1]


@given(st.lists(st.binary(max_size=50_000), max_size=6))
def test_a_log_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = str(tmp_path_factory.mktemp("log") / "x.log")
    log = json_log.JsonLog(path)
    for chunk in chunks:
        log.write("stdout", chunk)
    log.finish()
    entries = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert all(len(entry["log"].encode()) <= 3 * json_log.PART + 1 for entry in entries)
    ascii_only = all(byte < 128 for chunk in chunks for byte in chunk)
    if ascii_only:
        assert "".join(entry["log"] for entry in entries).encode() == b"".join(chunks)
    assert sum(entry["log"].count("\n") for entry in entries) == b"".join(chunks).count(b"\n")


@given(st.lists(st.integers(0, 60_000), max_size=30), st.integers(0, 35), st.sampled_from([0, 9, 200_000]))
def test_tail_finds_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], wanted: int, torn: int
) -> None:
    """Whole lines: the torn bytes of a full disk at the end are none, and hide none."""
    path = str(tmp_path_factory.mktemp("tail") / "x.log")
    lines = [f"{number}:{'x' * size}".encode() for number, size in enumerate(sizes)]
    for place, name in ((slice(0, 10), f"{path}.2"), (slice(10, 20), f"{path}.1"), (slice(20, None), path)):
        part = lines[place]
        if part or name == path:
            Path(name).write_bytes(b"".join(line + b"\n" for line in part))
    if not os.path.exists(f"{path}.1") and os.path.exists(f"{path}.2"):
        os.rename(f"{path}.2", f"{path}.1")
    with open(path, "ab") as file:
        file.write(b"t" * torn)
    reader = log_files.open_tail(path, wanted)
    found: list[bytes] = []
    while more := reader.read():
        found += more
    reader.close()
    assert found == (lines[-wanted:] if wanted else [])


def test_packets_carry_descriptors_and_survive_a_reset() -> None:
    mine, theirs = packets.pair()
    reader, writer = os.pipe()
    packets.send(theirs, {"last": "words"}, [writer])
    packets.send(mine, {"never": "read"})
    theirs.close()
    message, descriptors = packets.receive(mine)
    assert message == {"last": "words"}
    os.write(descriptors[0], b"x")
    assert os.read(reader, 1) == b"x"
    assert packets.receive(mine) == (None, [])
    for descriptor in (reader, writer, *descriptors):
        os.close(descriptor)
    mine.close()


@pytest.mark.parametrize("data", [b"not json", b"[]", b'"x"', b"x" * 70_000, b"\xff"])
def test_bad_packets_are_refused(data: bytes) -> None:
    mine, theirs = packets.pair()
    theirs.send(data)
    with pytest.raises(ValueError):
        packets.receive(mine)
    mine.close()
    theirs.close()


def test_a_watcher_that_does_not_read_finds_the_end_of_its_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off without a word it would wait for ever, and what ended meanwhile would run for ever."""

    async def scenario() -> None:
        monkeypatch.setattr(registry, "_QUEUE_LIMIT", 3)
        records = registry.Registry(Store(tmp_path / "data", tmp_path / "run", -1), layout.detect())
        record = records.add("c", {"process": {}, "linux": {"cgroupsPath": "/c"}})
        slow, quick = records.watch(), records.watch()
        read = [quick.get_nowait()]
        for _ in range(5):
            records.tell(runtime_pb2.RUNTIME_EVENT_KIND_STARTED, record)
            read.append(quick.get_nowait())
        assert None not in read
        left = [slow.get_nowait() for _ in range(slow.qsize())]
        assert left[-1] is None
        assert None not in left[:-1]

    asyncio.run(scenario())
