"""kill -9 at any point, a full disk, a second instance: what the next start finds is whole."""

from __future__ import annotations

import ctypes
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from image.rig import Answer, FakeRegistry, ImageRig, failure, files, make_image, member, tar, wait_until
from trine.image import workers
from trine.v1 import image_pb2 as pb

BASE = files(a="a")
IMAGE = make_image(BASE, tar((member("big"), os.urandom(1 << 20))))


@pytest.fixture
def own() -> Iterator[ImageRig]:
    """A service that may be killed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = ImageRig().start()
    yield made
    made.close()


def consistent(rig: ImageRig) -> None:
    """Rows and files of the store are equal, every name has its image, every image its layers."""
    wait_until(lambda: not list((rig.root / "tmp").iterdir()))
    database = sqlite3.connect(f"file:{rig.root}/image.db?mode=ro", uri=True)
    layers = {str(row[0]): row[1] for row in database.execute("SELECT number, diff_id FROM layers")}
    assert {path.name for path in (rig.root / "layers").iterdir()} == set(layers)
    blobs = {row[0].removeprefix("sha256:") for row in database.execute("SELECT digest FROM blobs")}
    assert {path.name for path in (rig.root / "content/blobs/sha256").iterdir()} == blobs
    snapshots = {str(row[0]) for row in database.execute("SELECT number FROM snapshots")}
    assert {path.name for path in (rig.root / "snapshots").iterdir()} == snapshots
    images = {row[0]: json.loads(row[1]) for row in database.execute("SELECT id, raw FROM images")}
    for config in images.values():
        assert set(config["rootfs"]["diff_ids"]) <= set(layers.values())
    assert {row[0] for row in database.execute("SELECT image_id FROM names")} <= set(images)
    database.close()


def test_everything_is_there_after_kill(own: ImageRig) -> None:
    image_id = own.import_tar(BASE, reference="kept:1")
    snapshot = own.prepare("c1", "kept:1")
    (Path(snapshot.mount.upper_directory) / "mine").write_text("x")
    own.kill()
    own.start()
    assert own.image("kept:1").id == image_id
    assert own.stub.GetSnapshot(pb.GetSnapshotRequest(key="c1")).snapshot == snapshot
    assert (Path(snapshot.mount.upper_directory) / "mine").read_text() == "x"
    consistent(own)


def _is_worker(pid: str) -> bool:
    """Tell whether a worker still runs (one that ended is a zombie where PID 1 never reaps)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"worker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def test_killed_in_a_download(own: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    blob = json.loads(IMAGE.manifest)["layers"][1]["digest"]
    fake.routes[f"/v2/x/blobs/{blob}"] = Answer(IMAGE.blobs[blob], stall=1000)
    call = own.stub.PullImage(pb.PullImageRequest(name=f"{fake.host}/x"))
    reader = threading.Thread(target=lambda: failure(lambda: list(call)))
    reader.start()
    assert fake.stalled.wait(10)
    assert own.process is not None
    tasks = Path(f"/proc/{own.process.pid}/task")
    workers = [pid for path in tasks.glob("*/children") for pid in path.read_text().split()]
    assert workers, "one unpacks what has come so far"
    own.kill()
    reader.join(10)
    # It waits for more of a file nobody writes any more: it must see that itself.
    wait_until(lambda: not any(_is_worker(pid) for pid in workers))
    own.start()
    assert own.images(all=True) == []
    own.assert_clean()
    fake.serve("x", "latest", IMAGE)
    assert own.pull(f"{fake.host}/x")[-1].result.image_id == IMAGE.id
    consistent(own)


def test_a_stop_ends_what_runs_and_leaves_nothing(own: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    blob = json.loads(IMAGE.manifest)["layers"][1]["digest"]
    fake.routes[f"/v2/x/blobs/{blob}"] = Answer(IMAGE.blobs[blob], stall=1000)
    call = own.stub.PullImage(pb.PullImageRequest(name=f"{fake.host}/x"))
    reader = threading.Thread(target=lambda: failure(lambda: list(call)))
    reader.start()
    assert fake.stalled.wait(10)
    assert own.stop() == 0  # while the registry still keeps silent
    reader.join(10)
    own.assert_clean()


# Every system call that makes a change durable or visible is a point to die at.
_KILLER = """
import os, runpy, signal, sys, threading
at, count, lock = int(sys.argv[1]), 0, threading.Lock()
def die(event, arguments):
    global count
    if event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "trine.commit") :
        with lock:
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
from trine.kit import database
original = database.Database.transaction
from contextlib import contextmanager
@contextmanager
def transaction(self):
    with original(self) as connection:
        yield connection
        sys.audit("trine.commit")
    sys.audit("trine.commit")
database.Database.transaction = transaction
armed = sys.argv[2]
def hook(event, arguments):
    if os.path.exists(armed):
        die(event, arguments)
sys.addaudithook(hook)
sys.argv[1:] = sys.argv[3:]
runpy.run_module("trine.image.main", run_name="__main__")
"""


@pytest.mark.parametrize("what", ["pull", "commit", "prepare", "delete", "remove"])
def test_killed_at_each_step(tmp_path: Path, fake: FakeRegistry, what: str) -> None:
    """Die at the n-th rename, mkdir or transaction of an operation, until n is more than there are."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    fake.serve("x", "latest", IMAGE)
    script = tmp_path / "killer.py"
    script.write_text(_KILLER)
    steps = 0
    for at in (1, 3, 9, 60):
        rig = ImageRig()
        try:
            armed = tmp_path / f"armed-{at}"
            rig.start([sys.executable, str(script), str(at), str(armed)])
            rig.import_tar(BASE, reference="base:1")
            rig.prepare("c1", "base:1")
            armed.touch()
            try:
                _do(rig, fake, what)
                survived = True
            except grpc.RpcError:
                survived = False
                assert rig.process is not None
                rig.process.wait(10)
            armed.unlink()
            if survived:
                rig.kill()
            rig.start()
            consistent(rig)
            _do(rig, fake, what)  # and again, to the end
            consistent(rig)
        finally:
            rig.close()
        if survived:
            break
        steps += 1
    assert steps >= 2
    assert survived


def _do(rig: ImageRig, fake: FakeRegistry, what: str) -> None:
    if what == "pull":
        rig.pull(f"{fake.host}/x")
    elif what == "commit":
        rig.stub.CommitSnapshot(pb.CommitSnapshotRequest(key="c1", reference="made:1"))
    elif what == "prepare":
        rig.prepare("c2", "base:1")
    elif what == "delete":
        rig.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key="c1"))
    else:
        try:
            rig.remove("base:1")
        except grpc.RpcError as error:
            # Done by the killed one already: its name was the last thing to go.
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise


def test_files_without_rows_and_rows_without_files(own: ImageRig) -> None:
    own.import_tar(BASE, reference="broken:1")
    own.import_tar(files(b="b"), reference="whole:1")
    lower = own.prepare("k", "broken:1").mount.lower_directories[0]
    own.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key="k"))
    own.kill()
    subprocess.run(["rm", "-r", Path(lower).parent], check=True)
    for stray in ("layers/999/fs", "snapshots/999/fs", "tmp/junk/deep"):
        (own.root / stray).mkdir(parents=True)
    (own.root / "content/blobs/sha256" / ("0" * 64)).write_text("stray")
    own.start()
    assert [list(image.repo_tags) for image in own.images()] == [["whole:1"]]
    consistent(own)


def test_after_a_power_loss_only_what_was_synced_counts(own: ImageRig) -> None:
    own.import_tar(BASE, reference="synced:1")

    def durable() -> bool:
        database = sqlite3.connect(f"file:{own.root}/image.db?mode=ro", uri=True)
        count = database.execute("SELECT count(*) FROM layers WHERE durable = 0").fetchone()[0]
        database.close()
        return bool(count == 0)

    wait_until(durable)
    own.import_tar(files(b="b"), reference="torn:1")
    own.kill()
    database = sqlite3.connect(own.root / "image.db")
    database.execute("UPDATE facts SET value = 'another boot' WHERE key = 'boot_id'")
    database.execute("UPDATE layers SET durable = 0 WHERE number = (SELECT max(number) FROM layers)")
    database.commit()
    database.close()
    own.start()
    assert [list(image.repo_tags) for image in own.images()] == [["synced:1"]]
    consistent(own)


def test_one_owner_for_the_data(own: ImageRig) -> None:
    second = subprocess.run(
        [
            *(sys.executable, "-I", "-m", "trine.image.main", "--listen", f"{own.directory}/second.sock"),
            *("--data-root", f"{own.directory}/data"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert (
        second.stderr.startswith("trine-image: another trine-image uses ") and second.stderr.count("\n") == 1
    )


@pytest.fixture
def small_disk() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tempfile.mkdtemp(prefix="trine-small-")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, b"size=24m") == 0
    yield Path(path)
    assert libc.umount2(path.encode(), 2) == 0
    os.rmdir(path)


@pytest.mark.parametrize("where", ["blob", "layer"])
def test_a_full_disk_in_a_pull(small_disk: Path, fake: FakeRegistry, where: str) -> None:
    # Random bytes do not fit as a blob; repeated ones do not fit unpacked.
    content = os.urandom(30 << 20) if where == "blob" else os.urandom(1 << 20) * 40
    image = make_image(BASE, tar((member("a/big"), content)))
    fake.serve("x", "latest", image)
    rig = ImageRig(parent=small_disk).start()
    try:
        error = failure(lambda: rig.pull(f"{fake.host}/x"))
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.message.endswith("no space left on device")
        assert rig.images(all=True) == []
        rig.assert_clean()
        fake.serve("x", "latest", make_image(BASE))
        rig.pull(f"{fake.host}/x")
        consistent(rig)
    finally:
        rig.close()


def test_a_full_disk_in_load_and_import(small_disk: Path) -> None:
    rig = ImageRig(parent=small_disk).start()
    try:
        big = tar((member("big"), os.urandom(30 << 20)))
        for call in (lambda: rig.import_tar(big), lambda: rig.load(big)):
            error = failure(call)
            assert (error.code.name, "no space left on device" in error.message) == (
                "RESOURCE_EXHAUSTED",
                True,
            )
        rig.assert_clean()
    finally:
        rig.close()


def test_a_worker_whose_service_is_gone_before_it_looks_ends(tmp_path: Path) -> None:
    """The request is there, who made it is not: nobody will write the rest of the file."""
    source = tmp_path / "blob"
    source.write_bytes(b"")
    request = {"op": "unpack", "source": str(source), "target": str(tmp_path / "fs"), "growing": True}
    script = Path(workers.__file__).parent / "layers" / "worker.py"
    services = Path(workers.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), str(services), str(services)],
        input=json.dumps({**request, "length": 100, "limit": 100}) + "\n",
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
