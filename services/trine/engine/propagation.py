"""Whether the host propagates mounts of a bind's source (mount_namespaces(7)). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping


def parse_mounts(mountinfo: str) -> dict[str, str]:
    """Return mount point -> optional fields ("shared:5 master:1") of proc_pid_mountinfo(5); the last wins."""
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, _, _ = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 5:
            found[_plain(fields[4])] = " ".join(fields[6:])
    return found


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def propagation_problem(mounts: Mapping[str, str], real: str, source: str, propagation: str) -> str:
    """Return Docker's text when ``propagation`` of a bind cannot be kept, "" when it can.

    Args:
        mounts: as ``parse_mounts`` gives it.
        real: the source without symbolic links.
        source: the source as the user wrote it.
        propagation: "rslave", "shared", …
    """
    kind = propagation.removeprefix("r")
    if kind not in ("shared", "slave"):
        return ""
    at = real
    while at != "/" and at not in mounts:
        at = at.rpartition("/")[0] or "/"
    fields = mounts.get(at, "")
    if "shared:" in fields or (kind == "slave" and "master:" in fields):
        return ""
    what = "shared mount" if kind == "shared" else "shared or slave mount"
    return f"path {source} is mounted on {at} but it is not a {what}"
