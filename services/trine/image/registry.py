"""A client of the OCI distribution specification (v1.1; Docker Registry HTTP API V2), on http.client.

One ``Registry`` is one endpoint for one repository within one operation; each thread that talks to it
takes a ``Connection``.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import ssl
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trine.image import spec
from trine.image.session import ATTEMPTS, Requests, Session
from trine.image.spec import Descriptor
from trine.image.transport import RegistryError, UnreachableError, explain, target_of
from trine.kit.errors import DataLossError, InvalidArgumentError, UnavailableError

_CHUNK = 512 * 1024

__all__ = ["Connection", "Registry", "RegistryError", "UnreachableError"]


class Registry(Session):
    """One endpoint for one repository."""

    def connect(self) -> Connection:
        """Return a connection for one thread; close it."""
        return Connection(self)


class Connection(Requests):
    """What the specification lets a client do, for one thread."""

    # --- reads ---------------------------------------------------------------------------------
    def manifest(self, what: str) -> tuple[bytes, str, str]:
        """Return (bytes, content type, digest) of a tag or digest. Raises DataLossError for a liar."""
        path = f"/v2/{self.registry.repository}/manifests/{what}"
        with self.request("GET", path, headers={"Accept": ", ".join(spec.ACCEPT)}) as response:
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length) > spec.MANIFEST_LIMIT:
                raise InvalidArgumentError(
                    f"manifest of {int(length)} bytes is larger than {spec.MANIFEST_LIMIT}"
                )
            raw = self._read_limited(response, spec.MANIFEST_LIMIT)
            content_type = response.headers.get("Content-Type", "")
            promised = response.headers.get("Docker-Content-Digest", "")
        digest = spec.sha256(raw)
        if what.startswith("sha256:") and digest != what:
            raise DataLossError(f"manifest verification failed for digest {what}")
        if promised.startswith("sha256:") and promised != digest and not what.startswith("sha256:"):
            raise DataLossError(f"manifest verification failed for digest {promised[:80]}")
        return raw, content_type, digest

    @staticmethod
    def _read_limited(response: http.client.HTTPResponse, limit: int) -> bytes:
        try:
            raw = response.read(limit + 1)
        except (OSError, http.client.HTTPException):
            raise UnreachableError("unexpected EOF while reading from the registry") from None
        if len(raw) > limit:
            raise InvalidArgumentError(f"manifest is larger than {limit} bytes")
        return raw

    def small_blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """Return a verified small blob (a config). Raises DataLossError."""
        path = f"/v2/{self.registry.repository}/blobs/{descriptor.digest}"
        with self.request("GET", path) as response:
            raw = self._read_limited(response, min(limit, descriptor.size))
        if len(raw) != descriptor.size or spec.sha256(raw) != descriptor.digest:
            raise DataLossError(f"image config verification failed for digest {descriptor.digest}")
        return raw

    def download(self, descriptor: Descriptor, target: Path, progress: Callable[[int], None]) -> None:
        """Write a blob to a new file, verified in digest and size, going on where a connection broke.

        Raises DataLossError when it is not what the manifest says, OSError when it cannot be written.
        """
        operation = self.registry.operation
        path = f"/v2/{self.registry.repository}/blobs/{descriptor.digest}"
        digest = hashlib.sha256()
        done = 0
        failures = 0
        descriptor_file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while True:
                before = done
                headers = {"Range": f"bytes={done}-"} if done else {}
                try:
                    with self.request("GET", path, headers=headers, expected=(200, 206)) as response:
                        if done and response.status == 200:
                            digest, done = hashlib.sha256(), 0  # it cannot resume: from the start
                            os.ftruncate(descriptor_file, 0)
                            os.lseek(descriptor_file, 0, os.SEEK_SET)
                        length = response.headers.get("Content-Length", "")
                        if length.isdigit() and int(length) != descriptor.size - done:
                            raise DataLossError(_wrong_size(descriptor))
                        for chunk in self._chunks(response):
                            done += len(chunk)
                            if done > descriptor.size:
                                break
                            digest.update(chunk)
                            _write(descriptor_file, chunk)
                            progress(done)
                    if done >= descriptor.size:
                        break
                    raise http.client.IncompleteRead(b"")
                except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                    self.close()
                    operation.check()
                    failures = failures + 1 if done == before else 1
                    if failures >= ATTEMPTS:
                        raise explain("GET", self.registry.url + path, error) from None
                    operation.sleep(0.1 * 2**failures)
        finally:
            os.close(descriptor_file)
        if done != descriptor.size:
            raise DataLossError(_wrong_size(descriptor))
        if "sha256:" + digest.hexdigest() != descriptor.digest:
            raise DataLossError(f"filesystem layer verification failed for digest {descriptor.digest}")

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        while True:
            self.registry.operation.check()
            chunk = response.read1(_CHUNK)
            if not chunk:
                return
            yield chunk

    def pages(self, path: str, key: str, limit: int = 100) -> Iterator[list[str]]:
        """Yield the lists of texts of a paginated answer (tags/list, _catalog)."""
        for _ in range(limit):
            with self.request("GET", path) as response:
                raw = self._read_limited(response, spec.MANIFEST_LIMIT)
                link = response.headers.get("Link", "")
            try:
                items = json.loads(raw).get(key) or []
            except (ValueError, AttributeError):
                raise UnavailableError(
                    f'Get "{self.registry.url}{path}": not the answer of a registry'
                ) from None
            yield [item for item in items if isinstance(item, str)]
            match = re.search(r'<([^>]+)>;\s*rel="?next"?', link)
            if match is None:
                return
            following = urllib.parse.urlsplit(urllib.parse.urljoin(self.registry.url + path, match[1]))
            path = target_of(following)

    # --- writes --------------------------------------------------------------------------------
    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        path = f"/v2/{self.registry.repository}/blobs/{digest}"
        with self.request("HEAD", path, expected=(200, 404)) as response:
            response.read()
            return response.status == 200

    def start_upload(self, mount: str = "", source: str = "") -> str:
        """Start an upload; return its URL, or "" when the blob could be mounted from ``source``."""
        path = f"/v2/{self.registry.repository}/blobs/uploads/"
        scopes: tuple[str, ...] = ()
        if mount:
            path += "?" + urllib.parse.urlencode({"mount": mount, "from": source})
            scopes = (f"repository:{source}:pull",)
        with self.request("POST", path, body=b"", expected=(201, 202), extra_scopes=scopes) as response:
            response.read()
            if response.status == 201:
                return ""
            location = response.headers.get("Location", "")
        if not location:
            raise UnavailableError("the registry gave no place to upload to")
        return urllib.parse.urljoin(self.registry.url + path, location)

    def upload(self, location: str, digest: str, size: int, body: Callable[[], Any]) -> None:
        """Send a whole blob to an upload (distribution-spec, "POST then PUT")."""
        parts = urllib.parse.urlsplit(location)
        query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        full = urllib.parse.urlunsplit(
            parts._replace(query=urllib.parse.urlencode([*query, ("digest", digest)]))
        )
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self.request(
            "PUT", full, headers=headers, body=body, expected=(201, 204), attempts=1
        ) as response:
            response.read()

    def put_manifest(self, tag: str, media_type: str, raw: bytes) -> None:
        """Store a manifest under a tag."""
        path = f"/v2/{self.registry.repository}/manifests/{tag}"
        with self.request(
            "PUT", path, headers={"Content-Type": media_type}, body=raw, expected=(201, 200)
        ) as response:
            response.read()
            promised = response.headers.get("Docker-Content-Digest", "")
        if promised.startswith("sha256:") and promised != spec.sha256(raw):
            raise DataLossError(f"the registry stored the manifest as {promised[:80]}, not as it was sent")


def _wrong_size(descriptor: Descriptor) -> str:
    return (
        f"filesystem layer verification failed for digest {descriptor.digest}: size is not {descriptor.size}"
    )


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
