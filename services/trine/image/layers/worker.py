"""The lean worker: a process of its own for what is heavy or touches hostile bytes.

Started as ``python -I -S worker.py SERVICES_DIR SITE_PACKAGES`` with requests as JSON lines on
stdin and answers as JSON lines on stdout; no grpc, no threads but its own. Killed when the request
it works for is cancelled: it writes only to temporary paths the service gives it.

Requests: {"op": "unpack", source, offset, length, growing, kind, target, limit, blob},
{"op": "pack", upper, lower, blob, prune, mount_points}, {"op": "export", directories, fd-less: to "output"}.
Answers: {"progress": n} while it goes, then {"ok": {...}} or {"error": text, "space": bool}.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:3]
    sys.dont_write_bytecode = True

from trine.image.layers import compression, pack, unpack
from trine.image.layers.stream import Stream
from trine.image.layers.tarformat import TarError, show

_TELL_EVERY = 0.1
_LOOK_EVERY_MS = 4  # at a file that grows
_MAGIC = 8  # octets that tell the compression
_SERVICE = select.poll()
_SERVICE.register(0, 0)  # of requests nothing is told, of the end (POLLHUP) always


class _BlobWriter:
    """Writes a gzip file and knows its digest and size."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._compressor = compression.gzip_compressor()
        self._plain = hashlib.sha256()
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self.size = 0
        self.plain_size = 0

    def write(self, data: bytes) -> None:
        """Add plain bytes; small pieces are gathered, so that a header costs little."""
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= 256 * 1024:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._pending, self._pending_size = [], 0
        self._plain.update(data)
        self.plain_size += len(data)
        self._out(self._compressor.compress(data))

    def _out(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Write the rest."""
        self._flush()
        self._out(self._compressor.flush())
        os.close(self._descriptor)

    @property
    def facts(self) -> dict[str, Any]:
        """Digests and sizes."""
        return {
            "blob_digest": "sha256:" + self._hash.hexdigest(),
            "blob_size": self.size,
            "diff_id": "sha256:" + self._plain.hexdigest(),
            "tar_size": self.plain_size,
        }


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _reader(descriptor: int, length: int, growing: bool) -> Callable[[int], bytes]:
    """Return a read function over at most ``length`` bytes (-1: to the end) that tells progress.

    A ``growing`` file is being downloaded: what is missing of ``length`` is waited for. If nothing more
    comes, whoever downloads kills this process.
    """
    done = 0
    told = time.monotonic()

    def read(count: int) -> bytes:
        nonlocal done, told
        wanted = count if length < 0 else min(count, length - done)
        data = os.read(descriptor, wanted)
        while growing and wanted and not data:
            _wait_for_more()
            data = os.read(descriptor, wanted)
        done += len(data)
        now = time.monotonic()
        if now - told > _TELL_EVERY:
            told = now
            _say({"progress": done})
        return data

    return read


def _wait_for_more() -> None:
    """Wait a little for a download; end with the service, which may be killed without a word.

    Its end of our standard input goes with it, also when that was before we looked for the first time
    (our parent's number would be the next one's already).
    """
    if _SERVICE.poll(_LOOK_EVERY_MS):
        sys.exit(1)


def _unpack(request: dict[str, Any]) -> dict[str, Any]:
    blob = _BlobWriter(request["blob"]) if request.get("blob") else None
    descriptor = os.open(request["source"], os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.lseek(descriptor, request.get("offset", 0), os.SEEK_SET)
        growing, length = request.get("growing", False), request.get("length", -1)
        while growing and os.fstat(descriptor).st_size < min(_MAGIC, length):
            _wait_for_more()
        kind = request.get("kind") or compression.detect(
            os.pread(descriptor, _MAGIC, request.get("offset", 0))
        )
        chunks: Iterator[bytes] = compression.decompress(_reader(descriptor, length, growing), kind)
        stream = Stream(chunks, request.get("limit", 0), blob.write if blob else None)
        job = unpack.Unpacker(request["target"])
        job.run(stream)
    finally:
        os.close(descriptor)
    answer = {
        "diff_id": stream.digest,
        "size": job.size,
        "tar_size": stream.length,
        "opaque_root": job.opaque_root,
        "kind": kind,
    }
    if blob:
        blob.close()
        answer |= blob.facts
    return answer


def _pack(request: dict[str, Any]) -> dict[str, Any]:
    blob = _BlobWriter(request["blob"])
    upper = request["upper"]
    size, skipped = pack.pack_upper(
        upper, request["lower"], blob.write, with_mount_points=request.get("mount_points", False)
    )
    blob.close()
    if request.get("prune"):
        for path in sorted(skipped, key=len, reverse=True):
            _remove(f"{upper}/{path}")
    return {"size": size, **blob.facts}


def _remove(path: str) -> None:
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _export(request: dict[str, Any]) -> dict[str, Any]:
    with open(request["output"], "wb", buffering=1024 * 1024) as output:
        pack.pack_merged(request["directories"], output.write)
    return {}


_OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "unpack": _unpack,
    "pack": _pack,
    "export": _export,
}


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import errno

    try:
        return {"ok": _OPERATIONS[request["op"]](request)}
    except TarError as error:
        return {"error": str(error)}
    except BrokenPipeError:
        return {"error": "the reader went away"}
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        text = str(error.strerror or error)
        if full and "no space left" not in text.lower():
            text = "no space left on device"
        name = f"{show(os.fsencode(error.filename))}: " if error.filename and not full else ""
        return {"error": f"{name}{text[:1].lower()}{text[1:]}", "space": full}
    except MemoryError:
        return {"error": "out of memory"}


def main() -> None:
    """Serve requests until stdin ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        _say(_answer(json.loads(line)))


if __name__ == "__main__":
    main()
