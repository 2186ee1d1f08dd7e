"""Making a container's first process and its cgroups, for a shim that keeps nothing of the work. Lean."""

from __future__ import annotations

import json
import os
import socket
from typing import Any, NoReturn

from trine.runtime import packets, shim_process
from trine.runtime.cgroups.group import Group
from trine.runtime.failure import ContainerError, from_dict, from_os_error
from trine.runtime.shim_process import Process

Streams = tuple[int, int, int] | None  # the child's ends, None with a terminal


def make_first(first: Process, streams: Streams, group: Group, bundle: str, container_id: str) -> list[str]:
    """Have a helper make cgroups and init, and wait for its word; returns warnings for the user.

    What it takes to do that stays in the helper's memory, which ends with it: a shim that did it
    itself would have 0.8 MB more of its own for as long as its container lives. ``first`` gets pid,
    pidfd and sync, as far as it came. Raises ContainerError, OSError.
    """
    sync, theirs = packets.pair()
    report, ours = packets.pair()
    helper = os.fork()
    if not helper:
        _help(ours, sync, theirs, streams, group, bundle, container_id)
    ours.close()
    theirs.close()
    first.release()
    first.sync = sync
    try:
        message, descriptors = packets.receive(report)
    except (OSError, ValueError):
        message, descriptors = None, []
    report.close()
    os.waitpid(helper, 0)
    if message is None:
        raise ContainerError("the shim's helper died")
    if descriptors:
        first.pid, first.pidfd = int(message["pid"]), descriptors[0]
    if "error" in message:
        raise from_dict(message["error"])
    warnings: list[str] = message["warnings"]
    return warnings


def _help(
    report: socket.socket,
    sync: socket.socket,
    theirs: socket.socket,
    streams: Streams,
    group: Group,
    bundle: str,
    container_id: str,
) -> NoReturn:
    """Make init (the shim's child, our sibling) and its cgroups, in a helper; never returns."""
    answer: dict[str, Any] = {}
    descriptors: list[int] = []
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            config = json.load(file)
        pid, pidfd = shim_process.spawn_init(config, container_id, theirs, streams)
        answer["pid"] = pid
        descriptors.append(pidfd)
        answer["warnings"] = group.create(config["linux"].get("resources") or {})
        group.join(pid)
        packets.send(sync, {"joined": True})
    except ContainerError as error:
        answer["error"] = error.as_dict()
    except OSError as error:
        answer["error"] = from_os_error(error).as_dict()
    except BaseException as error:
        answer["error"] = ContainerError(f"{type(error).__name__}: {error}").as_dict()
    try:
        packets.send(report, answer, descriptors)
    finally:
        os._exit(0)
