"""trine-image alone, over gRPC, with a real registry."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import grpc
import pytest

from image.rig import (
    LIST_TYPE,
    FakeRegistry,
    ImageRig,
    MadeImage,
    Registry,
    docker_archive,
    failure,
    files,
    lines,
    make_image,
    member,
    sha256,
    statuses,
    tar,
)
from trine.v1 import image_pb2 as pb

BASE = files(etc__passwd="root:x:0:0::/:/bin/sh\n", bin__sh="#!shell")
TOP = tar((member("app"), b"app"), member("etc/.wh.passwd"))


def short(digest: str) -> str:
    return digest[7:19]


def test_pull_says_what_docker_says(rig: ImageRig, registry: Registry) -> None:
    image = make_image(BASE, TOP)
    registry.put("pull/one", "v1", image)
    name = f"{registry.host}/pull/one"
    said = rig.pull(f"{name}:v1")
    assert lines(said) == [
        "v1: Pulling from pull/one",
        f"Digest: {image.digest}",
        f"Status: Downloaded newer image for {name}:v1",
    ]
    by_layer: dict[str, list[str]] = {}
    for response in said:
        if response.WhichOneof("event") == "layer":
            by_layer.setdefault(response.layer.id, []).append(response.layer.status)
    blobs = [layer["digest"] for layer in json.loads(image.manifest)["layers"]]
    assert list(by_layer) == [short(blob) for blob in blobs]
    for seen in by_layer.values():
        assert seen[0] == "Pulling fs layer" and seen[-1] == "Pull complete"
        assert [s for s in seen if s[:4] in ("Veri", "Down")][-2:] == [
            "Verifying Checksum",
            "Download complete",
        ]
    done = [response.layer.id for response in said if response.layer.status == "Pull complete"]
    assert done == [short(blob) for blob in blobs]
    assert (said[-1].result.image_id, said[-1].result.digest) == (image.id, image.digest)
    again = rig.pull(f"{name}:v1")
    assert lines(again)[1:] == [f"Digest: {image.digest}", f"Status: Image is up to date for {name}:v1"]
    assert statuses(again) == [] and again[-1].result.up_to_date


def test_layers_that_are_here_are_not_fetched(rig: ImageRig, fake: FakeRegistry) -> None:
    one, two = make_image(BASE), make_image(BASE, TOP)
    fake.serve("a", "latest", one)
    fake.serve("b", "latest", two)
    rig.pull(f"{fake.host}/a")
    fake.requests.clear()
    assert statuses(rig.pull(f"{fake.host}/b"))[0] == "Already exists"
    base = json.loads(two.manifest)["layers"][0]["digest"]
    assert not [request for request in fake.requests if base in request.path]


def test_the_mirror_serves_docker_hub_names(registry: Registry) -> None:
    registry.put("library/hello", "latest", make_image(BASE))
    mirrored = ImageRig("--registry-mirror", f"http://{registry.host}").start()
    try:
        said = lines(mirrored.pull("hello"))
        assert said[0] == "latest: Pulling from library/hello"
        assert said[-1] == "Status: Downloaded newer image for hello:latest"
        error = failure(lambda: mirrored.pull("nosuchimage"))
        assert (
            error.message == "manifest for nosuchimage:latest not found: manifest unknown: manifest unknown"
        )
        found = mirrored.stub.SearchImages(pb.SearchImagesRequest(term="hell")).results
        assert [(r.name, r.official) for r in found] == [("hello", True)]
    finally:
        mirrored.close()


def test_an_index_gives_the_image_of_the_platform(rig: ImageRig, registry: Registry) -> None:
    amd, arm = make_image(BASE), make_image(TOP, config={"architecture": "arm64"})
    entries = []
    for image, architecture in ((arm, "arm64"), (amd, "amd64")):
        registry.put("multi", architecture, image)
        descriptor = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
        entries.append({**descriptor, "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": entries}).encode()
    registry.put("multi", "all", MadeImage(index, amd.config, {}, [], LIST_TYPE))
    name = f"{registry.host}/multi:all"
    assert rig.pull(name)[-1].result == pb.PullResult(image_id=amd.id, digest=sha256(index))
    assert rig.image(name).repo_digests == [f"{registry.host}/multi@{sha256(index)}"]
    assert rig.pull(name, platform="linux/arm64")[-1].result.image_id == arm.id
    error = failure(lambda: rig.pull(name, platform="linux/s390x"))
    assert error.message == "no matching manifest for linux/s390x in the manifest list entries"
    assert rig.pull(f"{registry.host}/multi@{amd.digest}")[-1].result.image_id == amd.id


def test_all_tags(rig: ImageRig, registry: Registry) -> None:
    registry.put("many", "one", make_image(BASE))
    registry.put("many", "two", make_image(TOP))
    said = lines(rig.pull(f"{registry.host}/many", all_tags=True))
    assert [line for line in said if line.startswith("Status")] == [
        f"Status: Downloaded newer image for {registry.host}/many"
    ]
    assert sorted(tag for image in rig.images() for tag in image.repo_tags) == [
        f"{registry.host}/many:one",
        f"{registry.host}/many:two",
    ]


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "{host}/no/such",
            "NOT_FOUND",
            "manifest for {host}/no/such:latest not found: manifest unknown: manifest unknown",
        ),
        (
            "127.0.0.1:1/x",
            "UNAVAILABLE",
            'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
        ),
        ("Bad", "INVALID_ARGUMENT", "invalid reference format: repository name must be lowercase"),
        ("x\ny", "INVALID_ARGUMENT", "invalid reference format"),
    ],
)
def test_pulls_of_nothing(rig: ImageRig, registry: Registry, name: str, code: str, message: str) -> None:
    error = failure(lambda: rig.pull(name.format(host=registry.host)))
    assert (error.code.name, error.message) == (code, message.format(host=registry.host))


def test_push_and_what_the_registry_has_then(rig: ImageRig, registry: Registry) -> None:
    image_id = rig.import_tar(BASE, reference="imported", changes=["CMD x", "ENV A=b"])
    target = f"{registry.host}/pushed/x:v9"
    rig.stub.TagImage(pb.TagImageRequest(source="imported", target=target))
    said = list(rig.stub.PushImage(pb.PushImageRequest(name=target)))
    digest, size = said[-1].result.digest, said[-1].result.size_bytes
    texts = [r.line for r in said if r.WhichOneof("event") == "line"]
    assert texts == [
        f"The push refers to repository [{registry.host}/pushed/x]",
        f"v9: digest: {digest} size: {size}",
    ]
    assert [s for s in statuses(said) if s != "Pushing"] == ["Preparing", "Pushed"]
    again = list(rig.stub.PushImage(pb.PushImageRequest(name=target)))
    assert statuses(again)[-1] == "Layer already exists"
    rig.stub.TagImage(pb.TagImageRequest(source="imported", target=f"{registry.host}/other:1"))
    mounted = list(rig.stub.PushImage(pb.PushImageRequest(name=f"{registry.host}/other:1")))
    assert statuses(mounted)[-1] == "Mounted from pushed/x"
    found = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{target}"], capture_output=True, check=True
    )
    described = json.loads(found.stdout)
    assert (described["Digest"], described["Env"]) == (digest, ["A=b"])
    rig.clear()
    assert rig.pull(target)[-1].result.image_id == image_id
    # What was pulled is pushed again byte by byte.
    rig.stub.TagImage(pb.TagImageRequest(source=target, target=f"{registry.host}/copy:1"))
    copied = list(rig.stub.PushImage(pb.PushImageRequest(name=f"{registry.host}/copy:1")))
    assert copied[-1].result.digest == digest


def test_push_of_nothing(rig: ImageRig) -> None:
    error = failure(lambda: list(rig.stub.PushImage(pb.PushImageRequest(name="127.0.0.1:1/none:x"))))
    assert error.message == "An image does not exist locally with the tag: 127.0.0.1:1/none"


def test_search(rig: ImageRig, registry: Registry) -> None:
    registry.put("searched/thing", "latest", make_image(BASE))
    found = rig.stub.SearchImages(pb.SearchImagesRequest(term=f"{registry.host}/HED/thin")).results
    assert [r.name for r in found] == [f"{registry.host}/searched/thing"]
    assert not rig.stub.SearchImages(pb.SearchImagesRequest(term=f"{registry.host}/nothing")).results
    error = failure(lambda: rig.stub.SearchImages(pb.SearchImagesRequest(term="x", filters=["stars=many"])))
    assert error.message == "Invalid filter 'stars=many'"


def test_save_is_read_by_others_and_by_us(rig: ImageRig, tmp_path: Path) -> None:
    rig.import_tar(BASE, reference="one:1")
    rig.import_tar(TOP, reference="two:2")
    before = {image.id: list(image.repo_tags) for image in rig.images()}
    archive = tmp_path / "saved.tar"
    archive.write_bytes(rig.save("one:1", "two"))
    for source in (f"docker-archive:{archive}:one:1", f"oci-archive:{archive}:2"):
        target = f"dir:{tmp_path}/out-{len(source)}"
        subprocess.run(["skopeo", "copy", "--quiet", source, target], check=True, capture_output=True)
    rig.clear()
    assert rig.load(archive.read_bytes()) == ["Loaded image: one:1", "Loaded image: two:2"]
    assert {image.id: list(image.repo_tags) for image in rig.images()} == before
    assert failure(lambda: rig.save("one:1", "nothing")).message == "No such image: nothing"


@pytest.mark.parametrize("packer", [None, "gzip", "xz", "bzip2", "zstd"])
def test_load_of_docker_archives(rig: ImageRig, packer: str | None) -> None:
    image = make_image(BASE, TOP)
    data = docker_archive((image, ["loaded:1", "loaded:2"], [BASE, TOP]))
    if packer:
        data = subprocess.run([packer, "-c"], input=data, capture_output=True, check=True).stdout
    assert rig.load(data) == ["Loaded image: loaded:1", "Loaded image: loaded:2"]
    assert rig.image("loaded:2").id == image.id


def test_load_replaces_a_name_and_says_so(rig: ImageRig) -> None:
    old = rig.import_tar(BASE, reference="name:1")
    image = make_image(TOP)
    assert rig.load(docker_archive((image, ["name:1"], [TOP]))) == [
        f"The image name:1 already exists, renaming the old one with ID {old} to empty string",
        "Loaded image: name:1",
    ]
    assert rig.load(docker_archive((make_image(BASE), [], [BASE])))[0].startswith("Loaded image ID: sha256:")


def test_load_of_what_skopeo_and_umoci_write(rig: ImageRig, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    subprocess.run(["umoci", "init", "--layout", layout], check=True, capture_output=True)
    subprocess.run(["umoci", "new", "--image", f"{layout}:latest"], check=True, capture_output=True)
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/motd").write_text("umoci")
    subprocess.run(
        ["umoci", "insert", "--image", f"{layout}:latest", tree, "/"], check=True, capture_output=True
    )
    archive = tmp_path / "oci.tar"
    subprocess.run(
        ["skopeo", "copy", "--quiet", f"oci:{layout}:latest", f"oci-archive:{archive}:example/umoci:7"],
        check=True,
        capture_output=True,
    )
    assert rig.load(archive.read_bytes()) == ["Loaded image: example/umoci:7"]
    plain = subprocess.run(["tar", "-C", layout, "-cf", "-", "."], capture_output=True, check=True).stdout
    assert rig.load(plain)[0].startswith("Loaded image ID: sha256:")
    docker = tmp_path / "docker.tar"
    subprocess.run(
        ["skopeo", "copy", "--quiet", f"oci:{layout}:latest", f"docker-archive:{docker}:example/umoci:8"],
        check=True,
        capture_output=True,
    )
    assert rig.load(docker.read_bytes()) == ["Loaded image: example/umoci:8"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "invalid archive: neither manifest.json nor index.json: not made by save"),
        (b"rubbish" * 200, "invalid archive: invalid tar header"),
        (tar((member("x"), b"x")), "invalid archive: neither manifest.json nor index.json: not made by save"),
        (tar((member("manifest.json"), b"[{}]")), "invalid archive: None: no such file"),
        (
            tar((member("manifest.json"), b'[{"Config":"../../../etc/passwd","Layers":[]}]')),
            "invalid archive: ../../../etc/passwd: no such file",
        ),
        (
            tar(member("manifest.json", tarfile.SYMTYPE, linkname="/etc/passwd")),
            "invalid archive: neither manifest.json nor index.json: not made by save",
        ),
        (b"\x1f\x8b" + b"x" * 50, None),
    ],
)
def test_load_of_rubbish(rig: ImageRig, data: bytes, message: str | None) -> None:
    error = failure(lambda: rig.load(data))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert message is None or error.message == message


def test_load_of_an_archive_whose_layers_are_others(rig: ImageRig) -> None:
    image = make_image(BASE)
    data = docker_archive((image, ["x:1"], [TOP]))
    assert "invalid diffID" in failure(lambda: rig.load(data)).message
    assert rig.images(all=True) == []


def test_snapshot_commit_diff_export(rig: ImageRig) -> None:
    base = rig.import_tar(BASE, reference="base")
    snapshot = rig.prepare("c1", "base")
    assert rig.prepare("c1", "base") == snapshot
    other = rig.import_tar(TOP, reference="other")
    assert failure(lambda: rig.prepare("c1", "other")).code is grpc.StatusCode.ALREADY_EXISTS
    upper = Path(snapshot.mount.upper_directory)
    (upper / "etc").mkdir()
    os.mknod(upper / "etc/passwd", 0o020000, 0)
    (upper / "new").write_text("12345")
    changed = rig.stub.ListSnapshotChanges(pb.ListSnapshotChangesRequest(key="c1")).changes
    kinds = {pb.CHANGE_KIND_ADDED: "A", pb.CHANGE_KIND_MODIFIED: "C", pb.CHANGE_KIND_DELETED: "D"}
    assert [(kinds[c.kind], c.path) for c in changed] == [("C", "/etc"), ("D", "/etc/passwd"), ("A", "/new")]
    exported = b"".join(r.chunk for r in rig.stub.ExportSnapshot(pb.ExportSnapshotRequest(key="c1")))
    assert tarfile.open(fileobj=io.BytesIO(exported)).getnames() == ["bin", "etc", "new", "bin/sh"]
    usage = rig.stub.GetSnapshot(pb.GetSnapshotRequest(key="c1", with_usage=True))
    assert usage.size_bytes == 5
    config = pb.ImageConfig(cmd=["sleep", "9"], env=["A=1"])
    request = pb.CommitSnapshotRequest(
        key="c1", reference="made:1", author="me", comment="why", config=config
    )
    request.changes.extend(["ENV B=2", 'ENTRYPOINT ["/x"]', "EXPOSE 80"])
    image_id = rig.stub.CommitSnapshot(request).image_id
    made = rig.image("made:1")
    assert (made.id, made.parent_id, made.author, made.comment) == (image_id, base, "me", "why")
    assert (list(made.config.env), list(made.config.entrypoint)) == (["A=1", "B=2"], ["/x"])
    assert list(made.config.exposed_ports) == ["80/tcp"]
    rows = rig.stub.GetImageHistory(pb.GetImageHistoryRequest(name="made:1")).entries
    assert [(r.id, r.created_by, r.size_bytes, r.comment) for r in rows] == [
        (image_id, "sleep 9", 5, "why"),
        (base, "", len("root:x:0:0::/:/bin/sh\n") + len("#!shell"), "Imported from -"),
    ]
    assert (upper / "new").exists()
    copy = rig.prepare("c2", "made:1")
    assert len(copy.mount.lower_directories) == 2
    assert (Path(copy.mount.lower_directories[0]) / "new").read_text() == "12345"
    assert other != base


def test_bad_changes_make_nothing(rig: ImageRig) -> None:
    rig.import_tar(BASE, reference="base")
    rig.prepare("c1", "base")
    request = pb.CommitSnapshotRequest(key="c1", reference="made:1", changes=["RUN x"])
    assert failure(lambda: rig.stub.CommitSnapshot(request)).message == "run is not a valid change command"
    bad = pb.CommitSnapshotRequest(key="c1", reference="Bad:1")
    assert "lowercase" in failure(lambda: rig.stub.CommitSnapshot(bad)).message
    assert len(rig.images(all=True)) == 1


def test_a_tree_deeper_than_a_path_can_say(rig: ImageRig) -> None:
    rig.import_tar(BASE, reference="base")
    upper = rig.prepare("deep", "base").mount.upper_directory
    descriptor = os.open(upper, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 200, dir_fd=descriptor)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    for call in (
        lambda: rig.stub.CommitSnapshot(pb.CommitSnapshotRequest(key="deep")),
        lambda: list(rig.stub.ExportSnapshot(pb.ExportSnapshotRequest(key="deep"))),
    ):
        assert failure(call).message.endswith("file name too long")
    # And it can be deleted: the fixture finds nothing left.
    rig.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key="deep"))


def test_snapshots_of_nothing(rig: ImageRig) -> None:
    assert failure(lambda: rig.prepare("k", "nothing")).reason == "NO_SUCH_IMAGE"
    assert failure(lambda: rig.prepare("../k")).code is grpc.StatusCode.INVALID_ARGUMENT
    rig.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(key="never"))
    empty = rig.prepare("empty")
    assert [os.listdir(path) for path in empty.mount.lower_directories] == [[]]


def test_a_layer_twice_in_an_image_is_stacked_once(rig: ImageRig) -> None:
    image = make_image(BASE, TOP, BASE)
    rig.load(docker_archive((image, ["twice:1"], [BASE, TOP, BASE])))
    lower = rig.prepare("k", "twice:1").mount.lower_directories
    assert len(lower) == 2
    assert (Path(lower[0]) / "etc/passwd").exists()


def test_an_opaque_root_hides_all_below(rig: ImageRig) -> None:
    top = tar(member(".wh..wh..opq"), (member("only"), b"x"))
    rig.load(docker_archive((make_image(BASE, top), ["opaque:1"], [BASE, top])))
    lower = rig.prepare("k", "opaque:1").mount.lower_directories
    assert [os.listdir(path) for path in lower] == [["only"]]


def test_names_and_ids(rig: ImageRig) -> None:
    image_id = rig.import_tar(BASE, reference="named:1")
    for name in (
        "named:1",
        "docker.io/library/named:1",
        image_id,
        image_id[7:],
        image_id[7:19],
        image_id[:20],
    ):
        assert rig.image(name).id == image_id
    for name, message in (
        ("named", "No such image: named:latest"),
        ("ffff", "No such image: ffff:latest"),
        ("sha256:" + "0" * 64, "No such image: sha256:" + "0" * 64),
        ("A", "invalid reference format: repository name must be lowercase"),
    ):
        assert failure(lambda name=name: rig.image(name)).message == message  # type: ignore[misc]
    target = pb.TagImageRequest(source="named:1", target="x@sha256:" + "0" * 64)
    assert (
        failure(lambda: rig.stub.TagImage(target)).message
        == "refusing to create a tag with a digest reference"
    )


def test_list_and_filters(rig: ImageRig) -> None:
    rig.import_tar(BASE, reference="old:1", changes=["LABEL a=b"])
    rig.import_tar(TOP, reference="new:1", changes=["LABEL a=c"])
    rig.import_tar(files(x="3"))
    newest = [list(image.repo_tags) for image in rig.images()]
    assert newest == [[], ["new:1"], ["old:1"]]
    for wanted, filters in (
        ([["old:1"]], ["label=a=b"]),
        ([["new:1"], ["old:1"]], ["label=a"]),
        ([[]], ["dangling=true"]),
        ([["new:1"], ["old:1"]], ["dangling=false"]),
        ([["old:1"]], ["before=new:1"]),
        ([[], ["new:1"]], ["since=old:1"]),
        ([["new:1"]], ["reference=n*"]),
    ):
        assert [list(image.repo_tags) for image in rig.images(filters=filters)] == wanted, filters
    assert [list(i.repo_tags) for i in rig.images(reference="old")] == [["old:1"]]
    assert failure(lambda: rig.images(filters=["colour=red"])).message == "Invalid filter 'colour'"
    assert (
        failure(lambda: rig.images(filters=["dangling=maybe"])).message == "Invalid filter 'dangling=[maybe]'"
    )


def test_disk_usage_counts_shared_layers_once(rig: ImageRig) -> None:
    rig.load(
        docker_archive((make_image(BASE), ["a:1"], [BASE]), (make_image(BASE, TOP), ["b:1"], [BASE, TOP]))
    )
    usage = rig.stub.GetImageDiskUsage(pb.GetImageDiskUsageRequest())
    sizes = {image.repo_tags[0]: (image.size_bytes, image.shared_size_bytes) for image in usage.images}
    base = sizes["a:1"][0]
    assert sizes == {"a:1": (base, base), "b:1": (base + 3, base)}
    assert usage.layers_size_bytes == base + 3
