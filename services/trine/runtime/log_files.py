"""Reading json-file logs: over rotations, from the end, and on as they grow."""

from __future__ import annotations

import calendar
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_plus

_BLOCK = 256 * 1024
_ENTRY_LIMIT = 1 << 20  # an entry is at most 16 KiB of output; JSON may make six bytes of one


@dataclass(frozen=True)
class Entry:
    """One line of the log, or a part of a long one (then without newline)."""

    stream: str
    text: bytes
    time: str
    attributes: str = ""  # as `logs --details` shows them


def parse_time(text: str) -> int:
    """Return nanoseconds since 1970 of the log's own time format; 0 for anything else."""
    try:
        seconds = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
        fraction = text[19:].rstrip("Z").lstrip(".")
        return seconds * 1_000_000_000 + int((fraction + "000000000")[:9])
    except ValueError:
        return 0


def fixed_time(text: str) -> str:
    """Return a time with exactly nine decimals, as `logs --timestamps` shows it."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"


def parse(line: bytes) -> Entry | None:
    """Return the entry of a line of the file; None for a torn one."""
    try:
        data = json.loads(line)
        attributes = data.get("attrs") or {}
        details = ",".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in sorted(attributes.items()))
        return Entry(data["stream"], data["log"].encode("utf-8", "surrogatepass"), data["time"], details)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def generations(path: str) -> list[str]:
    """Return the files of a log that are there, oldest first."""
    found = []
    number = 1
    while os.path.exists(f"{path}.{number}"):
        found.append(f"{path}.{number}")
        number += 1
    return [*reversed(found), path]


class Reader:
    """A position in a log; goes on into the next file when this one was rotated away."""

    def __init__(self, path: str, start: str = "", offset: int = 0) -> None:
        """Stand at ``offset`` of the file ``start`` (default: the oldest there is). Raises OSError."""
        self._path = path
        self._rest = b""
        self._descriptor = os.open(start or generations(path)[0], os.O_RDONLY | os.O_CLOEXEC)
        if offset:
            os.lseek(self._descriptor, offset, os.SEEK_SET)

    def read(self, limit: int = -1) -> list[bytes]:
        """Return some whole lines; none when there are no more for now.

        With ``limit`` not beyond that offset of the present file.
        """
        while True:
            size = _BLOCK
            if limit >= 0:
                size = min(size, limit - os.lseek(self._descriptor, 0, os.SEEK_CUR))
            data = os.read(self._descriptor, size) if size > 0 else b""
            if not data:
                if limit >= 0 or not self._advance():
                    return []
                continue
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            if len(self._rest) > _ENTRY_LIMIT:
                self._rest = b""
            if lines:
                return lines

    def _advance(self) -> bool:
        """Go to the next file if ours is not the present one, or to its start if it was cut; else False."""
        mine = os.fstat(self._descriptor)
        try:
            present = os.stat(self._path)
        except FileNotFoundError:
            return False
        if (mine.st_dev, mine.st_ino) == (present.st_dev, present.st_ino):
            if os.lseek(self._descriptor, 0, os.SEEK_CUR) > mine.st_size:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                self._rest = b""
                return True
            return False
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) < mine.st_size:
            return True  # written between our last read and the rotation
        following = self._path
        for name in generations(self._path):
            try:
                found = os.stat(name)
            except FileNotFoundError:
                continue
            if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                number = int(name.rpartition(".")[2])
                following = f"{self._path}.{number - 1}" if number > 1 else self._path
                break
        try:
            descriptor = os.open(following, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._rest = b""
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def open_tail(path: str, lines: int) -> Reader:
    """Return a reader that stands ``lines`` entries before the end; -1: at the beginning. Raises OSError."""
    if lines < 0:
        return Reader(path)
    wanted = lines
    files = generations(path)
    if not wanted:
        return Reader(path, path, os.stat(path).st_size)
    for name in reversed(files):
        offset, found = _offset_of_last(name, wanted)
        wanted -= found
        if not wanted:
            return Reader(path, name, offset)
    return Reader(path)


def _offset_of_last(path: str, wanted: int) -> tuple[int, int]:
    """Return (offset where the last ``wanted`` lines of a file begin, how many there are of them).

    A last line without its end (torn by a full disk, or being written) is none yet.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = _end_of_lines(descriptor)
        position = end
        found = 0
        for start in _blocks_backwards(end):
            block = os.pread(descriptor, position - start, start)
            if position == end:
                block = block[:-1]
            count = block.count(b"\n")
            if found + count >= wanted:
                place = len(block)
                for _ in range(wanted - found):
                    place = block.rindex(b"\n", 0, place)
                return start + place + 1, wanted
            found += count
            position = start
        return 0, found + (1 if end else 0) if found + 1 <= wanted else wanted
    finally:
        os.close(descriptor)


def _end_of_lines(descriptor: int) -> int:
    """Return the offset behind the last newline of a file."""
    position = os.fstat(descriptor).st_size
    for start in _blocks_backwards(position):
        found = os.pread(descriptor, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _blocks_backwards(end: int) -> Iterator[int]:
    while end > 0:
        end = max(0, end - _BLOCK)
        yield end
