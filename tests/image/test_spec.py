from __future__ import annotations

import json
from typing import Any

import pytest

from image.rig import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, make_image
from trine.image import spec
from trine.kit.errors import EngineError, InvalidArgumentError, NotFoundError, UnsupportedError

DIGEST = "sha256:" + "a" * 64


def manifest(**changes: Any) -> bytes:
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": DIGEST, "size": 10},
        "layers": [{"mediaType": LAYER_TYPE, "digest": DIGEST, "size": 10}],
    }
    document.update(changes)
    return json.dumps({k: v for k, v in document.items() if v is not None}).encode()


def layer(**changes: Any) -> list[dict[str, Any]]:
    return [{"mediaType": LAYER_TYPE, "digest": DIGEST, "size": 10, **changes}]


def test_a_good_manifest() -> None:
    found = spec.parse_manifest(manifest(), MANIFEST_TYPE)
    assert isinstance(found, spec.Manifest)
    assert (found.config.digest, len(found.layers)) == (DIGEST, 1)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"{", ""),
        (b"[" * 100_000, ""),
        (manifest(manifests=[]), ""),
        (manifest(schemaVersion=3), ""),
        (manifest(mediaType="text/html"), ""),
        (manifest(), spec.OCI_MANIFEST),  # says one thing, was sent as another
        (manifest(), spec.DOCKER_LIST),
        (manifest(config=None), ""),
        (manifest(layers=None), ""),
        (manifest(layers={}), ""),
        (manifest(layers=layer(digest="sha256:../../etc/passwd")), ""),
        (manifest(layers=layer(digest="md5:" + "a" * 32)), ""),
        (manifest(layers=layer(size=-1)), ""),
        (manifest(layers=layer(size=True)), ""),
        (manifest(layers=layer(size="10")), ""),
        (manifest(layers=layer(mediaType="application/x-rpm")), ""),
        (manifest(layers=layer() * 128), ""),
        (manifest(config={"mediaType": CONFIG_TYPE, "digest": DIGEST, "size": 1 << 30}), ""),
        (b'{"schemaVersion":2,"schemaVersion":2,"config":{},"layers":[]}', ""),
        (b" " * (spec.MANIFEST_LIMIT + 1), ""),
    ],
)
def test_bad_manifests_are_refused(raw: bytes, kind: str) -> None:
    with pytest.raises(InvalidArgumentError):
        spec.parse_manifest(raw, kind)


def test_schema_1_and_artifacts_are_named() -> None:
    with pytest.raises(UnsupportedError, match="schema 1"):
        spec.parse_manifest(b'{"schemaVersion":1,"fsLayers":[]}')
    with pytest.raises(UnsupportedError, match="not the config of a container image"):
        spec.parse_manifest(
            manifest(
                config={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": DIGEST, "size": 2}
            )
        )


def index(*platforms: str) -> spec.Index:
    entries = []
    for i, platform in enumerate(platforms):
        system, architecture, variant = [*platform.split("/"), ""][:3]
        entries.append(spec.Descriptor(MANIFEST_TYPE, f"sha256:{i:064x}", 1, system, architecture, variant))
    return spec.Index(spec.DOCKER_LIST, tuple(entries))


@pytest.mark.parametrize(
    ("platforms", "wanted", "chosen"),
    [
        (["linux/arm64/v8", "linux/amd64"], "linux/amd64", 1),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", 1),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm", 1),
        (["windows/amd64", "linux/amd64"], "amd64", 1),
        (["linux/arm64/v8"], "linux/arm64", 0),
        (["linux/arm64"], "linux/arm64/v8", 0),
    ],
)
def test_platform_selection(platforms: list[str], wanted: str, chosen: int) -> None:
    found = spec.select(index(*platforms), spec.parse_platform(wanted), "x")
    assert found.digest == f"sha256:{chosen:064x}"


@pytest.mark.parametrize("text", ["windows/amd64", "darwin", "plan9/amd64"])
def test_another_system_is_refused(text: str) -> None:
    system = text.partition("/")[0]
    with pytest.raises(InvalidArgumentError, match=f'operating system "{system}" is not supported'):
        spec.parse_platform(text)


def test_no_platform_fits() -> None:
    with pytest.raises(NotFoundError) as caught:
        spec.select(index("linux/arm64/v8", "unknown/unknown"), spec.parse_platform("linux/amd64"), "x")
    assert caught.value.message == "no matching manifest for linux/amd64 in the manifest list entries"


@pytest.mark.parametrize(
    "change",
    [
        {"rootfs": None},
        {"rootfs": {"type": "layers", "diff_ids": ["x"]}},
        {"rootfs": {"type": "other", "diff_ids": []}},
        {"os": "windows"},
        {"config": []},
        {"config": {"Env": "PATH=/"}},
        {"config": {"Env": [1]}},
        {"config": {"Labels": {"a": 1}}},
        {"config": {"User": "a\0b"}},
        {"config": {"Volumes": ["/x"]}},
        {"history": {}},
        {"history": [1]},
    ],
)
def test_bad_configs_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EngineError):
        spec.parse_config(make_image(config=change).config)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("2024-05-01T10:00:00.123456789Z", 1714557600_123456789),
        ("0001-01-01T00:00:00Z", 0),
        ("yesterday", 0),
        (None, 0),
    ],
)
def test_times(text: str | None, nanos: int) -> None:
    assert spec.parse_time(text) == nanos


def test_times_written_are_read_back() -> None:
    for nanos in (1, 10**9, 1714557600_120000000):
        assert spec.parse_time(spec.format_time(nanos)) == nanos


def test_chain_ids() -> None:
    # The example values follow from the definition in image-spec config.md.
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    chains = spec.chain_ids([one, two])
    assert chains == [one, spec.sha256(f"{one} {two}".encode())]


def test_empty_diff_id_is_that_of_an_empty_tar() -> None:
    assert spec.sha256(bytes(1024)) == spec.EMPTY_DIFF_ID
