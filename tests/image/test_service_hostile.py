"""Registries that lie, stall, break off and ask for what they should not have; layers that attack."""

from __future__ import annotations

import base64
import json
import os
import tarfile
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from image.rig import (
    Answer,
    FakeRegistry,
    ImageRig,
    MadeImage,
    Request,
    failure,
    files,
    make_image,
    member,
    sha256,
    statuses,
    tar,
    wait_until,
)
from trine.v1 import image_pb2 as pb

LAYER = files(etc__motd="hello")
IMAGE = make_image(LAYER)
BLOB = json.loads(IMAGE.manifest)["layers"][0]["digest"]


def refuse(rig: ImageRig, fake: FakeRegistry, code: str, part: str) -> None:
    """A pull of x fails with that, and nothing at all is left."""
    error = failure(lambda: rig.pull(f"{fake.host}/x"))
    assert (error.code.name, part in error.message) == (code, True), error.message
    assert rig.images(all=True) == []
    rig.assert_clean()


def test_a_layer_with_another_digest(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    fake.routes[f"/v2/x/blobs/{BLOB}"] = Answer(IMAGE.blobs[BLOB][:-1] + b"!")
    refuse(rig, fake, "DATA_LOSS", f"filesystem layer verification failed for digest {BLOB}")


@pytest.mark.parametrize("body", [b"", b"short", IMAGE.blobs[BLOB] + b"more"])
def test_a_layer_of_another_size(rig: ImageRig, fake: FakeRegistry, body: bytes) -> None:
    fake.serve("x", "latest", IMAGE)
    fake.routes[f"/v2/x/blobs/{BLOB}"] = Answer(body)
    refuse(rig, fake, "DATA_LOSS", "size is not")


def test_a_config_with_another_digest(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    fake.routes[f"/v2/x/blobs/{IMAGE.id}"] = Answer(IMAGE.config.replace(b"amd64", b"arm64"))
    refuse(rig, fake, "DATA_LOSS", "image config verification failed")


def test_a_manifest_with_another_digest(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    spoilt = Answer(IMAGE.manifest + b" ", headers={"Content-Type": IMAGE.media_type})
    fake.routes[f"/v2/x/manifests/{IMAGE.digest}"] = spoilt
    error = failure(lambda: rig.pull(f"{fake.host}/x@{IMAGE.digest}"))
    assert error.message == f"manifest verification failed for digest {IMAGE.digest}"
    spoilt.headers["Docker-Content-Digest"] = IMAGE.digest
    fake.routes["/v2/x/manifests/latest"] = spoilt
    refuse(rig, fake, "DATA_LOSS", "manifest verification failed")


def test_a_huge_manifest_is_not_read(rig: ImageRig, fake: FakeRegistry) -> None:
    huge = Answer(b" " * (40 << 20), headers={"Content-Type": IMAGE.media_type})
    fake.routes["/v2/x/manifests/latest"] = huge
    refuse(rig, fake, "INVALID_ARGUMENT", "manifest")


def both(manifest: dict[str, Any]) -> None:
    manifest["manifests"] = []


def wrong_size(manifest: dict[str, Any]) -> None:
    manifest["layers"][0]["size"] += 1


def wrong_config_size(manifest: dict[str, Any]) -> None:
    manifest["config"]["size"] += 1


def no_layers(manifest: dict[str, Any]) -> None:
    manifest["layers"] = []


def schema_1(manifest: dict[str, Any]) -> None:
    manifest["schemaVersion"] = 1


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        (both, "INVALID_ARGUMENT", "both layers and manifests"),
        (wrong_size, "DATA_LOSS", "size is not"),
        (wrong_config_size, "DATA_LOSS", "image config verification failed"),
        (no_layers, "INVALID_ARGUMENT", "number of layers and diffIDs don't match: 0 != 1"),
        (schema_1, "UNIMPLEMENTED", "schema 1"),
    ],
)
def test_manifests_that_lie(
    rig: ImageRig, fake: FakeRegistry, change: Callable[[dict[str, Any]], None], code: str, part: str
) -> None:
    fake.serve("x", "latest", make_image(LAYER, change=change))
    refuse(rig, fake, code, part)


def test_a_media_type_that_is_not_the_content(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    fake.routes["/v2/x/manifests/latest"] = Answer(
        IMAGE.manifest, headers={"Content-Type": "application/vnd.oci.image.index.v1+json"}
    )
    refuse(rig, fake, "INVALID_ARGUMENT", "was sent as")


def test_a_web_page_instead_of_a_registry(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.routes["/v2/x/manifests/latest"] = Answer(b"<html>\n", headers={"Content-Type": "text/html"})
    refuse(rig, fake, "INVALID_ARGUMENT", "not valid JSON")


def test_a_wrong_diff_id(rig: ImageRig, fake: FakeRegistry) -> None:
    other = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "5" * 64]}}
    fake.serve("x", "latest", make_image(LAYER, config=other))
    refuse(rig, fake, "DATA_LOSS", "layers from manifest don't match image configuration")


def test_a_gzip_bomb(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", make_image(tar((member("zeros"), bytes(180 << 20)))))
    refuse(rig, fake, "INVALID_ARGUMENT", "failed to register layer: layer is larger than")


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ([(member("../../evil"), b"x")], "'..' leads out of the layer"),
        (
            [member("l", tarfile.SYMTYPE, linkname="../.."), (member("l/evil"), b"x")],
            "leads out of the layer",
        ),
        ([member("w", tarfile.CHRTYPE)], "is a whiteout"),
        ([member("h", tarfile.LNKTYPE, linkname="/etc/passwd")], "invalid hardlink"),
        ([(member("a\nb/../.."), b"x")], "a\\nb"),
    ],
)
def test_hostile_layers(rig: ImageRig, fake: FakeRegistry, members: Any, part: str) -> None:
    fake.serve("x", "latest", make_image(LAYER, tar(*members)))
    refuse(rig, fake, "INVALID_ARGUMENT", part)


def test_a_layer_that_is_no_tar(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", make_image(b"rubbish" * 1000))
    refuse(rig, fake, "INVALID_ARGUMENT", "failed to register layer: invalid tar header")


def test_error_texts_of_a_registry_stay_on_their_line(rig: ImageRig, fake: FakeRegistry) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no\n\x1b[31mway"}]}).encode()
    fake.routes["/v2/x/manifests/latest"] = Answer(body, 403)
    refuse(
        rig, fake, "PERMISSION_DENIED", "repository does not exist or may require 'trine login': denied: no"
    )


# --- connections that break ------------------------------------------------------------------------
def test_a_download_goes_on_where_it_broke(rig: ImageRig, fake: FakeRegistry) -> None:
    image = make_image(tar((member("data"), bytes(range(256)) * 4000)))
    blob = json.loads(image.manifest)["layers"][0]["digest"]
    data = image.blobs[blob]
    seen: list[str] = []

    def serve(request: Request) -> Answer:
        asked = request.headers.get("Range", "")
        seen.append(asked)
        if not asked:
            return Answer(data, cut=len(data) // 2)
        return Answer(data[int(asked[6:-1]) :], 206)

    fake.serve("x", "latest", image)
    fake.routes[f"/v2/x/blobs/{blob}"] = serve
    assert rig.pull(f"{fake.host}/x")[-1].result.image_id == image.id
    assert seen == ["", f"bytes={len(data) // 2}-"]


def test_server_errors_are_tried_again(rig: ImageRig, fake: FakeRegistry) -> None:
    answers = iter([Answer(status=503), Answer(status=429)])
    found = Answer(IMAGE.manifest, headers={"Content-Type": IMAGE.media_type})
    fake.serve("x", "latest", IMAGE)
    fake.routes["/v2/x/manifests/latest"] = lambda _: next(answers, found)
    assert rig.pull(f"{fake.host}/x")[-1].result.image_id == IMAGE.id


def test_a_broken_upload_begins_anew(rig: ImageRig, fake: FakeRegistry) -> None:
    broken: list[str] = []

    def put(request: Request) -> Answer:
        place = request.path.partition("?")[0]
        if not broken:
            broken.append(place)
            return Answer(status=503)
        return Answer(status=201 if place != broken[0] else 404)

    places = iter(range(100))

    def start(_: Request) -> Answer:
        path = f"/v2/x/blobs/uploads/{next(places)}"
        fake.routes[path] = put
        return Answer(status=202, headers={"Location": path})

    fake.routes["/v2/x/blobs/uploads/"] = start
    fake.routes["/v2/x/manifests/1"] = Answer(status=201)
    rig.import_tar(LAYER, reference=f"{fake.host}/x:1")
    said = statuses(rig.stub.PushImage(pb.PushImageRequest(name=f"{fake.host}/x:1")))
    assert broken
    assert [s for s in said if s != "Pushing"] == ["Preparing", "Retrying in 1 second", "Pushed"]
    fake.routes["/v2/x/blobs/uploads/"] = Answer(status=403)
    error = failure(lambda: list(rig.stub.PushImage(pb.PushImageRequest(name=f"{fake.host}/x:1"))))
    assert error.code.name == "PERMISSION_DENIED", "what will not work later is not tried again"


def test_a_redirect_loop_ends(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    path = f"/v2/x/blobs/{BLOB}"
    fake.routes[path] = Answer(status=307, headers={"Location": f"http://{fake.host}{path}"})
    refuse(rig, fake, "UNAVAILABLE", "stopped after 5 redirects")
    fake.routes[path] = Answer(status=307, headers={"Location": "file:///etc/passwd"})
    refuse(rig, fake, "UNAVAILABLE", "malformed HTTP response")


def test_a_client_that_goes_away_stops_the_pull(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    fake.routes[f"/v2/x/blobs/{BLOB}"] = Answer(IMAGE.blobs[BLOB], stall=10)
    call = rig.stub.PullImage(pb.PullImageRequest(name=f"{fake.host}/x"))
    reader = threading.Thread(target=lambda: failure(lambda: list(call)))
    reader.start()
    assert fake.stalled.wait(10)
    call.cancel()
    reader.join(10)
    rig.assert_clean()
    assert rig.images(all=True) == []


def test_a_deadline_ends_a_pull(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    fake.routes[f"/v2/x/blobs/{BLOB}"] = Answer(IMAGE.blobs[BLOB], stall=10)
    with pytest.raises(grpc.RpcError) as caught:
        list(rig.stub.PullImage(pb.PullImageRequest(name=f"{fake.host}/x"), timeout=1))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    rig.assert_clean()


def test_a_layer_is_unpacked_while_it_comes_and_taken_away_when_it_stops(
    rig: ImageRig, fake: FakeRegistry
) -> None:
    layer = tar(
        *((member(f"d/{n}"), os.urandom(1000)) for n in range(3000))  # random: as long when compressed
    )
    image = make_image(layer)
    blob = json.loads(image.manifest)["layers"][0]["digest"]
    fake.serve("x", "latest", image)
    fake.routes[f"/v2/x/blobs/{blob}"] = Answer(image.blobs[blob], stall=len(image.blobs[blob]) - 1000)
    call = rig.stub.PullImage(pb.PullImageRequest(name=f"{fake.host}/x"))
    reader = threading.Thread(target=lambda: failure(lambda: list(call)))
    reader.start()
    assert fake.stalled.wait(10)
    temporary = rig.root / "tmp"
    wait_until(lambda: any(temporary.glob("*/fs/d/2000")))
    call.cancel()
    reader.join(10)
    rig.assert_clean()
    fake.routes[f"/v2/x/blobs/{blob}"] = Answer(image.blobs[blob])
    assert rig.pull(f"{fake.host}/x")[-1].result.image_id == image.id


def test_two_pulls_of_one_layer_fetch_it_once(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.serve("x", "latest", IMAGE)
    data = IMAGE.blobs[BLOB]
    gate = threading.Event()

    def slow(_: Request) -> Answer:
        fake.stalled.set()
        gate.wait(10)
        return Answer(data)

    fake.routes[f"/v2/x/blobs/{BLOB}"] = slow
    results: list[list[pb.PullImageResponse]] = []
    threads = [threading.Thread(target=lambda: results.append(rig.pull(f"{fake.host}/x"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert fake.stalled.wait(10)
    wait_until(lambda: sum("manifests" in r.path for r in fake.requests) == 2)
    gate.set()
    for thread in threads:
        thread.join(20)
    assert [said[-1].result.image_id for said in results] == [IMAGE.id] * 2
    assert sum(BLOB in request.path for request in fake.requests) == 1


# --- credentials -----------------------------------------------------------------------------------
AUTH = pb.RegistryAuth(username="user", password="secret")
BASIC = "Basic " + base64.b64encode(b"user:secret").decode()


def locked(answer: Answer, challenge: str, needed: str) -> Callable[[Request], Answer]:
    def serve(request: Request) -> Answer:
        if request.headers.get("Authorization") == needed:
            return answer
        return Answer(status=401, headers={"WWW-Authenticate": challenge})

    return serve


def protect(fake: FakeRegistry, image: MadeImage, challenge: str, needed: str) -> None:
    fake.serve("x", "latest", image)
    for path, answer in list(fake.routes.items()):
        assert isinstance(answer, Answer)
        fake.routes[path] = locked(answer, challenge, needed)


def test_basic_credentials(rig: ImageRig, fake: FakeRegistry) -> None:
    protect(fake, IMAGE, 'Basic realm="x"', BASIC)
    error = failure(lambda: rig.pull(f"{fake.host}/x"))
    assert error.message == f'Get "http://{fake.host}/v2/": no basic auth credentials'
    assert rig.pull(f"{fake.host}/x", auth=AUTH)[-1].result.image_id == IMAGE.id


def test_a_token_of_the_registry_itself(rig: ImageRig, fake: FakeRegistry) -> None:
    challenge = f'Bearer realm="http://{fake.host}/token",service="s",scope="repository:x:pull"'
    protect(fake, IMAGE, challenge, "Bearer t0ken")
    fake.routes["/token"] = Answer(b'{"token":"t0ken"}')
    assert rig.pull(f"{fake.host}/x", auth=AUTH)[-1].result.image_id == IMAGE.id
    (asked,) = [request for request in fake.requests if request.path.startswith("/token")]
    assert asked.headers["Authorization"] == BASIC
    assert "scope=repository%3Ax%3Apull" in asked.path and "secret" not in asked.path


def test_a_password_never_goes_to_an_http_token_server_elsewhere(rig: ImageRig, fake: FakeRegistry) -> None:
    thief = FakeRegistry()
    try:
        thief.routes["/token"] = Answer(b'{"token":"t0ken"}')
        protect(fake, IMAGE, f'Bearer realm="http://{thief.host}/token",service="s"', "Bearer t0ken")
        error = failure(lambda: rig.pull(f"{fake.host}/x", auth=AUTH))
        assert "refusing to send credentials to http://" in error.message
        assert thief.requests == []
        check = pb.CheckCredentialsRequest(
            auth=pb.RegistryAuth(server_address=fake.host, username="user", password="secret")
        )
        fake.routes["/v2/"] = locked(
            Answer(b"{}"), f'Bearer realm="http://{thief.host}/token"', "Bearer t0ken"
        )
        assert "refusing to send" in failure(lambda: rig.stub.CheckCredentials(check)).message
        assert thief.requests == []
    finally:
        thief.close()


def test_a_redirect_does_not_take_the_password_along(rig: ImageRig, fake: FakeRegistry) -> None:
    storage = FakeRegistry()
    try:
        storage.routes["/blob"] = Answer(IMAGE.blobs[BLOB])
        protect(fake, IMAGE, 'Basic realm="x"', BASIC)
        moved = Answer(status=307, headers={"Location": f"http://{storage.host}/blob"})
        fake.routes[f"/v2/x/blobs/{BLOB}"] = locked(moved, 'Basic realm="x"', BASIC)
        assert rig.pull(f"{fake.host}/x", auth=AUTH)[-1].result.image_id == IMAGE.id
        assert [request.headers.get("Authorization") for request in storage.requests] == [None]
    finally:
        storage.close()


def test_login(rig: ImageRig, fake: FakeRegistry) -> None:
    fake.routes["/v2/"] = locked(Answer(b"{}"), 'Basic realm="x"', BASIC)
    auth = pb.RegistryAuth(server_address=f"http://{fake.host}", username="user", password="secret")
    assert rig.stub.CheckCredentials(pb.CheckCredentialsRequest(auth=auth)).status == "Login Succeeded"
    auth.password = "wrong"
    error = failure(lambda: rig.stub.CheckCredentials(pb.CheckCredentialsRequest(auth=auth)))
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert error.message == f'Get "http://{fake.host}/v2/": unauthorized: incorrect username or password'
    assert "secret" not in (rig.directory / "log").read_text()


def test_an_index_search(rig: ImageRig, fake: FakeRegistry) -> None:
    results = [
        {"name": "a", "description": "line\nbreak", "star_count": 3, "is_official": True},
        {"name": "b", "description": "", "star_count": 9, "is_automated": True},
        {"name": 5},
    ]
    fake.routes["/v1/search"] = Answer(json.dumps({"results": results}).encode())
    found = rig.stub.SearchImages(pb.SearchImagesRequest(term=f"{fake.host}/x", filters=["stars=2"])).results
    assert [(r.name, r.description, r.stars) for r in found] == [
        (f"{fake.host}/b", "", 9),
        (f"{fake.host}/a", "line break", 3),
    ]


def test_a_zstd_layer(rig: ImageRig, fake: FakeRegistry) -> None:
    import subprocess

    packed = subprocess.run(["zstd", "-c"], input=LAYER, capture_output=True, check=True).stdout

    def change(manifest: dict[str, Any]) -> None:
        manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
        kind = "application/vnd.oci.image.layer.v1.tar+zstd"
        manifest["layers"] = [{"mediaType": kind, "digest": sha256(packed), "size": len(packed)}]

    image = make_image(LAYER, change=change)
    image.media_type = "application/vnd.oci.image.manifest.v1+json"
    image.blobs[sha256(packed)] = packed
    fake.serve("x", "latest", image)
    assert "Pull complete" in statuses(rig.pull(f"{fake.host}/x"))
