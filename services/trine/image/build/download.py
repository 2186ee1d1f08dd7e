"""ADD of a URL: fetches it into an unnamed temporary file."""

from __future__ import annotations

import email.message
import email.utils
import http.client
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from trine.image.build.gotext import quote
from trine.image.build.streams import Part, Reader, unnamed_file
from trine.image.operation import Operation
from trine.kit.errors import ConflictError

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60.0


@dataclass
class Download:
    """What came."""

    content: BinaryIO
    name: str  # "" when neither URL nor server say one
    size: int
    modified_ns: int  # Last-Modified, else 0

    def open(self) -> Reader:
        """Open it from its start."""
        return Part(self.content, 0, self.size)


def is_url(text: str) -> bool:
    """Tell whether a source is a URL rather than a path."""
    return text.startswith(("http://", "https://"))


def fetch(url: str, directory: Path, operation: Operation) -> Download:
    """Fetch a URL. Raises ConflictError with Docker's words, CancelledError, OSError (no space)."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "trine", "Accept-Encoding": "identity"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            return _receive(url, answer, directory, operation)
    except urllib.error.HTTPError as error:
        error.close()
        raise ConflictError(f"failed to GET {url} with status {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise ConflictError(_refused(url, error.reason)) from None
    except (http.client.HTTPException, ValueError, TimeoutError, ConnectionError) as error:
        raise ConflictError(_refused(url, error)) from None


def _receive(url: str, answer: http.client.HTTPResponse, directory: Path, operation: Operation) -> Download:
    file = unnamed_file(directory)
    try:
        size = 0
        expected = answer.headers.get("Content-Length")
        while chunk := answer.read(_CHUNK):
            operation.check()
            file.write(chunk)
            size += len(chunk)
        file.flush()
        if expected is not None and expected.isdigit() and int(expected) != size:
            raise ConflictError(f"Get {quote(url)}: unexpected EOF")
    except BaseException:
        file.close()
        raise
    return Download(file, _name(url, answer.headers), size, _modified(answer.headers))


def _name(url: str, headers: email.message.Message) -> str:
    path = unquote(urlsplit(url).path)
    if path and not path.endswith("/"):
        name = os.path.basename(path)
    else:
        given = headers.get_filename() or ""
        name = "" if given.endswith("/") else os.path.basename(given)
    return "" if name in (".", "..") or "\0" in name else name


def _modified(headers: email.message.Message) -> int:
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("Last-Modified", ""))
        return max(0, int(moment.timestamp() * 1_000_000_000))
    except (TypeError, ValueError, OverflowError):
        return 0


def _refused(url: str, error: object) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    place = f"{parts.hostname}:{port}"
    if isinstance(error, socket.gaierror):
        return f"Get {quote(url)}: dial tcp: lookup {parts.hostname}: no such host"
    if isinstance(error, ConnectionRefusedError):
        return f"Get {quote(url)}: dial tcp {place}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"Get {quote(url)}: dial tcp {place}: i/o timeout"
    return f"Get {quote(url)}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
