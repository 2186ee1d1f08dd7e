"""Profiles in Docker's format (moby profiles/seccomp) to an OCI linux.seccomp (runtime-spec config-linux.md).

Docker's format adds conditions an OCI runtime does not know: ``archMap``, and ``includes`` and
``excludes`` by capability, architecture and kernel version. They are decided here. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from trine.runtime.seccomp_default import PROFILE as DEFAULT

__all__ = ["DEFAULT", "ProfileError", "parse", "resolve"]

ACTIONS = frozenset(
    {
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_LOG",
    }
)
OPERATORS = frozenset(
    {
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    }
)
# uname -m → (the native token of libseccomp, the name Docker's conditions use)
_MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "i686": ("SCMP_ARCH_X86", "x86"),
    "i386": ("SCMP_ARCH_X86", "x86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", "arm"),
}


class ProfileError(ValueError):
    """A profile that cannot be used; one line in Docker's words."""


def parse(text: str) -> dict[str, Any]:
    """Return a profile given as JSON text, after checking all that ``resolve`` relies on.

    Raises:
        ProfileError: not JSON, not an object, unknown action or operator, a key of another type.
    """
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(profile, dict):
        raise ProfileError("Decoding seccomp profile failed: not a JSON object")
    try:
        _check(profile)
    except ProfileError:
        raise
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise ProfileError(f"Decoding seccomp profile failed: {error}") from None
    return profile


def resolve(
    profile: Mapping[str, Any], capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return the OCI linux.seccomp a profile means for one container on one host.

    Args:
        profile: in Docker's or in OCI's format.
        capabilities: full names the process will have.
        machine: uname -m.
        kernel: (major, minor).

    Raises:
        ProfileError: two ways of saying one thing, in Docker's words.
    """
    native, arch = _MACHINES.get(machine, ("", machine))
    result: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    for key in ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"):
        if profile.get(key) is not None:
            result[key] = profile[key]
    architectures = list(profile.get("architectures") or ())
    if profile.get("archMap"):
        if architectures:
            raise ProfileError(
                "'architectures' and 'archMap' were specified in the seccomp profile, "
                "use either 'architectures' or 'archMap'"
            )
        for entry in profile["archMap"]:
            if entry["architecture"] == native:
                architectures = [native, *(entry.get("subArchitectures") or ())]
                break
    result["architectures"] = architectures
    result["syscalls"] = [
        _plain(call)
        for call in profile.get("syscalls") or ()
        if _applies(call.get("includes") or {}, call.get("excludes") or {}, capabilities, arch, kernel)
    ]
    return result


def _plain(call: Mapping[str, Any]) -> dict[str, Any]:
    name, names = call.get("name"), call.get("names")
    if name and names:
        raise ProfileError(
            "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'"
        )
    result: dict[str, Any] = {"names": list(names or ([name] if name else ())), "action": call["action"]}
    if call.get("errnoRet") is not None:
        result["errnoRet"] = call["errnoRet"]
    if call.get("args"):
        result["args"] = [dict(argument) for argument in call["args"]]
    return result


def _applies(
    includes: Mapping[str, Any],
    excludes: Mapping[str, Any],
    capabilities: Collection[str],
    arch: str,
    kernel: tuple[int, int],
) -> bool:
    if excludes.get("arches") and arch in excludes["arches"]:
        return False
    if any(name in capabilities for name in excludes.get("caps") or ()):
        return False
    if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if not all(name in capabilities for name in includes.get("caps") or ()):
        return False
    return not (includes.get("minKernel") and kernel < _version(includes["minKernel"]))


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor)
    except ValueError:
        raise ProfileError(f"invalid kernel version: {text}") from None


def _check(profile: dict[str, Any]) -> None:
    _action(profile.get("defaultAction", ""))
    _number(profile.get("defaultErrnoRet"), 0xFFFF)
    for call in profile.get("syscalls") or ():
        _action(call.get("action", ""))
        _number(call.get("errnoRet"), 0xFFFF)
        for name in [*(call.get("names") or ()), *([call["name"]] if call.get("name") else ())]:
            if not isinstance(name, str):
                raise ProfileError("Decoding seccomp profile failed: a system call's name must be a string")
        for argument in call.get("args") or ():
            if argument["op"] not in OPERATORS:
                raise ProfileError(f"invalid seccomp operator: {argument['op']}")
            if _number(argument["index"], 5) is None:
                raise ProfileError("Decoding seccomp profile failed: an argument without index")
            _number(argument.get("value"), (1 << 64) - 1)
            _number(argument.get("valueTwo"), (1 << 64) - 1)
        for condition in (call.get("includes") or {}, call.get("excludes") or {}):
            if condition.get("minKernel"):
                _version(condition["minKernel"])
    for entry in profile.get("archMap") or ():
        entry["architecture"]


def _action(action: object) -> None:
    if action not in ACTIONS:
        raise ProfileError(f"invalid seccomp action: {action}" if action else "missing seccomp action")


def _number(value: object, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ProfileError(f"Decoding seccomp profile failed: {value!r} is not a number from 0 to {most}")
    return value
