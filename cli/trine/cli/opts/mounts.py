"""--mount, --volume and --tmpfs.

--mount is read as docker/cli does, with its texts. --volume is read there only in part and by the daemon
for the rest; here all of it is read at once, and what only the daemon would say is a DaemonText.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_PREFIXES = ("bind", "volume", "tmpfs", "image")


class DaemonText(ValueError):
    """A text Docker's daemon says, not its client."""


def parse_mount(text: str) -> dict[str, Any]:
    """Return the ContainerMount of one --mount; raises ValueError."""
    if not text:
        raise ValueError("EOF")
    found: dict[str, Any] = {"type": "volume"}
    used: dict[str, str] = {}
    for field in _csv(text):
        name, equals, value = field.partition("=")
        name = name.lower()
        if not equals:
            if name not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"):
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        for prefix in _PREFIXES:
            if name.startswith(prefix + "-"):
                used[prefix] = name
        _set_mount(found, name, value, field)
    if not found["type"]:
        raise ValueError("type is required")
    if not found.get("target"):
        raise ValueError("target is required")
    if found.pop("recursive_read_only", False) and not found.get("read_only"):
        raise ValueError(
            "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"
        )
    for prefix in used:
        if prefix != found["type"]:
            raise ValueError(f"cannot mix '{prefix}-*' options with mount type '{found['type']}'")
    return found


def _set_mount(found: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "type":
        found["type"] = value.lower()
    elif name in ("source", "src"):
        found["source"] = value
        if value.startswith((".", "~")):
            found["source"] = os.path.abspath(value)
    elif name in ("target", "dst", "destination"):
        found["target"] = value
    elif name in ("readonly", "ro"):
        found["read_only"] = _switch(name, value)
    elif name == "consistency":
        found["consistency"] = value.lower()
    elif name == "bind-propagation":
        found["propagation"] = value.lower()
    elif name == "bind-nonrecursive":
        found["non_recursive"] = _switch(name, value)
    elif name == "bind-recursive":
        if value not in ("enabled", "disabled", "writable", "readonly"):
            raise ValueError(
                f"invalid value for {name}: {value} "
                '(must be "enabled", "disabled", "writable", or "readonly")'
            )
        found["non_recursive"] = value == "disabled"
        found["recursive_read_only"] = value == "readonly"
    elif name == "volume-nocopy":
        found["no_copy"] = _switch("volume-nocopy", value)
    elif name == "volume-label":
        key, _, label = value.partition("=")
        found.setdefault("volume_labels", {})[key] = label
    elif name == "volume-driver":
        found["volume_driver"] = value
    elif name == "volume-opt":
        key, _, option = value.partition("=")
        found.setdefault("volume_driver_options", {})[key] = option
    elif name == "tmpfs-size":
        from trine.cli.opts.sizes import flag_bytes

        try:
            found["tmpfs_size_bytes"] = flag_bytes(value)
        except ValueError:
            raise ValueError(f"invalid value for {name}: {value}") from None
    elif name == "tmpfs-mode":
        try:
            found["tmpfs_mode"] = int(value, 8)
        except ValueError:
            raise ValueError(f"invalid value for {name}: {value}") from None
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'")


def _switch(name: str, value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise ValueError(f"invalid value for {name}: {value}")


def _csv(text: str) -> list[str]:
    """Return the fields of one comma-separated line; a field may be in double quotes."""
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text]))


def check_mount(mount: dict[str, Any]) -> None:
    """Refuse what Docker's daemon refuses of a --mount; raises DaemonText."""
    kind, target, source = mount["type"], mount["target"], mount.get("source", "")
    if kind not in ("bind", "volume", "tmpfs"):
        raise DaemonText(f'invalid mount config for type "{kind}": mount type unknown')
    head = f'invalid mount config for type "{kind}": '
    if not target.startswith("/"):
        raise DaemonText(f"{head}invalid mount path: '{target}' mount path must be absolute")
    if os.path.normpath(target) in ("/", "//"):
        raise DaemonText(f"{head}invalid specification: destination can't be '/'")
    if kind == "bind":
        if not source:
            raise DaemonText(f"{head}field Source must not be empty")
        if not source.startswith("/"):
            raise DaemonText(f"{head}invalid mount path: '{source}' mount path must be absolute")
        if mount.get("propagation", "rprivate") not in _PROPAGATIONS:
            raise DaemonText(f"{head}invalid propagation mode: {mount['propagation']}")
    elif kind == "tmpfs":
        if source:
            raise DaemonText(f"{head}field Source must not be specified")
        if mount.get("tmpfs_size_bytes", 0) < 0:
            raise DaemonText(f"{head}a negative size for tmpfs is not allowed")
    elif not source and mount.get("read_only"):
        raise DaemonText(f"{head}must not set ReadOnly mode when using anonymous volumes")


def parse_volume(text: str) -> tuple[dict[str, Any], str]:
    """Return the ContainerMount of one --volume, and the text to show in inspect ("" when anonymous).

    Raises ValueError, or DaemonText for what Docker's daemon refuses.
    """
    if not text:
        raise ValueError("invalid empty volume spec")
    parts = text.split(":")
    if "" in parts:
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        if parts[0].startswith(("/", ".", "~")):
            raise ValueError(f"invalid spec: {text}: too many colons")
        raise DaemonText(f"invalid volume specification: '{text}'")
    mount: dict[str, Any] = {"from_volume_flag": True}
    if len(parts) == 1:
        mount.update(type="volume", target=_target(text, parts[0], "volume"))
        return mount, ""
    source, target = parts[0], parts[1]
    if len(parts) == 2 and target and all(_mode_group(word, "bind") for word in target.split(",")):
        raise DaemonText(f"invalid volume specification: '{text}'")  # a mode where the target belongs
    if source.startswith("."):
        source = os.path.abspath(source)
    kind = "bind" if source.startswith("/") else "volume"
    mode = parts[2] if len(parts) == 3 else ""
    mount.update(type=kind, source=source, target=_target(text, target, kind), mode=mode)
    if kind == "volume":
        check_volume_name(source)
    if kind == "bind" and "nocopy" in mode.split(","):
        raise DaemonText(
            f"invalid volume specification: '{text}': invalid mount config for type \"bind\": "
            "field VolumeOptions must not be specified"
        )
    _set_mode(mount, mode, kind)
    return mount, ":".join([source, *parts[1:]])


def _target(text: str, target: str, kind: str) -> str:
    if not target.startswith("/"):
        raise DaemonText(
            f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": "
            f"invalid mount path: '{target}' mount path must be absolute"
        )
    if os.path.normpath(target) in ("/", "//"):
        raise DaemonText(
            f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": "
            "invalid specification: destination can't be '/'"
        )
    return target


def check_volume_name(name: str) -> None:
    """Refuse a name no volume may have; raises DaemonText."""
    if len(name) == 1:
        raise DaemonText(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    good = bool(name) and name[0].isalnum() and name.isascii()
    if not good or any(not (c.isalnum() or c in "_.-") for c in name):
        raise DaemonText(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def _set_mode(mount: dict[str, Any], mode: str, kind: str) -> None:
    seen: dict[str, int] = {}
    for option in mode.split(",") if mode else ():
        group = _mode_group(option, kind)
        if not group or group in seen:
            raise DaemonText(f"invalid mode: {mode}")
        seen[group] = 1
        if option == "ro":
            mount["read_only"] = True
        elif option in _PROPAGATIONS:
            mount["propagation"] = option
        elif option == "nocopy":
            mount["no_copy"] = True
        elif group == "consistency":
            mount["consistency"] = option


def _mode_group(option: str, kind: str) -> str:
    if option in ("ro", "rw"):
        return "access"
    if option in ("z", "Z"):
        return "label"
    if option in _PROPAGATIONS and kind == "bind":
        return "propagation"
    if option == "nocopy" and kind == "volume":
        return "copy"
    if option in ("consistent", "cached", "delegated"):
        return "consistency"
    return ""


def parse_tmpfs(text: str) -> dict[str, Any]:
    """Return the ContainerMount of one --tmpfs "path[:options]"; raises DaemonText."""
    target, _, options = text.partition(":")
    if not target.startswith("/"):
        raise DaemonText(f"invalid mount path: '{target}' mount path must be absolute")
    if os.path.normpath(target) in ("/", "//"):
        raise DaemonText("invalid specification: destination can't be '/'")
    return {"type": "tmpfs", "target": target, "options": options.split(",") if options else []}
