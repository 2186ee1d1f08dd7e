"""User and group names of an image, as --chown needs them: read from its files, never from the host's."""

from __future__ import annotations

import re

from trine.image.build.tree import FILE, Entry, resolve
from trine.kit.errors import ConflictError

_LIMIT = 4 << 20
_MAXIMUM_ID = (1 << 32) - 2


def parse_owner(text: str, root: Entry) -> tuple[int, int]:
    """Return (uid, gid) of "user[:group]"; a lone user names the group too, as Docker has it.

    Raises ConflictError with Docker's words.
    """
    prefix = "unable to convert uid/gid chown string to host mapping: "
    parts = text.split(":")
    if len(parts) > 2:
        raise ConflictError(f"{prefix}invalid chown string format: {text}")
    user = parts[0]
    group = parts[1] if len(parts) == 2 else parts[0]
    uid = _number(user)
    if uid is None:
        uid = _look_up(root, "etc/passwd", user)
        if uid is None:
            raise ConflictError(f"{prefix}can't find uid for user {user}: no such user: {user}")
    gid = _number(group)
    if gid is None:
        gid = _look_up(root, "etc/group", group)
        if gid is None:
            raise ConflictError(f"{prefix}can't find gid for group {group}: no such group: {group}")
    return uid, gid


def _number(text: str) -> int | None:
    if re.fullmatch(r"[0-9]+", text) is None or int(text) > _MAXIMUM_ID:
        return None
    return int(text)


def _look_up(root: Entry, path: str, name: str) -> int | None:
    """Return the id of a name in passwd(5) or group(5); only a regular file of sane size is read."""
    try:
        entry = resolve(root, path).entry
    except OSError:
        return None
    if not name or entry is None or entry.kind != FILE or entry.size > _LIMIT:
        return None
    with entry.open() as file:
        content = file.read()
    for line in content.decode("utf-8", "replace").split("\n"):
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] == name:
            return _number(fields[2])
    return None
