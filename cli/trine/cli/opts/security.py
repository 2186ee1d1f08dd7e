"""--security-opt."""

from __future__ import annotations

from trine.cli.opts.mounts import DaemonText

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # as strconv.ParseBool
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def apply_options(options: list[str], security: dict[str, Any]) -> list[str]:
    """Put options in a SecuritySpec; return them as inspection shows them.

    A seccomp profile is read here, from the file named. Raises ValueError, DaemonText for
    what Docker's daemon refuses.
    """
    shown: list[str] = []
    for option in options:
        name, equals, value = option.partition("=")
        if not equals and ":" in option:
            name, equals, value = option.partition(":")
        if not equals:
            if option != "no-new-privileges":
                raise ValueError(f'Invalid --security-opt: "{option}"')
            value = "true"
        if name == "systempaths" and value == "unconfined":
            security["unmask_system_paths"] = True
            continue  # not part of SecurityOpt, as with Docker
        if name == "no-new-privileges":
            if value not in _TRUE + _FALSE:
                raise DaemonText(f'invalid --security-opt 2: "{option}"')
            security["no_new_privileges"] = value in _TRUE
        elif name == "seccomp":
            security["seccomp_profile"] = value if value in ("unconfined", "builtin") else _profile(value)
            if value == "builtin":
                security["seccomp_profile"] = ""
        elif name == "apparmor":
            security["apparmor_profile"] = value
        elif name != "label":
            raise DaemonText(f'invalid --security-opt 2: "{option}"')
        shown.append(option)
    return shown


def _profile(path: str) -> str:
    import json

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ValueError(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from None
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from None
