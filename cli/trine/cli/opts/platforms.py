"""--platform of run and create (containerd/platforms, with its texts)."""

from __future__ import annotations

_SYSTEMS = ("linux", "windows", "darwin", "freebsd", "openbsd", "netbsd", "solaris", "android", "illumos")
_MACHINES = (
    "386", "amd64", "arm", "arm64", "ppc64le", "ppc64", "s390x", "riscv64", "mips", "mipsle", "mips64",
    "mips64le", "loong64",
)  # fmt: skip
_OTHER_NAMES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386",
    "armhf": "arm/v7", "armel": "arm/v6",
}  # fmt: skip


def normalised(text: str, machine: str) -> str:
    """Return "os/architecture[/variant]" of what the user wrote; ``machine`` is the host's architecture.

    Raises ValueError.
    """
    parts = [part.lower() for part in text.split("/")]
    if len(parts) == 1:
        name = _OTHER_NAMES.get(parts[0], parts[0])
        if name in _SYSTEMS:
            return f"{name}/{_OTHER_NAMES.get(machine, machine)}"
        if name.split("/")[0] in _MACHINES:
            return f"linux/{name}"
        raise ValueError(_wrong(text, "unknown operating system or architecture: invalid argument"))
    if len(parts) > 3 or not all(parts):
        raise ValueError(_wrong(text, "cannot parse platform specifier: invalid argument"))
    name = _OTHER_NAMES.get(parts[1], parts[1])
    variant = (
        "" if (name, parts[2:]) in (("arm64", ["v8"]), ("amd64", ["v1"])) else "/".join(["", *parts[2:]])
    )
    return f"{parts[0]}/{name}{variant}"


def _wrong(text: str, why: str) -> str:
    return f'error parsing specified platform: "{text}": {why}'
