"""Making a container's processes, for a shim that keeps nothing of the work. Lean.

A helper does it: a fork of the shim that clones the process as the shim's child (CLONE_PARENT,
clone(2)), puts it into its cgroups and ends. What that takes of memory, and the namespace the helper
has entered, end with it: a shim that did it itself would have 0.8 MB more of its own for as long as
its container lives.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from trine.runtime import packets, shim_process
from trine.runtime.cgroups.group import Group
from trine.runtime.failure import ContainerError, from_dict, from_os_error
from trine.runtime.shim_process import Process

Streams = tuple[int, int, int] | None  # the child's ends, None with a terminal
# Given the child's end of its packet socket, and what becomes the answer; appends the pidfd.
_Work = Callable[[socket.socket, dict[str, Any], list[int]], None]


def make_first(first: Process, streams: Streams, group: Group, bundle: str, container_id: str) -> list[str]:
    """Make a container's cgroups and its init, which waits for "go"; returns warnings for the user.

    ``first`` gets pid, pidfd and sync, as far as it came. Raises ContainerError, OSError.
    """

    def work(theirs: socket.socket, answer: dict[str, Any], descriptors: list[int]) -> None:
        with open(f"{bundle}/config.json", "rb") as file:
            config = json.load(file)
        answer["pid"], pidfd = shim_process.spawn_init(config, container_id, theirs, streams)
        descriptors.append(pidfd)
        answer["warnings"] = group.create(config["linux"].get("resources") or {})
        group.join(answer["pid"])

    warnings: list[str] = _by_helper(first, work)["warnings"]
    return warnings


def make_exec(target: Process, streams: Streams, group: Group, container: dict[str, Any], init: int) -> None:
    """Make one more process in a container whose init's pidfd is ``init``.

    ``target`` gets pid, pidfd and sync, as far as it came. Raises ContainerError, OSError.
    """

    def work(theirs: socket.socket, answer: dict[str, Any], descriptors: list[int]) -> None:
        answer["pid"], pidfd = shim_process.spawn_exec(target.spec, container, theirs, streams, init)
        descriptors.append(pidfd)
        group.join(answer["pid"])

    _by_helper(target, work)


def _by_helper(target: Process, work: _Work) -> dict[str, Any]:
    """Have a helper do the work and wait for its word; returns the answer. Raises ContainerError, OSError."""
    sync, theirs = packets.pair()
    report, ours = packets.pair()
    helper = os.fork()
    if not helper:
        _help(ours, sync, theirs, work)
    ours.close()
    theirs.close()
    target.release()
    target.sync = sync
    try:
        message, descriptors = packets.receive(report)
    except (OSError, ValueError):
        message, descriptors = None, []
    report.close()
    os.waitpid(helper, 0)
    if message is None:
        raise ContainerError("the shim's helper died")
    if descriptors:
        target.pid, target.pidfd = int(message["pid"]), descriptors[0]
    if "error" in message:
        raise from_dict(message["error"])
    return message


def _help(report: socket.socket, sync: socket.socket, theirs: socket.socket, work: _Work) -> NoReturn:
    """Do the work in the helper, tell the new process to go on, and report; never returns."""
    answer: dict[str, Any] = {}
    descriptors: list[int] = []
    try:
        work(theirs, answer, descriptors)
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
