"""What a shim is asked for over its socket (docs/shim.md), one function a request. Lean.

Each returns the answer, or None when it comes later; ContainerError is answered as an error.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from trine.runtime.failure import ContainerError
from trine.runtime.shim_create import make_exec
from trine.runtime.shim_peer import Peer
from trine.runtime.shim_process import CREATED, RUNNING, STOPPED, Process
from trine.runtime.stdio import Client

if TYPE_CHECKING:
    from trine.runtime.shim import Shim

_SPECIFICATION_LIMIT = 32 << 20


def _attach(shim: Shim, peer: Peer, message: dict[str, Any], descriptors: list[int]) -> dict[str, Any] | None:
    target = shim.find(message)
    if target.state == STOPPED:
        raise shim.not_running()
    wanted = [name for name in ("stdin", "stdout", "stderr") if message.get(name)]
    if len(descriptors) < len(wanted):
        raise ContainerError("attach needs a descriptor for each stream asked for", "INVALID_ARGUMENT")
    given = dict(zip(wanted, descriptors, strict=False))
    del descriptors[: len(wanted)]

    def finished() -> None:
        peer.clients = [(p, c) for p, c in peer.clients if c is not client]
        peer.send({"event": "exit", "code": target.exit_code, "process": target.id})
        shim.leave_if_done()

    client = Client(given.get("stdin", -1), given.get("stdout", -1), given.get("stderr", -1), finished)
    peer.clients.append((target, client))
    target.attach(client)
    # What was logged until here is in the log, what comes after here comes to the client.
    return {"event": "attached", "log_size": shim.log.size if shim.log and target is shim.first else 0}


def _resize(shim: Shim, _peer: Peer, message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    target = shim.find(message)
    if target.state == STOPPED:
        raise shim.not_running()
    target.resize(int(message["rows"]), int(message["columns"]))
    return {"event": "ok"}


def _send_signal(shim: Shim, _peer: Peer, message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    target = shim.find(message)
    number = int(message["signal"])
    if target.state != RUNNING:
        raise shim.not_running()
    if message.get("all"):
        for pid in shim.group.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    else:
        target.signal(number)
    return {"event": "ok"}


def _state(shim: Shim, _peer: Peer, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    return {"event": "state", **shim.state()}


def _watch(shim: Shim, peer: Peer, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    peer.watching = True
    return {"event": "state", **shim.state()}


def _start(shim: Shim, peer: Peer, message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any] | None:
    if shim.first.state == STOPPED:
        raise shim.first.error or shim.not_running()
    if shim.first.state == RUNNING:
        return {"event": "ok", **shim.state()}
    shim.first.waiters.append((peer, message.get("n")))
    if len(shim.first.waiters) == 1:
        shim.say(shim.first, {"go": True})
    return None


def _exec_create(shim: Shim, _peer: Peer, message: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    if shim.first.state != RUNNING:
        raise shim.not_running()
    identifier = message["process"]
    content = os.pread(descriptors[0], _SPECIFICATION_LIMIT, 0)
    spec = json.loads(content)
    existing = shim.execs.get(identifier)
    if existing is not None:
        if existing.spec != spec:
            raise ContainerError(f"exec {identifier} exists already", "ALREADY_EXISTS")
        return {"event": "ok"}
    shim.execs[identifier] = Process(identifier, spec)
    return {"event": "ok"}


def _exec_start(shim: Shim, peer: Peer, message: dict[str, Any], _d: list[int]) -> dict[str, Any] | None:
    target = shim.find(message)
    if shim.first.state != RUNNING:
        raise shim.not_running()
    if shim.paused:
        raise ContainerError(f"Container {shim.id} is paused, unpause the container before exec", "PAUSED")
    if target.pid or target.state != CREATED:
        raise ContainerError(f"Error: Exec command {target.id} has already run", "ALREADY_RUN")
    streams = target.streams(shim.reactor, None)
    try:
        make_exec(target, streams, shim.group, shim.container, shim.first.pidfd)
    except ContainerError as error:
        if not target.pid:
            target.end_streams()
            raise
        target.error = error  # told at its end
        target.signal(signal.SIGKILL)
    target.waiters.append((peer, message.get("n")))
    shim.watch_process(target)
    return None


def _exec_state(shim: Shim, _peer: Peer, message: dict[str, Any], _d: list[int]) -> dict[str, Any]:
    target = shim.find(message)
    return {
        "event": "ok",
        "state": target.state,
        "pid": target.pid,
        "exit_code": target.exit_code,
        "started_at": target.started_at,
    }


def _pause(shim: Shim, _peer: Peer, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    if shim.first.state != RUNNING:
        raise shim.not_running()
    if shim.paused:
        raise ContainerError(f"Container {shim.id} is already paused", "ALREADY_PAUSED")
    shim.group.freeze()
    shim.paused = True
    return {"event": "ok"}


def _resume(shim: Shim, _peer: Peer, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    if not shim.paused:
        raise ContainerError(f"Container {shim.id} is not paused", "NOT_PAUSED")
    shim.group.thaw()
    shim.paused = False
    return {"event": "ok"}


def _destroy(shim: Shim, _peer: Peer, _message: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    if shim.first.state != STOPPED:
        shim.first.signal(signal.SIGKILL)
        if shim.paused:
            shim.group.thaw()
            shim.paused = False
    return {"event": "ok"}


OPERATIONS = {
    "attach": _attach,
    "resize": _resize,
    "signal": _send_signal,
    "state": _state,
    "watch": _watch,
    "start": _start,
    "exec_create": _exec_create,
    "exec_start": _exec_start,
    "exec_state": _exec_state,
    "pause": _pause,
    "resume": _resume,
    "destroy": _destroy,
}
