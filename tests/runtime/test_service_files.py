"""docker cp of the runtime alone, and root file systems that mean harm."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from runtime.rig import Rig, eventually, make_rootfs, reason
from trine.v1 import image_pb2
from trine.v1 import runtime_pb2 as pb


def read(
    rig: Rig, target: pb.ArchiveTarget
) -> tuple[pb.PathStat, dict[str, tarfile.TarInfo], tarfile.TarFile]:
    responses = list(rig.stub.ReadArchive(pb.ReadArchiveRequest(target=target), timeout=30))
    archive = tarfile.open(fileobj=io.BytesIO(b"".join(r.chunk for r in responses)))
    return responses[0].stat, {member.name: member for member in archive}, archive


def write(rig: Rig, target: pb.ArchiveTarget, content: bytes, **options: bool) -> None:
    def requests() -> Iterator[pb.WriteArchiveRequest]:
        yield pb.WriteArchiveRequest(options=pb.WriteArchiveOptions(target=target, **options))
        for place in range(0, len(content), 100_000):
            yield pb.WriteArchiveRequest(chunk=content[place : place + 100_000])

    rig.stub.WriteArchive(requests(), timeout=30)


def packed(*members: tuple[str, bytes | None, dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755 if content is None else 0o640
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content or b""))
    return buffer.getvalue()


def stopped(rig: Rig, request: pb.CreateRuntimeContainerRequest, path: str) -> pb.ArchiveTarget:
    return pb.ArchiveTarget(container_id=request.id, path=path, root=request.root, mounts=request.mounts)


def test_copy_out_and_in_of_a_running_container(rig: Rig) -> None:
    script = "mkdir -p /d/e; cd /d; echo hello > f; ln -s f l; ln f h; mknod p p; touch /ready; sleep 1000"
    tmpfs = pb.MountSpec(kind=pb.MOUNT_KIND_TMPFS, target="/scratch")
    container = rig.run("sh", "-c", script, mounts=[tmpfs])
    eventually(lambda: rig.exec_output(container, "test", "-e", "/ready")[0] == 0)
    stat, members, archive = read(rig, pb.ArchiveTarget(container_id=container, path="/d"))
    assert (stat.name, stat.mode & 0o170000) == ("d", 0o040000)
    assert sorted(members) == ["d", "d/e", "d/f", "d/h", "d/l", "d/p"]
    assert members["d/l"].issym() and members["d/h"].islnk() and members["d/p"].isfifo()
    extracted = archive.extractfile("d/f")
    assert extracted is not None and extracted.read() == b"hello\n"
    stat, members, _ = read(rig, pb.ArchiveTarget(container_id=container, path="/d/l"))
    assert stat.link_target == "/d/f" and members["l"].issym()
    big = os.urandom(3_000_000)
    content = packed(("new", None, {}), ("new/file", big, {"uid": 1000, "mtime": 1234567890}))
    write(rig, pb.ArchiveTarget(container_id=container, path="/scratch"), content)
    _, said = rig.exec_output(container, "stat", "-c", "%s %u %a %Y", "/scratch/new/file")
    assert said == b"3000000 1000 640 1234567890\n"
    for path, wanted in (("/nothere", "NO_SUCH_PATH"), ("/d/f/x", "NO_SUCH_PATH")):
        with pytest.raises(grpc.RpcError) as failed:
            read(rig, pb.ArchiveTarget(container_id=container, path=path))
        assert reason(failed.value) == wanted
        assert failed.value.details() == f"Could not find the file {path} in container {container}"
    with pytest.raises(grpc.RpcError) as failed:
        write(rig, pb.ArchiveTarget(container_id=container, path="/d/f"), content)
    assert failed.value.details() == "extraction point is not a directory"
    rig.delete(container, force=True)


def test_copy_of_one_that_does_not_run(rig: Rig, tmp_path: Path) -> None:
    volume = pb.MountSpec(kind=pb.MOUNT_KIND_BIND, source=str(tmp_path), target="/volume", read_only=True)
    (tmp_path / "v").write_text("in the volume")
    request = rig.request(["sh", "-c", "echo data > /made"], mounts=[volume])
    rig.stub.CreateRuntimeContainer(request)
    rig.begin(request.id)
    rig.wait(request.id)
    for _ in range(2):  # with its record, and without
        assert read(rig, stopped(rig, request, "/made"))[1]["made"].size == 5
        assert "v" in read(rig, stopped(rig, request, "/volume/v"))[1]
        rig.delete(request.id, keep_data=True)
    write(rig, stopped(rig, request, "/tmp"), packed(("x", b"put", {})))
    assert (rig.place / "snapshots" / request.id / "fs/tmp/x").read_bytes() == b"put"
    with pytest.raises(grpc.RpcError) as failed:
        write(rig, stopped(rig, request, "/volume"), packed(("x", b"put", {})))
    assert reason(failed.value) == "READ_ONLY"
    rig.delete(request.id)


def test_hostile_archives_stay_inside(rig: Rig, tmp_path: Path) -> None:
    container = rig.run("sleep", "1000")
    target = pb.ArchiveTarget(container_id=container, path="/tmp")
    outside = tmp_path / "secret"
    outside.write_text("secret")
    evil = packed(
        ("link", b"", {"type": tarfile.SYMTYPE, "linkname": str(tmp_path)}),
        ("link/secret", b"overwritten", {}),
    )
    write(rig, target, evil)
    assert outside.read_text() == "secret"
    assert rig.exec_output(container, "cat", str(outside))[1] == b"overwritten"
    with pytest.raises(grpc.RpcError) as failed:
        write(rig, target, packed(("../../x", b"", {})))
    assert reason(failed.value) == "INVALID_ARCHIVE"
    with pytest.raises(grpc.RpcError) as failed:
        write(rig, target, b"this is not a tar at all" * 100)
    assert reason(failed.value) == "INVALID_ARCHIVE"
    with pytest.raises(grpc.RpcError) as failed:
        write(
            rig,
            pb.ArchiveTarget(container_id=container, path="/"),
            packed(("tmp", b"", {})),
            no_overwrite_dir_non_dir=True,
        )
    assert "cannot overwrite directory" in str(failed.value.details())
    rig.delete(container, force=True)


def hostile(rig: Rig, name: str) -> Path:
    return make_rootfs(rig.place / name)


def test_a_fifo_for_passwd_hangs_nothing(rig: Rig) -> None:
    root = hostile(rig, "fifo")
    for file in ("passwd", "group"):
        (root / "etc" / file).unlink()
        os.mkfifo(root / "etc" / file)
    assert rig.output("echo", "fine", lower=[str(root)]) == (0, "fine\n")
    with pytest.raises(grpc.RpcError) as failed:
        rig.create("true", lower=[str(root)], user="bob")
    assert failed.value.details() == "unable to find user bob: no matching entries in passwd file"


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_may_not_be_links(rig: Rig, name: str) -> None:
    root = hostile(rig, f"link-{name}")
    (root / name).symlink_to("/etc")
    with pytest.raises(grpc.RpcError) as failed:
        rig.create("true", lower=[str(root)])
    assert "must be mounted on ordinary directory" in str(failed.value.details())


def test_links_lead_nowhere_but_inside(rig: Rig, tmp_path: Path) -> None:
    root = hostile(rig, "links")
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "dev").symlink_to("/../../../../elsewhere")
    (root / "etc/hosts").symlink_to(f"../../../../..{outside}/hosts")
    (root / "volume").symlink_to(str(outside))
    (root / "run").symlink_to("/proc/self/root")
    volume = pb.MountSpec(kind=pb.MOUNT_KIND_TMPFS, target="/volume/deep")
    files = [pb.ManagedFile(target="/etc/hosts", content=b"managed\n")]
    code, text = rig.output(
        "sh",
        "-c",
        "cat /etc/hosts; ls -d /volume/deep; ls -d /elsewhere/full",
        lower=[str(root)],
        mounts=[volume],
        managed_files=files,
    )
    assert (code, text) == (0, "managed\n/volume/deep\n/elsewhere/full\n")
    assert list(outside.iterdir()) == []


def test_an_image_cannot_plant_python_modules(rig: Rig, tmp_path: Path) -> None:
    root = hostile(rig, "planted")
    import trine.runtime

    for place in (Path(os.__file__).parent, Path(trine.runtime.__path__[0])):
        planted = root / str(place).lstrip("/")
        planted.mkdir(parents=True)
        for name in ("copy_up", "tarfile", "random", "pid1"):
            (planted / f"{name}.py").write_text("import os; os.system('touch /planted')")
    container = rig.run("sleep", "1000", lower=[str(root)], init=True)
    rig.exec_output(container, "true")
    read(rig, pb.ArchiveTarget(container_id=container, path="/etc"))
    assert rig.exec_output(container, "ls", "/planted")[0] == 1
    rig.delete(container, force=True)


def test_our_interpreter_cannot_be_written_from_inside(rig: Rig) -> None:
    """CVE-2019-5736: /proc/<pid>/exe of a process of ours, opened for writing by a privileged container."""
    assert (Path(f"/proc/{rig.zygote()}/exe")).exists()
    with pytest.raises(OSError):
        os.close(os.open(f"/proc/{rig.zygote()}/exe", os.O_WRONLY))
    container = rig.run("sleep", "1000", init=True, security=pb.SecuritySpec(privileged=True))
    code, said = rig.exec_output(container, "sh", "-c", ": >> /proc/1/exe", privileged=True)
    assert code != 0, said
    rig.delete(container, force=True)


def test_many_layers(rig: Rig) -> None:
    lowers = []
    for number in range(120):
        layer = rig.place / f"layers-of-a-rather-long-name/{number}/fs"
        layer.mkdir(parents=True)
        (layer / f"file{number}").write_text(str(number))
        lowers.append(str(layer))
    code, text = rig.output(
        "sh", "-c", "cat /file0 /file119; ls / | grep -c file", lower=[*lowers, str(rig.rootfs)]
    )
    assert (code, text) == (0, "0119120\n")
    assert image_pb2 is not None
