"""What a request to create a container must be: refused here, before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from trine.kit import errors
from trine.runtime.json_log import parse_size
from trine.v1 import runtime_pb2

ID = re.compile(r"[0-9a-f]{64}")
_LIMITS = frozenset(
    (
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    )
)


def check_limit(name: str, soft: int, hard: int) -> None:
    """Refuse an unknown ulimit, or a soft one above the hard one. Raises InvalidArgumentError."""
    if name not in _LIMITS:
        raise errors.InvalidArgumentError(f"invalid ulimit type: {name}")
    if hard >= 0 and (soft > hard or soft < 0):
        raise errors.InvalidArgumentError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )


def check(request: runtime_pb2.CreateRuntimeContainerRequest) -> None:
    """Refuse what cannot be, before anything is made. Raises InvalidArgumentError."""
    if not ID.fullmatch(request.id):
        raise errors.InvalidArgumentError(f"invalid container id: {request.id!r}")
    if not request.process.args:
        raise errors.InvalidArgumentError("No command specified", reason="NO_COMMAND")
    if not request.HasField("root") and not request.root_path.startswith("/"):
        raise errors.InvalidArgumentError("root or an absolute root_path is needed")
    if request.HasField("root") and not request.root.lower_directories:
        raise errors.InvalidArgumentError("root needs a lower directory")
    if not (request.process.working_directory or "/").startswith("/"):
        raise errors.InvalidArgumentError(
            f"the working directory '{request.process.working_directory}' is invalid, it needs to be "
            "an absolute path"
        )
    for text in (*request.process.args, *request.process.env, request.process.working_directory):
        if "\0" in text:
            raise errors.InvalidArgumentError("a NUL byte in the command or its environment")
    if any(character in request.hostname + request.domainname for character in "\n\0 /"):
        raise errors.InvalidArgumentError(f"invalid hostname format: {request.hostname!r}")
    for mount in request.mounts:
        if not mount.target.startswith("/") or os.path.normpath(mount.target) == "/":
            raise errors.InvalidArgumentError(
                f"invalid mount config: invalid specification: destination can't be '{mount.target}'"
            )
        if mount.kind == runtime_pb2.MOUNT_KIND_BIND and not mount.source.startswith("/"):
            raise errors.InvalidArgumentError(
                f"invalid mount config: mount path must be absolute: {mount.source}"
            )
    names = [file.target.rpartition("/")[2] for file in request.managed_files]
    if len(set(names)) != len(names) or any(
        not name or name.startswith(".") or name.endswith((".json", ".log")) for name in names
    ):
        raise errors.InvalidArgumentError(f"invalid managed files: {', '.join(names)}")
    if not -1000 <= request.oom_score_adjustment <= 1000:
        raise errors.InvalidArgumentError(
            f"Invalid value {request.oom_score_adjustment}, range for oom score adj is [-1000, 1000]"
        )
    for limit in request.process.resource_limits:
        check_limit(limit.name, limit.soft, limit.hard)
    _check_log(request.log)


def _check_log(log: runtime_pb2.LogSpec) -> None:
    if log.driver not in ("", "json-file", "local", "none"):
        raise errors.InvalidArgumentError(
            f"logger: no log driver named '{log.driver}' is registered", reason="NO_SUCH_LOG_DRIVER"
        )
    wrong = _wrong_log_value(log.options)
    if wrong:
        raise errors.InvalidArgumentError(f"failed to initialize logging driver: {wrong}")


def _wrong_log_value(options: Mapping[str, str]) -> str:
    """Return what Docker's json-file driver says of its options' values, or ""."""
    size, files, compress = (options.get(name, "") for name in ("max-size", "max-file", "compress"))
    try:
        limit = parse_size(size)
    except ValueError:
        limit = -2
    if limit == -2 or size.startswith("-"):
        return f"invalid size: '{size}'"
    if files:
        if not files.isascii() or not files.removeprefix("-").isdigit():
            return f'strconv.Atoi: parsing "{files}": invalid syntax'
        if int(files) < 1:
            return "max-file cannot be less than 1"
    if compress:
        if compress not in _BOOLEANS:
            return f'strconv.ParseBool: parsing "{compress}": invalid syntax'
        if compress[0] in "1tT" and (limit <= 0 or int(files or 1) < 2):
            return "compress cannot be true when max-file is less than 2 or max-size is not set"
    return ""


_BOOLEANS = ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
