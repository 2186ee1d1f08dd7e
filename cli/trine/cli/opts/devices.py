"""--device and --device-cgroup-rule."""

from __future__ import annotations


def check_rule(text: str) -> str:
    """Return a device cgroup rule, "c 13:* rwm"; raises ValueError."""
    parts = text.split(" ")
    good = len(parts) == 3 and parts[0] in ("a", "b", "c")
    if good:
        numbers = parts[1].split(":")
        good = len(numbers) == 2 and all(n == "*" or n.isdigit() for n in numbers)
        good = good and 1 <= len(parts[2]) <= 3 and not parts[2].strip("rwm")
    if not good:
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def parse_device(text: str) -> dict[str, str]:
    """Return a DeviceSpec of "host[:container][:permissions]"; raises ValueError."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    host, inside, permissions = parts[0], parts[0], "rwm"
    if len(parts) == 2:
        if _is_mode(parts[1]):
            permissions = parts[1]
        else:
            inside = parts[1]
    elif len(parts) == 3:
        inside, permissions = parts[1], parts[2]
        if not _is_mode(permissions):
            raise ValueError(f"bad mode specified: {permissions}")
    if not inside.startswith("/"):
        raise ValueError(f"{inside} is not an absolute path")
    return {"host_path": host, "container_path": inside, "permissions": permissions}


def _is_mode(text: str) -> bool:
    return bool(text) and not text.strip("rwm") and len(set(text)) == len(text)
