"""The manifest an image is pushed and saved with."""

from __future__ import annotations

from trine.image import spec
from trine.image.models import Blob, Image
from trine.image.spec import Descriptor
from trine.image.store import ImageStore

# In an archive's index: the digest of the manifest as the registry had it, when that is no OCI one.
MANIFEST_ANNOTATION = "io.trine.manifest.digest"


def manifest_of(store: ImageStore, image: Image) -> tuple[str, bytes, list[Blob]]:
    """Return (media type, manifest, layer blobs): the one it came with if its blobs are here, else ours.

    So an image keeps its digest from registry to registry, which Docker's own push does not promise.
    """
    kept = store.catalog.manifest(image.manifest_digest) if image.manifest_digest else None
    if kept is not None:
        parsed = spec.parse_manifest(kept[1], kept[0])
        if isinstance(parsed, spec.Manifest):
            blobs = [store.catalog.blob(layer.digest) for layer in parsed.layers]
            present = [blob for blob in blobs if blob is not None]
            if len(present) == len(blobs):
                return kept[0], kept[1], present
    found = [store.blob_of(diff_id) for diff_id in image.diff_ids]
    descriptors = [Descriptor(_docker_type(blob), blob.digest, blob.size) for blob in found]
    config = Descriptor(spec.DOCKER_CONFIG, image.id, len(image.raw))
    return spec.DOCKER_MANIFEST, spec.make_manifest(config, descriptors), found


def as_oci(raw: bytes, media_type: str) -> bytes:
    """Return a manifest as an OCI one: image layouts may hold no other (image-layout.md)."""
    if media_type == spec.OCI_MANIFEST:
        return raw
    parsed = spec.parse_manifest(raw, media_type)
    if not isinstance(parsed, spec.Manifest):
        return raw
    config = Descriptor(spec.OCI_CONFIG, parsed.config.digest, parsed.config.size)
    layers = [
        Descriptor(_OCI_TYPES.get(layer.media_type, layer.media_type), layer.digest, layer.size).as_json()
        for layer in parsed.layers
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": spec.OCI_MANIFEST,
        "config": config.as_json(),
        "layers": layers,
    }
    return spec.dump(document)


_OCI_TYPES = {spec.DOCKER_LAYER: spec.OCI_LAYER, spec.DOCKER_LAYER_PLAIN: spec.OCI_LAYER_PLAIN}


def _docker_type(blob: Blob) -> str:
    if "gzip" in blob.media_type:
        return spec.DOCKER_LAYER
    return spec.OCI_LAYER_ZSTD if "zstd" in blob.media_type else spec.DOCKER_LAYER_PLAIN
