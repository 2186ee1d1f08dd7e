"""``trine-oci``: containers from OCI bundles, for podman, containerd and people. Lean: no gRPC.

Here is only what must happen first; the commands are in ``trine.runtime.oci.commands``.
"""

from __future__ import annotations

import os
import sys

from trine.linux import mount, process

_SEALED = "TRINE_OCI_SEALED"
_MAKES_PROCESSES = frozenset({"create", "run", "exec"})


def main() -> None:
    """Run the command line of this process and exit."""
    if not _MAKES_PROCESSES.isdisjoint(sys.argv):
        _seal()
    from trine.runtime.oci import commands  # not before: the first of two interpreters needs none of it

    commands.main()


def _seal() -> None:
    """Execute ourselves once more from a read-only mount of the interpreter.

    A container's process that gets hold of /proc/<pid>/exe of a child of ours (CVE-2019-5736) cannot
    open it for writing then, whatever its capabilities. Skipped where the kernel cannot (before 5.12).
    """
    if os.environ.pop(_SEALED, ""):
        return
    try:
        tree = mount.open_tree(mount.AT_FDCWD, os.path.realpath("/proc/self/exe"), recursive=False)
        mount.set_attributes(tree, set_bits=mount.MOUNT_ATTR_RDONLY)
        places = [path for path in sys.path if path and os.path.isdir(os.path.join(path, "trine"))]
        code = (
            f"import sys; sys.path[:0] = {places!r}; sys.dont_write_bytecode = True; "
            "from trine.runtime import oci_command; oci_command.main()"
        )
        process.execute_descriptor(
            tree,
            [sys.executable, "-I", "-S", "-c", code, *sys.argv[1:]],
            [*(f"{key}={value}" for key, value in os.environ.items()), f"{_SEALED}=1"],
        )
    except OSError:
        pass
