"""The zygote: a small interpreter with one thread that forks what must not be forked from gRPC. Lean.

The service starts it (``python -I -S -c …``) with one end of a packet socket as descriptor 3. Each
request comes with descriptors and makes one fork: a shim, or a worker for files of a container. It
ends when the service's end of the socket is closed; its children go on.

Everything a fork needs is imported here, once: a fork then shares nearly all of its memory.
"""

from __future__ import annotations

import codecs
import ctypes
import fcntl
import gc
import os
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

from trine.linux import mount, process, seccomp
from trine.runtime import (
    archive_worker,
    cgroup_mounts,
    copy_up,
    packets,
    pid1,
    rehearsal,
    shim,
)
from trine.runtime.cgroups import layout

CHANNEL = 3
_TITLE_ROOM = 120
# Imported later, a module would come from the container's tree: there is no host tree any more.
_PRELOADED = (cgroup_mounts, copy_up, pid1, seccomp, fcntl, struct)


def command(directories: list[str]) -> list[str]:
    """Return the argv that starts a zygote; ``directories`` are where the trine packages are."""
    code = (
        f"import sys; sys.path[:0] = {directories!r}; sys.dont_write_bytecode = True; "
        "from trine.runtime import zygote; zygote.main()"
    )
    return [sys.executable, "-I", "-S", "-c", code, "trine-zygote".ljust(_TITLE_ROOM)]


def main() -> NoReturn:
    """Serve requests on descriptor 3 until its other end is closed; never returns."""
    _seal_executable()
    process.set_name("trine-zygote")
    process.set_dumpable(False)
    channel = socket.socket(fileno=CHANNEL)
    channel.set_inheritable(False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # for the shims; we end with our channel
    for name in ("utf-8", "ascii", "latin-1"):
        codecs.lookup(name)  # codecs are modules too
    found = layout.detect()
    area = process.argument_area()
    process.set_title(area, ["trine-zygote"])
    rehearsal.rehearse(found)
    gc.collect()
    gc.freeze()
    try:
        packets.send(channel, {"event": "ready"})
    except OSError:
        os._exit(0)  # the service died while we started
    while True:
        try:
            message, descriptors = packets.receive(channel)
        except (OSError, ValueError):
            _acknowledge(channel)
            continue
        if message is None:
            os._exit(0)
        try:
            child = os.fork()
        except OSError as error:
            _refuse(descriptors, error)
            _acknowledge(channel)
            continue
        if not child:
            channel.close()
            _run(message, descriptors, found, area)
        packets.close_all(descriptors)
        _acknowledge(channel)


def _acknowledge(channel: socket.socket) -> None:
    """Say that a request was served: the service holds a zygote that is silent for stuck, and ends it."""
    try:
        packets.send(channel, {"event": "served"})
    except OSError:
        pass  # the service is gone: the end of the channel tells


def _run(
    message: dict[str, Any], descriptors: list[int], found: layout.Layout, area: ctypes.Array[ctypes.c_char]
) -> NoReturn:
    """Be what the request asks for; never returns."""
    try:
        if message["op"] == "shim":
            process.set_title(area, ["trine-shim", message["id"]])
            shim.main(message, packets.adopt(descriptors[0]), found)
        elif message["op"] == "archive":
            process.set_title(area, ["trine-files", message["id"]])
            archive_worker.main(message, descriptors)
    finally:
        os._exit(1)


def _refuse(descriptors: list[int], error: OSError) -> None:
    """Say on the passed socket that there could be no fork (EAGAIN: too many processes)."""
    if descriptors:
        peer = socket.socket(fileno=os.dup(descriptors[0]))
        try:
            packets.send(peer, {"event": "create_failed", "reason": "", "message": f"fork: {error.strerror}"})
        except OSError:
            pass
        peer.close()
    packets.close_all(descriptors)


def _seal_executable() -> None:
    """Execute ourselves once more from a read-only mount of the interpreter.

    A container's process that gets hold of /proc/<pid>/exe of a fork of ours (CVE-2019-5736) then
    cannot open it for writing, whatever its capabilities. Skipped where the kernel cannot (before 5.12).
    """
    if os.environ.get("TRINE_SEALED") == "1":
        return
    try:
        binary = os.path.realpath("/proc/self/exe")
        tree = mount.open_tree(mount.AT_FDCWD, binary, recursive=False)
        mount.set_attributes(tree, set_bits=mount.MOUNT_ATTR_RDONLY)
        os.set_inheritable(CHANNEL, True)
        process.execute_descriptor(
            tree, sys.orig_argv, ["TRINE_SEALED=1", f"PATH={os.defpath}", "LC_CTYPE=C.UTF-8"]
        )
    except OSError:
        pass
