"""Which kernel settings (--sysctl) a container may change: those of namespaces of its own. Pure."""

from __future__ import annotations

from trine.v1 import runtime_pb2

_IPC = frozenset(
    (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    )
)


def refusal(name: str, namespaces: runtime_pb2.NamespaceSpec) -> str:
    """Return why a setting must not be written, in runc's words, or "": it would be the host's.

    The file of a shared namespace of the host is the host's own, whoever opens it.
    """
    if name in _IPC or name.startswith("fs.mqueue."):
        if namespaces.ipc == "host":
            return f'sysctl "{name}" is not allowed in the hosts ipc namespace'
        return ""
    if name.startswith("net."):
        if namespaces.network == "host":
            return f'sysctl "{name}" not allowed in host network namespace'
        return ""
    if name == "kernel.domainname":
        return (
            f'sysctl "{name}" is not allowed in the hosts UTS namespace' if namespaces.uts == "host" else ""
        )
    if name == "kernel.hostname":
        return f'sysctl "{name}" is not allowed as it conflicts with the OCI "hostname" field'
    return f'sysctl "{name}" is not in a separate kernel namespace'
