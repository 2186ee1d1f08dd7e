"""Writer of Docker's json-file log: one JSON object a line, with stream and time; rotation. Lean.

A line longer than 16 KiB is written in parts; only a part that ends the line has its newline, so
that putting parts together gives the bytes back. The next write after a torn one (full disk) starts
on a new line: a reader loses one entry, never two.
"""

from __future__ import annotations

import json
import os
import time
from json.encoder import encode_basestring  # the C version where there is one
from typing import Any

PART = 16 * 1024
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}


def parse_size(text: str) -> int:
    """Return bytes of "10m" or "512k" (binary units, as Docker's max-size); -1 for empty or "-1".

    Raises ValueError.
    """
    if text in ("", "-1"):
        return -1
    lowered = text.strip().lower().removesuffix("ib").removesuffix("b")
    factor = _UNITS.get(lowered[-1:], 0)
    number = float(lowered[:-1] if factor else lowered)
    if number < 0 or number != number:
        raise ValueError(text)
    return int(number * (factor or 1))


def format_time(nanoseconds: int) -> str:
    """Return RFC 3339 in UTC with up to nine decimals, as Go's RFC3339Nano (no trailing zeros)."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


class JsonLog:
    """An open log. ``write`` never raises: a container does not stop because its log is full."""

    def __init__(
        self, path: str, maximum_size: int = -1, maximum_files: int = 1, attributes: str = ""
    ) -> None:
        """Open for appending; ``attributes`` (a JSON object) go with every line. Raises OSError."""
        self._attributes = f',"attrs":{attributes}' if attributes else ""
        self.path = path
        self._maximum_size = maximum_size
        self._maximum_files = max(1, maximum_files)
        self._partial: dict[str, bytes] = {}
        self._torn = False
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o640)
        self.size = os.fstat(self._descriptor).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Log a chunk of output; an unfinished line waits for its rest."""
        partial = self._partial.get(stream)
        if partial:
            data = partial + data
        lines = data.split(b"\n")
        rest = lines.pop()
        tail = self._tail(stream)
        entries: list[str] = []
        if lines and b"\\" not in data and max(map(len, lines)) < PART:
            entries.append(_many(data[: len(data) - len(rest)], tail))
            lines = []
        for line in lines:
            while len(line) >= PART:
                entries.append(_entry(line[:PART], "", tail))
                line = line[PART:]
            entries.append(_entry(line, "\\n", tail))
        while len(rest) >= PART:
            entries.append(_entry(rest[:PART], "", tail))
            rest = rest[PART:]
        self._partial[stream] = rest
        if entries:
            self._append("".join(entries))

    def _tail(self, stream: str) -> str:
        return f',"stream":"{stream}"{self._attributes},"time":"{format_time(time.time_ns())}"}}\n'

    def finish(self) -> None:
        """Write what is left of unfinished lines and close."""
        for stream, rest in self._partial.items():
            if rest:
                self._append(_entry(rest, "", self._tail(stream)))
        self._partial = {}
        os.close(self._descriptor)
        self._descriptor = -1

    def _append(self, entries: str) -> None:
        data = entries.encode("utf-8", "replace")
        if 0 < self._maximum_size < self.size + len(data):
            for entry in data.split(b"\n")[:-1]:
                if self.size and self.size + len(entry) + 1 > self._maximum_size:
                    self._rotate()
                self._put(entry + b"\n")
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0
        self.size += written
        if written:
            self._torn = written < len(data)

    def _rotate(self) -> None:
        """Move path.n to path.n+1 and path to path.1, the oldest falls off; then start anew."""
        try:
            if self._maximum_files == 1:
                os.truncate(self.path, 0)
                self.size = 0
                return
            for number in range(self._maximum_files - 1, 1, -1):
                try:
                    os.replace(f"{self.path}.{number - 1}", f"{self.path}.{number}")
                except FileNotFoundError:
                    pass
            os.replace(self.path, f"{self.path}.1")
            old = self._descriptor
            self._open()
            os.close(old)
        except OSError:
            pass  # go on in the file at hand


def open_log(options: dict[str, Any]) -> JsonLog | None:
    """Open the log that ``options`` ("driver", "path", "options" as --log-opt) ask for. Raises OSError."""
    if options.get("driver", "none") == "none" or not options.get("path"):
        return None
    wanted = options.get("options") or {}
    return JsonLog(
        options["path"],
        parse_size(wanted.get("max-size", "")),
        int(wanted.get("max-file") or 1),
        json.dumps(options["attributes"], separators=(",", ":")) if options.get("attributes") else "",
    )


def _entry(line: bytes, newline: str, tail: str) -> str:
    text = encode_basestring(line.decode("utf-8", "replace"))
    return f'{{"log":{text[:-1]}{newline}"{tail}'


def _many(lines: bytes, tail: str) -> str:
    """Return the entries of whole lines in one go; none has a backslash, so every \\n is a line's end."""
    text = encode_basestring(lines.decode("utf-8", "replace"))
    return ('{"log":' + text[:-1].replace("\\n", f'\\n"{tail}{{"log":"'))[: -len('{"log":"')]
