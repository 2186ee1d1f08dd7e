"""Contexts, .dockerignore, credentials and tars of ``cp``."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from trine.cli import copying
from trine.cli.context import archive, source
from trine.cli.context.ignore import Matcher, read_patterns
from trine.cli.credentials import ConfigFile
from trine.cli.failure import Failure


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        (["*.md"], "a.md", True),
        (["*.md"], "d/a.md", False),
        (["**/*.md"], "d/e/a.md", True),
        (["**/*.md"], "a.md", True),
        (["d"], "d/e/f", True),
        (["d/**"], "d/e", True),
        (["*", "!keep"], "keep", False),
        (["*", "!keep"], "other", True),
        (["d", "!d/e"], "d/e", False),
        (["d", "!d/e", "d/e/x"], "d/e/x", True),
        (["a?c"], "abc", True),
        (["a[0-9]"], "a5", True),
        (["a[^0-9]"], "a5", False),
        (["/root"], "root", True),
        ([], "x", False),
    ],
)
def test_ignore(patterns: list[str], path: str, out: bool) -> None:
    assert Matcher(read_patterns("\n".join(patterns))).excluded(path) is out


def test_ignore_file_is_read_as_docker_does() -> None:
    assert read_patterns("\ufeff# note\n\n  /a/../b/ \n! c/d\n") == ["b", "!c/d"]
    with pytest.raises(ValueError, match='illegal exclusion pattern: "!"'):
        Matcher(read_patterns("!"))
    with pytest.raises(ValueError, match="syntax error in pattern"):
        Matcher(["a["])


def make_context(root: Path) -> None:
    (root / "d" / "e").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "d" / "e" / "f").write_text("data")
    (root / "d" / "junk").write_text("junk")
    (root / "link").symlink_to("d/e/f")


def packed(root: Path, patterns: list[str], keep: set[str]) -> tarfile.TarFile:
    parts: list[bytes] = []
    sink = archive.Sink(lambda chunk: parts.append(chunk) or True)  # type: ignore[func-returns-value]
    archive.write(str(root), Matcher(patterns), keep, sink)
    assert sink.size == sum(map(len, parts))
    return tarfile.open(fileobj=io.BytesIO(b"".join(parts)))


def test_context_as_tar(tmp_path: Path) -> None:
    make_context(tmp_path)
    tar = packed(tmp_path, ["d/junk", "Dockerfile"], {"Dockerfile"})
    assert tar.getnames() == ["Dockerfile", "d", "d/e", "d/e/f", "link"]
    assert all((member.uid, member.gid, member.uname) == (0, 0, "") for member in tar)
    assert tar.getmember("link").linkname == "d/e/f"


def test_exception_below_a_directory_that_is_left_out(tmp_path: Path) -> None:
    make_context(tmp_path)
    assert packed(tmp_path, ["d", "!d/e/f"], set()).getnames() == ["Dockerfile", "d/e/f", "link"]


def test_smallest_context_has_dockers_size(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    found = source.open_source(str(tmp_path), "")
    assert (found.dockerfile, found.content) == ("Dockerfile", b"")
    assert found.send(lambda _chunk: True) == 2048


def test_dockerfile_outside_of_the_context(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "D").write_text("FROM x\n")
    found = source.open_source(str(tmp_path / "c"), str(tmp_path / "D"))
    assert (found.dockerfile, found.content) == ("", b"FROM x\n")


def test_context_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Failure, match='^unable to prepare context: path "/no/such" not found$'):  # noqa: RUF043
        source.open_source("/no/such", "")
    with pytest.raises(
        Failure,
        match="unable to evaluate symlinks in Dockerfile path: lstat .*/Dockerfile: no such",  # noqa: RUF043
    ):
        source.open_source(str(tmp_path), "")
    with pytest.raises(Failure, match="can't use stdin for both build context and dockerfile"):
        source.open_source("-", "-")


def test_archives_are_told_from_dockerfiles() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    assert source.is_archive(buffer.getvalue())
    assert source.is_archive(b"\x1f\x8b\x08")
    assert not source.is_archive(b"FROM busybox\n")


def test_credentials_are_kept_as_docker_keeps_them(tmp_path: Path) -> None:
    config = ConfigFile(str(tmp_path))
    assert config.auth("localhost:5000") is None
    assert config.store("localhost:5000", "me", "p:w", "")
    path = tmp_path / "config.json"
    assert json.loads(path.read_text()) == {"auths": {"localhost:5000": {"auth": "bWU6cDp3"}}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = config.auth("localhost:5000")
    assert found is not None and (found["username"], found["password"]) == ("me", "p:w")
    assert config.erase("localhost:5000")
    assert not config.erase("localhost:5000")
    assert config.auth("localhost:5000") is None


def test_credentials_of_others_and_preferences_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"auths": {"https://a/v1/": {"auth": "eDp5"}}, "HttpHeaders": {"k": "v"}}')
    config = ConfigFile(str(tmp_path))
    config.store("b", "u", "p", "")
    kept = json.loads(path.read_text())
    assert kept["HttpHeaders"] == {"k": "v"}
    assert set(kept["auths"]) == {"https://a/v1/", "b"}
    assert set(config.auths()) >= {"https://a/v1/", "b"}
    found = config.auth("a")
    assert found is not None and found["username"] == "x"


def test_credential_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-fake"
    helper.write_text(
        '#!/bin/sh\nread server\necho "{\\"Username\\": \\"u\\", \\"Secret\\": \\"for $server\\"}"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "config.json").write_text('{"credHelpers": {"r": "fake"}}')
    found = ConfigFile(str(tmp_path)).auth("r")
    assert found is not None and found["password"] == "for r"


def test_a_helper_keeps_tokens_by_their_name_and_the_file_says_which_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-fake"
    helper.write_text(f"#!/bin/sh\ncat >{tmp_path}/$1\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "config.json").write_text('{"credsStore": "fake"}')
    assert not ConfigFile(str(tmp_path)).store("r", "me", "pw", "token")
    assert json.loads((tmp_path / "store").read_text()) == {
        "ServerURL": "r", "Username": "<token>", "Secret": "token"
    }  # fmt: skip
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {"r": {}}


def test_a_missing_helper_stops_a_login_and_no_pull(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "no-such-helper"}')
    config = ConfigFile(str(tmp_path))
    assert config.auth("r") is None
    with pytest.raises(Failure, match="Error saving credentials: error storing credentials - err: exec:"):
        config.store("r", "u", "p", "")


def test_dockers_own_directory_is_where_docker_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    config = ConfigFile(os.path.expanduser("~/.config/trine"))
    assert config.path == str(tmp_path / "config.json")


def test_a_broken_config_is_told_of_and_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("{")
    config = ConfigFile(str(tmp_path))
    assert config.auth("r") is None
    assert capsys.readouterr().err.startswith(f"WARNING: Error parsing config file ({tmp_path}/config.json):")
    with pytest.raises(Failure, match="Error loading config file: Expecting"):
        config.store("r", "u", "p", "")
    assert (tmp_path / "config.json").read_text() == "{"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("box:/a", ("box", "/a")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("file", ("", "file")),
        ("-", ("", "-")),
        ("box:", ("box", "")),
    ],
)
def test_cp_arguments(argument: str, expected: tuple[str, str]) -> None:
    assert copying.split(argument) == expected


def test_cp_packs_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x" * 1_500_000)
    (tmp_path / "d" / "l").symlink_to("f")
    tar = tarfile.open(fileobj=io.BytesIO(b"".join(copying._pack(str(tmp_path / "d"), "new"))))
    assert tar.getnames() == ["new", "new/f", "new/l"]
    file = tar.extractfile("new/f")
    assert file is not None and len(file.read()) == 1_500_000
    assert tarfile.open(fileobj=io.BytesIO(b"".join(copying._pack(str(tmp_path / "d"), "")))).getnames() == [
        "f",
        "l",
    ]


def hostile(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarFile:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    buffer.seek(0)
    return tarfile.open(fileobj=buffer)


def test_cp_never_leaves_the_target(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "link").symlink_to(tmp_path)
    tar = hostile("link/evil")
    with pytest.raises(Failure, match="refusing to copy through the symbolic link"):
        copying._extract(tar, tar.getmembers()[0], str(into), owners=False)
    tar = hostile("../evil")
    with pytest.raises(Failure, match="invalid path in archive"):
        copying._extract(tar, tar.getmembers()[0], str(into), owners=False)
    assert not (tmp_path / "evil").exists()
    (tmp_path / "secret").write_text("x")
    for link in ("../secret", "link/secret", str(tmp_path / "secret")):
        tar = hostile("hard", tarfile.LNKTYPE, link)
        with pytest.raises(Failure):
            copying._extract(tar, tar.getmembers()[0], str(into), owners=False)
    assert (tmp_path / "secret").stat().st_nlink == 1
