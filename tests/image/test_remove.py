"""docker rmi and prune: what goes, what is refused, in Docker's words."""

from __future__ import annotations

from image.rig import ImageRig, docker_archive, failure, files, make_image, member, tar
from trine.image.reference import parse
from trine.image.remove import is_single_reference, size_of_gone
from trine.image.spec import chain_ids
from trine.v1 import image_pb2 as pb

BASE = files(a="a")
TOP = tar((member("b"), b"b"))
CONTAINER = "c0ffee" + "0" * 58


def use(image: pb.Image, running: bool = False) -> pb.ImageUse:
    return pb.ImageUse(image_id=image.id, container_id=CONTAINER, running=running)


def load(rig: ImageRig, *names: str) -> pb.Image:
    rig.load(docker_archive((make_image(BASE, TOP), list(names), [BASE, TOP])))
    return rig.image(names[0])


def commit(rig: ImageRig, base: str, key: str, name: str = "") -> str:
    rig.prepare(key, base)
    made = rig.stub.CommitSnapshot(pb.CommitSnapshotRequest(key=key, reference=name, comment=key))
    rig.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key=key))
    return str(made.image_id)


def test_single_references() -> None:
    digest = "@sha256:" + "0" * 64
    for names, single in (
        ([], False),
        (["a:1"], True),
        (["a:1", "a:2"], False),
        (["a:1", "a" + digest], True),
        (["a:1", "b" + digest], False),
        (["a" + digest], True),
        (["a" + digest, "b" + digest], False),
    ):
        assert is_single_reference([parse(name) for name in names]) is single, names


def test_the_last_name_takes_the_image_with_it(rig: ImageRig) -> None:
    image = load(rig, "x:1", "y:2")
    assert rig.remove("y:2") == ["U y:2"]
    chains = chain_ids(list(image.diff_ids))
    assert rig.remove("x:1") == ["U x:1", f"D {image.id}", f"D {chains[1]}", f"D {chains[0]}"]
    assert failure(lambda: rig.remove("x:1")).message == "No such image: x:1"


def test_layers_others_use_stay(rig: ImageRig) -> None:
    image = load(rig, "x:1")
    rig.load(docker_archive((make_image(BASE), ["base:1"], [BASE])))
    assert rig.remove("x:1")[2:] == [f"D {chain_ids(list(image.diff_ids))[1]}"]
    rig.prepare("k", "base:1")


def test_by_id(rig: ImageRig) -> None:
    image = load(rig, "x:1", "y:2")
    short = image.id[7:19]
    assert failure(lambda: rig.remove(short)).message == (
        f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    )
    assert rig.remove(short, force=True)[:3] == ["U x:1", "U y:2", f"D {image.id}"]


def test_images_containers_use(rig: ImageRig) -> None:
    image = load(rig, "x:1")
    short = image.id[7:19]
    for name, uses, force, message in (
        (
            "x:1",
            [use(image)],
            False,
            'conflict: unable to remove repository reference "x:1" (must force) - container '
            f"{CONTAINER[:12]} is using its referenced image {short}",
        ),
        (
            image.id,
            [use(image)],
            False,
            f"conflict: unable to delete {short} (must be forced) - image is being used by stopped container "
            f"{CONTAINER[:12]}",
        ),
        (
            image.id,
            [use(image, True)],
            True,
            f"conflict: unable to delete {short} (cannot be forced) - image is being used by running "
            f"container {CONTAINER[:12]}",
        ),
    ):
        error = failure(lambda name=name, uses=uses, force=force: rig.remove(name, uses=uses, force=force))  # type: ignore[misc]
        assert error.message == message
        assert list(rig.image("x:1").repo_tags) == ["x:1"]


def test_forced_while_running_untags_only(rig: ImageRig) -> None:
    image = load(rig, "x:1")
    assert rig.remove("x:1", uses=[use(image, True)], force=True) == ["U x:1"]
    assert [list(found.repo_tags) for found in rig.images()] == [[]]


def test_forced_while_stopped_keeps_the_layers_of_the_snapshot(rig: ImageRig) -> None:
    image = load(rig, "x:1")
    lower = rig.prepare("k", "x:1").mount.lower_directories
    assert rig.remove("x:1", uses=[use(image)], force=True) == ["U x:1", f"D {image.id}"]
    assert rig.images() == []
    again = rig.stub.GetSnapshot(pb.GetSnapshotRequest(key="k")).snapshot
    assert list(again.mount.lower_directories) == list(lower)
    rig.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key="k"))
    rig.assert_clean()


def test_children(rig: ImageRig) -> None:
    base = load(rig, "base:1")
    middle = commit(rig, "base:1", "one")
    top = commit(rig, middle, "two", "top:1")
    short = base.id[7:19]
    assert failure(lambda: rig.remove(short, force=True)).message == (
        f"conflict: unable to delete {short} (cannot be forced) - image has dependent child images"
    )
    assert rig.remove("base:1") == ["U base:1"]
    assert [image.id for image in rig.images()] == [top]
    assert {image.id for image in rig.images(all=True)} == {top, middle, base.id}
    assert [line for line in rig.remove("top:1", no_prune=True) if line[2:] in (top, middle, base.id)] == [
        f"D {top}"
    ]
    gone = rig.remove(middle)
    assert [line for line in gone if line[2:] in (middle, base.id)] == [f"D {middle}", f"D {base.id}"]


def test_prune(rig: ImageRig) -> None:
    base = load(rig, "base:1")
    rig.prepare("k", "base:1")
    dangling = rig.import_tar(files(c="c"))
    used = rig.import_tar(files(d="d"))
    uses = [pb.ImageUse(image_id=used, container_id=CONTAINER)]
    answer = rig.stub.PruneImages(pb.PruneImagesRequest(uses=uses))
    assert [d.deleted for d in answer.deleted][:1] == [dangling]
    assert answer.reclaimed_bytes > 0
    assert {image.id for image in rig.images()} == {base.id, used}
    answer = rig.stub.PruneImages(pb.PruneImagesRequest(all=True, filters=["label=none"]))
    assert list(answer.deleted) == []
    answer = rig.stub.PruneImages(pb.PruneImagesRequest(all=True, filters=["until=2000-01-01"]))
    assert list(answer.deleted) == []
    assert (
        failure(lambda: rig.stub.PruneImages(pb.PruneImagesRequest(filters=["x=y"]))).message
        == "Invalid filter 'x'"
    )
    rig.stub.PruneImages(pb.PruneImagesRequest(all=True))
    assert rig.images() == []


def test_what_others_pull_during_a_prune_is_not_subtracted() -> None:
    assert size_of_gone({"layer a": 3, "blob b": 4}, {"blob b": 4, "blob pulled": 100}) == 3
