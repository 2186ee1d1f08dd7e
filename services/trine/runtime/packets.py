"""JSON packets with descriptors over SOCK_SEQPACKET (unix(7)): zygote, shim and service speak so. Lean."""

from __future__ import annotations

import _socket
import array
import json
import os
import socket
from typing import Any

LIMIT = 64 * 1024
MAXIMUM_DESCRIPTORS = 16
_SPACE = socket.CMSG_SPACE(MAXIMUM_DESCRIPTORS * 4)
# Plain numbers: arithmetic of the enum module's flags would cost each shim 200 KB of pages of its own.
KIND = int(socket.SOCK_SEQPACKET) | int(socket.SOCK_CLOEXEC)
_FAMILY = int(socket.AF_UNIX)
_NO_SIGNAL = int(socket.MSG_NOSIGNAL)
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: dumps would make one a message
_decode = json.JSONDecoder().decode
_CUT = int(socket.MSG_TRUNC) | int(socket.MSG_CTRUNC)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair of packet sockets, close-on-exec."""
    first, second = _socket.socketpair(_FAMILY, KIND, 0)
    return socket.socket(_FAMILY, KIND, 0, first.detach()), socket.socket(_FAMILY, KIND, 0, second.detach())


def adopt(descriptor: int) -> socket.socket:
    """Return the socket of a descriptor that was passed to us."""
    return socket.socket(_FAMILY, KIND, 0, descriptor)


def send(peer: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    """Send one packet. Raises OSError (EMSGSIZE when it is too large, BlockingIOError when full)."""
    data = _encode(message).encode("utf-8", "surrogateescape")
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]
    peer.sendmsg([data], ancillary, _NO_SIGNAL)


def receive(peer: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Return one packet and its descriptors; (None, []) at the end of the stream.

    Raises OSError, and ValueError for a packet that is no JSON object or was cut; descriptors that
    came with a bad packet are closed.
    """
    try:
        data, ancillary, flags, _ = peer.recvmsg(LIMIT, _SPACE, _CLOSE_ON_EXEC)
    except ConnectionResetError:
        # The peer closed before it read what we had sent. That is said first, once; its last words
        # are still in our queue.
        data, ancillary, flags, _ = peer.recvmsg(LIMIT, _SPACE, _CLOSE_ON_EXEC)
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(payload[: len(payload) - len(payload) % 4])
            descriptors.extend(received)
    if not data and not descriptors:
        return None, []
    try:
        if flags & _CUT:
            raise ValueError("packet too large")
        message = _decode(data.decode("utf-8", "surrogateescape"))
        if not isinstance(message, dict):
            raise ValueError("not a JSON object")
    except ValueError:
        close_all(descriptors)
        raise
    return message, descriptors


def close_all(descriptors: list[int]) -> None:
    """Close received descriptors."""
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            pass
