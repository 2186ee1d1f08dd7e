"""The worker of docker cp: one fork of the zygote for each transfer, in its mount namespace. Lean.

A living container's namespace is joined; for one that does not run the root is mounted in a private
namespace. The worker says on its control socket ``{"stat": …}``, ``{"done": true}`` or
``{"error": {"reason", "message"}}``; the tar goes over a pipe.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Any, NoReturn

from trine.linux import namespaces, process
from trine.runtime import packets, rootfs
from trine.runtime.failure import ContainerError
from trine.runtime.import_guard import forbid_imports


def main(message: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Do one transfer; never returns.

    Args:
        message: "id", "action" ("stat", "read", "write"), "path", "no_overwrite_dir_non_dir", and
            "overlay" or "root_path", "mounts" and "place" for a container that does not run.
        descriptors: control socket, data pipe (not for "stat"), mount namespace (of one that runs).
    """
    control = socket.socket(fileno=descriptors[0])
    try:
        os.setsid()
        process.set_name("trine-files")
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        answer = _run(message, control, descriptors[1:])
    except BaseException as error:
        answer = {"error": _explain(error)}
    try:
        packets.send(control, answer)
    finally:
        os._exit(0)


def _explain(error: BaseException) -> dict[str, str]:
    if isinstance(error, ContainerError):
        return {"reason": error.reason, "message": error.message}
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return {"reason": "NO_SUCH_PATH", "message": error.strerror or ""}
    if isinstance(error, OSError):
        reason = {30: "READ_ONLY", 28: "NO_SPACE", 32: "CANCELLED", 40: "NO_SUCH_PATH"}.get(
            error.errno or 0, ""
        )
        where = f": {error.filename}" if isinstance(error.filename, str) else ""
        return {"reason": reason, "message": f"{error.strerror or error}{where}"}
    return {"reason": "", "message": f"{type(error).__name__}: {error}"}


def _run(message: dict[str, Any], control: socket.socket, descriptors: list[int]) -> dict[str, Any]:
    # All of Python that is needed comes from the host's tree, before that is out of sight.
    from trine.runtime import archive_tree

    forbid_imports()
    os.umask(0)
    # The container's /proc shows its own processes only.
    own = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    data = descriptors.pop(0) if message["action"] != "stat" else -1
    root = _join(descriptors[0]) if descriptors else _mount(message)
    path = "/" + message["path"].lstrip("/")
    if message["action"] == "write":
        unpacker = archive_tree.Unpacker(root, path, bool(message.get("no_overwrite_dir_non_dir")))
        packets.send(control, {"ready": True})
        with os.fdopen(data, "rb", buffering=1 << 18) as stream:
            unpacker.unpack(stream)
        return {"done": True}
    packets.send(control, {"stat": archive_tree.describe(root, path, own)})
    if message["action"] == "read":
        archive_tree.Packer(data).pack(root, path)
        os.close(data)
    return {"done": True}


def _join(namespace: int) -> int:
    namespaces.setns(namespace, namespaces.CLONE_NEWNS)
    os.close(namespace)
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _mount(message: dict[str, Any]) -> int:
    """Mount root and volumes of a container that does not run, seen by nobody else. Raises OSError."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    entries = message.get("mounts") or []
    sources = rootfs.open_sources(entries)
    root = rootfs.mount_root(
        {
            "root": {"path": message.get("root_path") or message["place"]},
            "trine": {"overlay": message.get("overlay")},
        }
    )
    for number, entry in enumerate(entries):
        if number in sources:
            rootfs.mount_one(root, entry, sources[number])
    return root
