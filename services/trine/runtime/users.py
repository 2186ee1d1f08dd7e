"""Users and groups as a container's own /etc/passwd and /etc/group say (passwd(5), group(5)). Lean, pure.

The rules are those of Docker's user look-up: numbers need no entry, names do; a numeric user without
an entry has group 0; without an explicit group the memberships of /etc/group are added.
"""

from __future__ import annotations

from trine.runtime.failure import ContainerError

FILE_LIMIT = 4 << 20  # bytes read of passwd and group
_MAXIMUM_ID = 2**31 - 1


class Identity:
    """Who a process runs as."""

    def __init__(self, uid: int = 0, gid: int = 0) -> None:
        self.uid = uid
        self.gid = gid
        self.groups: list[int] = []
        self.home = "/"


def _entries(content: bytes | None, fields: int) -> list[list[str]]:
    lines = (content or b"").decode("utf-8", "surrogateescape").split("\n")
    rows = (line.strip().split(":") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return [row + [""] * (fields - len(row)) for row in rows]


def _number(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text  # as strconv.Atoi
    return int(text) if digits.isascii() and digits.isdigit() else None


def _id(text: str) -> int | None:
    """Return a row's id; None for what cannot be one (-1 would mean "as before" to setresuid(2))."""
    number = _number(text)
    return number if number is not None and 0 <= number <= _MAXIMUM_ID else None


def _in_range(number: int) -> int:
    if not 0 <= number <= _MAXIMUM_ID:
        raise ContainerError(f"uids and gids must be in range 0-{_MAXIMUM_ID}", "INVALID_USER", 126)
    return number


def resolve(user: str, additional: list[str], passwd: bytes | None, group: bytes | None) -> Identity:
    """Return the identity of "user[:group]" ("" is root) with additional groups (names or numbers).

    ``passwd`` and ``group`` are the files' contents, None when there is none. Raises ContainerError
    in Docker's words when a name is not found or a number out of range.
    """
    name, _, group_name = user.partition(":")
    name = name or "0"
    number = _number(name)
    result = Identity()
    login = ""
    for row in _entries(passwd, 7):
        uid = _id(row[2])
        if uid is None or not (row[0] == name if number is None else uid == number):
            continue
        login, result.uid, result.gid, result.home = row[0], uid, _id(row[3]) or 0, row[5] or "/"
        break
    else:
        if number is None:
            raise ContainerError(
                f"unable to find user {name}: no matching entries in passwd file", "NO_SUCH_USER", 126
            )
        result.uid = _in_range(number)
    rows = _entries(group, 4) if group_name or login or additional else []
    if group_name:
        result.gid = _group_id(group_name, rows)
    elif login:
        for row in rows:
            gid = _id(row[2])
            if gid is not None and login in row[3].split(","):
                result.groups.append(gid)
    for wanted in additional:
        result.groups.append(_group_id(wanted, rows, "Unable to find group"))
    # The primary group is among them since Docker 20.10.18: else a process could shed it with setgid and
    # so get round files that are closed to that group (CVE-2022-36109).
    result.groups = list(dict.fromkeys([result.gid, *result.groups]))
    return result


def _group_id(wanted: str, rows: list[list[str]], prefix: str = "unable to find group") -> int:
    number = _number(wanted)
    for row in rows:
        gid = _id(row[2])
        if gid is not None and (row[0] == wanted or gid == number):
            return gid
    if number is None:
        raise ContainerError(f"{prefix} {wanted}: no matching entries in group file", "NO_SUCH_GROUP", 126)
    return _in_range(number)
