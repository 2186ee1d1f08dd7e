"""Layers in and out, without a service: the unpacker against tars nobody should trust."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import stat
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from image.rig import member, sha256, tar
from trine.image import diff, spec
from trine.image.layers import compression, merged, pack, tarformat
from trine.image.layers.stream import Stream
from trine.image.layers.tarformat import TarError
from trine.image.layers.unpack import Unpacker

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
DIR, LINK, HARD, CHR = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
Unpack = Callable[[bytes], Path]


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """Unpack a tar to a new directory that has a neighbour nobody may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("untouched")

    def work(data: bytes) -> Path:
        target = tmp_path / "layer"
        target.mkdir()
        stream = Stream(pieces(data))
        try:
            Unpacker(str(target)).run(stream)
        finally:
            assert [p.name for p in tmp_path.iterdir() if p.name not in ("layer", "outside")] == []
            assert [p.name for p in (tmp_path / "outside").iterdir()] == ["secret"]
            assert (tmp_path / "outside" / "secret").read_text() == "untouched"
        assert stream.digest == sha256(data)
        return target

    return work


def kind(path: Path) -> str:
    found = path.lstat()
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        return "whiteout"
    return stat.filemode(found.st_mode)[0]


def test_what_an_ordinary_layer_has(unpack: Unpack) -> None:
    layer = unpack(
        tar(
            member("./", DIR, mode=0o700),
            member("usr/", DIR, mode=0o2775, gid=50, mtime=1000),
            (member("usr/tool", mode=0o4755, uid=7, gid=8, mtime=12345), b"run"),
            member("usr/again", HARD, linkname="usr/tool"),
            member("usr/there", LINK, linkname="../usr/tool"),
            member("pipe", tarfile.FIFOTYPE, mode=0o600),
            member("null", CHR, devmajor=1, devminor=3, mode=0o666),
            (member("no/parent/file"), b"x"),
        )
    )
    tool = (layer / "usr/tool").lstat()
    assert (stat.S_IMODE(tool.st_mode), tool.st_uid, tool.st_gid, tool.st_mtime) == (0o4755, 7, 8, 12345)
    assert (layer / "usr/again").lstat().st_ino == tool.st_ino
    usr = (layer / "usr").lstat()
    assert (stat.S_IMODE(usr.st_mode), usr.st_gid, usr.st_mtime) == (0o2775, 50, 1000)
    assert os.readlink(layer / "usr/there") == "../usr/tool"
    assert (kind(layer / "pipe"), (layer / "null").lstat().st_rdev) == ("p", os.makedev(1, 3))
    assert (layer / "no/parent/file").read_text() == "x"
    assert stat.S_IMODE(layer.lstat().st_mode) == 0o700


def test_a_child_does_not_inherit_the_group_of_a_setgid_directory(unpack: Unpack) -> None:
    layer = unpack(tar(member("d/", DIR, mode=0o2775, gid=50), (member("d/f"), b"x")))
    assert (layer / "d/f").lstat().st_gid == 0


@pytest.mark.parametrize(
    "members",
    [
        [(member("../outside/x"), b"x")],
        [(member("a/../../outside/x"), b"x")],
        [(member("/../outside/x"), b"x")],
        [member("out", LINK, linkname="../outside"), (member("out/x"), b"x")],
        [member("out", LINK, linkname="../outside"), (member("out/secret"), b"x")],
        [member("a", LINK, linkname=".."), member("b", LINK, linkname="a/outside"), (member("b/x"), b"x")],
        [member("l", LINK, linkname="l"), (member("l/x"), b"x")],
        [member("hard", HARD, linkname="../outside/secret")],
        [member("out", LINK, linkname="../outside"), member("hard", HARD, linkname="out/secret")],
        [member("hard", HARD, linkname="/etc/passwd")],
        [member("hard", HARD, linkname="nothing")],
        [member("d/", DIR), member("hard", HARD, linkname="d")],
        [member("gone", CHR, devmajor=0, devminor=0)],
        [member(".wh..wh..opq/../../x")],
        [member("a/.wh.")],
        [member("a/.wh..")],
        [member("a/.wh...")],
        [(member("f"), b"x"), (member("f/g"), b"x")],
        [member("weird", b"Z")],
        [(member("a/" + "n" * 256), b"x")],
        [(member("d/" * 2100 + "f"), b"x")],
        [(member("x", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}), b"x")],
        [(member("x", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"}), b"x")],
        [(member("x", pax_headers={"size": "99999999999999999999999"}), b"x")],
        [(member("x", pax_headers={"GNU.sparse.map": "0,10,5,10", "GNU.sparse.size": "20"}), b"x" * 20)],
        [(member("x", uid=1 << 40), b"x")],
    ],
    ids=lambda members: str((members[-1][0] if isinstance(members[-1], tuple) else members[-1]).name)[:30],
)
def test_hostile_layers_are_refused_with_one_line(unpack: Unpack, members: list[tarfile.TarInfo]) -> None:
    with pytest.raises(TarError) as caught:
        unpack(tar(*members))
    assert "\n" not in str(caught.value)


def test_a_name_with_a_newline_is_shown_on_one_line(unpack: Unpack) -> None:
    with pytest.raises(TarError) as caught:
        unpack(tar((member("a\nb/../../x"), b"x")))
    assert "a\\nb" in str(caught.value) and "\n" not in str(caught.value)


def test_absolute_names_and_links_mean_the_layer(unpack: Unpack) -> None:
    layer = unpack(
        tar(
            (member("/abs/file"), b"1"),
            member("link", LINK, linkname="/abs"),
            (member("link/other"), b"2"),
            member("hard", HARD, linkname="/abs/file"),
        )
    )
    assert (layer / "abs/other").read_text() == "2"
    assert (layer / "hard").samefile(layer / "abs/file")


def test_a_link_never_stays_under_what_is_written_over_it(unpack: Unpack) -> None:
    layer = unpack(
        tar(
            member("f", LINK, linkname="../outside/secret"),
            (member("f"), b"mine"),
            member("d", LINK, linkname="../outside"),
            member("d/", DIR),
            (member("d/x"), b"x"),
            member("was/", DIR),
            (member("was/y"), b"y"),
            (member("was"), b"file now"),
        )
    )
    assert (kind(layer / "f"), (layer / "f").read_text()) == ("-", "mine")
    assert (layer / "d/x").read_text() == "x"
    assert (layer / "was").read_text() == "file now"


def test_whiteouts(unpack: Unpack) -> None:
    layer = unpack(
        tar(
            member("etc/.wh.gone"),
            member("var/", DIR),
            member("var/.wh..wh..opq"),
            member(".wh..wh.plnk"),
            member(".wh.new"),
            member("new/", DIR),  # in the place of what is below
            (member("stays"), b"x"),
            member(".wh.stays"),  # hides only what is below
        )
    )
    assert kind(layer / "etc/gone") == "whiteout"
    assert os.getxattr(layer / "var", merged.OPAQUE) == b"y"
    assert os.getxattr(layer / "new", merged.OPAQUE) == b"y"
    assert (layer / "stays").read_text() == "x"
    assert sorted(os.listdir(layer)) == ["etc", "new", "stays", "var"]


def test_attributes(unpack: Unpack) -> None:
    # cap_net_raw+ep, VFS_CAP_REVISION_2 (linux/capability.h)
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    entry = tarformat.Entry()
    entry.name, entry.mode, entry.size, entry.uid = b"ping", 0o755, 1, 3
    entry.xattrs = {b"security.capability": capability, b"user.note": b"a=b\n"}
    layer = unpack(tarformat.header(entry) + b"x" + tarformat.padding(1) + tarformat.END)
    assert os.getxattr(layer / "ping", "security.capability") == capability
    assert os.getxattr(layer / "ping", "user.note") == b"a=b\n"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_big_numbers(unpack: Unpack, form: int) -> None:
    name = "/".join(["directory-with-a-long-name"] * 12)
    layer = unpack(
        tar(
            (member(name, uid=3_000_000, gid=3_000_001), b"x"),
            member("l", LINK, linkname=name),
            member("h", HARD, linkname=name),
            form=form,
        )
    )
    assert (layer / name).lstat().st_uid == 3_000_000
    assert os.readlink(layer / "l") == name
    assert (layer / "h").samefile(layer / name)


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_sparse_files_of_gnu_tar(unpack: Unpack, tmp_path: Path, form: str) -> None:
    made = tmp_path / "outside" / "made"
    made.mkdir()
    with (made / "sparse").open("wb") as file:
        for offset in (0, 1 << 20, 5 << 20):
            file.seek(offset)
            file.write(b"data")
        file.truncate(8 << 20)
    content = (made / "sparse").read_bytes()
    data = subprocess.run(
        ["tar", "-C", made, "--sparse", f"--format={form}", "-cf", "-", "sparse"],
        capture_output=True,
        check=True,
    ).stdout
    assert len(data) < 1 << 20
    (made / "sparse").unlink()
    made.rmdir()
    layer = unpack(data)
    assert (layer / "sparse").read_bytes() == content
    assert (layer / "sparse").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 512,
        tar((member("f"), b"x" * 4000))[:2000],
        tar((member("f"), b"xyz"))[:514],
        bytes(100),
    ],
)
def test_what_is_no_tar_or_ends_early(unpack: Unpack, data: bytes) -> None:
    with pytest.raises(TarError):
        unpack(data)


def test_an_archive_may_end_without_its_zero_blocks(unpack: Unpack) -> None:
    assert (unpack(tar((member("f"), b"x"))[:1024]) / "f").read_text() == "x"


def test_an_archive_may_even_end_without_padding(unpack: Unpack) -> None:
    assert (unpack(tar((member("f"), b"x"))[:513]) / "f").read_text() == "x"


def test_limit() -> None:
    stream = Stream(pieces(bytes(10_000)), limit=5000)
    with pytest.raises(TarError, match="larger than"):
        stream.drain()


@pytest.mark.parametrize("command", ["gzip", "xz", "bzip2", "zstd"])
def test_compressions(command: str) -> None:
    plain = os.urandom(300_000) + bytes(3_000_000)
    packed = subprocess.run([command, "-c"], input=plain, capture_output=True, check=True).stdout
    assert compression.detect(packed) == command
    for data in (packed, packed + packed):
        assert b"".join(compression.decompress(io.BytesIO(data).read, command)) == plain * (
            len(data) // len(packed)
        )
    with pytest.raises(TarError):
        list(compression.decompress(io.BytesIO(packed[:-20]).read, command))
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    with pytest.raises(TarError):
        list(compression.decompress(io.BytesIO(bytes(broken)).read, command))


def test_a_bomb_is_read_in_bounded_pieces() -> None:
    packed = subprocess.run(["gzip", "-c"], input=bytes(50 << 20), capture_output=True, check=True).stdout
    assert max(len(piece) for piece in compression.decompress(io.BytesIO(packed).read, "gzip")) <= 1 << 20


# --- the way back ----------------------------------------------------------------------------------
def packed(upper: Path, lower: list[str] | None = None) -> bytes:
    out = io.BytesIO()
    pack.pack_upper(str(upper), lower or [], out.write)
    return out.getvalue()


def test_packing_an_empty_directory_gives_the_empty_layer(tmp_path: Path) -> None:
    assert sha256(packed(tmp_path)) == spec.EMPTY_DIFF_ID


def test_packing_and_unpacking_is_the_identity(unpack: Unpack, tmp_path: Path) -> None:
    name = "/".join(["directory-with-a-long-name"] * 12)
    data = tar(
        member("d/", DIR, mode=0o1777, mtime=77),
        member("d/.wh..wh..opq"),
        (member("d/f", mode=0o4711, uid=3_000_000, gid=4, mtime=99), b"content"),
        member("d/g", HARD, linkname="d/f"),
        member("d/l", LINK, linkname="f"),
        member(".wh.gone"),
        member("p", tarfile.FIFOTYPE),
        (member(name), b"long"),
    )
    once = packed(unpack(data))
    shutil.rmtree(tmp_path / "layer")
    assert packed(unpack(once)) == once
    names = tarfile.open(fileobj=io.BytesIO(once)).getnames()
    assert {"d/.wh..wh..opq", ".wh.gone", name} <= set(names)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    """(lower, upper, mount point) of a real overlay mount in this mount namespace."""
    lower, upper, work, merged_at = (tmp_path / name for name in ("lower", "upper", "work", "merged"))
    for path in (lower, upper, work, merged_at):
        path.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    for directory in ("etc", "opt/dir", "keep"):
        (lower / directory).mkdir(parents=True)
    for file in ("etc/passwd", "etc/old", "opt/dir/a", "opt/dir/b", "keep/same"):
        (lower / file).write_text(file)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}".encode()
    assert libc.mount(b"overlay", str(merged_at).encode(), b"overlay", 0, options) == 0, ctypes.get_errno()
    yield lower, upper, merged_at
    assert libc.umount2(str(merged_at).encode(), 2) == 0


def test_changes_a_real_overlay_records(overlay: tuple[Path, Path, Path]) -> None:
    lower, upper, root = overlay
    (root / "etc/passwd").write_text("changed")
    (root / "etc/old").unlink()
    (root / "etc/new").write_text("new")
    subprocess.run(["rm", "-r", root / "opt/dir"], check=True)
    (root / "opt/dir").mkdir()
    (root / "opt/dir/c").write_text("c")
    (root / "etc/hosts").write_text("")  # as the runtime makes it
    (root / "proc").mkdir()
    assert diff.changes(str(upper), [str(lower)]) == [
        ("C", "/etc"),
        ("A", "/etc/new"),
        ("D", "/etc/old"),
        ("C", "/etc/passwd"),
        ("C", "/opt"),
        ("C", "/opt/dir"),
        ("D", "/opt/dir/a"),
        ("D", "/opt/dir/b"),
        ("A", "/opt/dir/c"),
    ]


def test_the_merged_view_is_what_the_kernel_shows(overlay: tuple[Path, Path, Path]) -> None:
    lower, upper, root = overlay
    (root / "etc/old").unlink()
    subprocess.run(["rm", "-r", root / "opt/dir"], check=True)
    (root / "opt/dir").mkdir()
    (root / "opt/dir/c").write_text("c")
    (root / "keep/more").symlink_to("same")
    ours = sorted(path for path, _, _ in merged.walk([str(upper), str(lower)]))
    kernel = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert ours == kernel


def test_only_mount_points_changed_is_no_change(overlay: tuple[Path, Path, Path]) -> None:
    lower, upper, root = overlay
    (root / "etc/hosts").write_text("")
    for name in ("proc", "sys", "dev"):
        (root / name).mkdir()
    (root / "dev/console").write_text("")
    assert diff.changes(str(upper), [str(lower)]) == []
    assert sha256(packed(upper, [str(lower)])) == spec.EMPTY_DIFF_ID


def test_a_container_cannot_forge_a_whiteout(tmp_path: Path) -> None:
    for name in (".wh.passwd", ".wh..wh..opq", "honest"):
        (tmp_path / name).write_text("")
    assert tarfile.open(fileobj=io.BytesIO(packed(tmp_path))).getnames() == ["honest"]


def test_a_layer_packed_from_a_real_overlay_rebuilds_it(overlay: tuple[Path, Path, Path]) -> None:
    lower, upper, root = overlay
    (root / "etc/old").unlink()
    subprocess.run(["rm", "-r", root / "opt/dir"], check=True)
    (root / "opt/dir").mkdir()
    (root / "etc/x").write_text("x")
    os.link(root / "etc/x", root / "etc/y")
    data = packed(upper, [str(lower)])
    again = sorted(p for p, _, _ in merged.walk([str(_unpacked(data, upper.parent)), str(lower)]))
    assert again == sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def _unpacked(data: bytes, where: Path) -> Path:
    target = where / "again"
    target.mkdir()
    Unpacker(str(target)).run(Stream(pieces(data)))
    return target
