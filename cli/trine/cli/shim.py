"""The local way to a container's streams: its shim's socket (docs/shim.md).

One JSON object a packet, descriptors by SCM_RIGHTS. ``json`` takes 10 ms to import, so this uses the
scanner in C below it, and writes its few flat objects itself.
"""

from __future__ import annotations

import _json
import _socket
import os
import select
from array import array

from trine.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PACKET = 64 * 1024


class _Rules:
    """What json.decoder.JSONDecoder tells the scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


def loads(text: str) -> Any:
    """Return the value of a JSON text; raises ValueError."""
    try:
        return _json.make_scanner(_Rules())(text, 0)[0]  # type: ignore[arg-type]
    except StopIteration:
        raise ValueError("not JSON") from None


def dumps(flat: dict[str, str | bool | int]) -> str:
    """Return a flat object as JSON."""
    parts = []
    for key, value in flat.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int):
            text = str(value)
        else:
            text = _json.encode_basestring_ascii(value)
        parts.append(f'"{key}": {text}')
    return "{" + ", ".join(parts) + "}"


class Shim:
    """A connection to one shim."""

    def __init__(self, path: str) -> None:
        """Connect; raises OSError."""
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        try:
            self._connect(path)
        except OSError:
            self._socket.close()
            raise

    def _connect(self, path: str) -> None:
        if len(os.fsencode(path)) < 108:
            self._socket.connect(path)
            return
        # A path longer than sun_path: by way of a descriptor of its directory.
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)

    def fileno(self) -> int:
        """Return the descriptor to poll for events."""
        return self._socket.fileno()

    def send(self, request: dict[str, str | bool | int], descriptors: tuple[int, ...] = ()) -> None:
        """Send a request; raises OSError when the shim is gone."""
        ancillary: list[Any] = []
        if descriptors:
            ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors))]
        self._socket.sendmsg([dumps(request).encode()], ancillary, _socket.MSG_NOSIGNAL)

    def event(self) -> dict[str, Any] | None:
        """Return the next event, None when the shim is gone; waits for it."""
        try:
            raw = self._socket.recv(_PACKET)
        except OSError:
            return None
        if not raw:
            return None
        found = loads(raw.decode())
        return found if isinstance(found, dict) else {}

    def expect(self, name: str) -> None:
        """Wait for an event of that name; raises Failure when an error or the end comes instead."""
        while True:
            event = self.event()
            if event is None:
                raise Failure("Error response from daemon: the container's shim closed the connection")
            if event.get("event") == name:
                return
            if event.get("event") == "error":
                raise Failure(f"Error response from daemon: {event.get('message', '')}")

    def waiting(self) -> bool:
        """Tell whether an event is there to be read."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close the connection: a detach."""
        self._socket.close()
