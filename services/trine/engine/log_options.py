"""--log-driver and --log-opt: what is refused, and what goes into every line of the log. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trine.kit.errors import InvalidArgumentError
from trine.v1 import container_pb2

_COMMON = ("mode", "max-buffer-size")  # of every driver
_CHOOSING = ("labels", "labels-regex", "env", "env-regex", "tag")
_KNOWN = {
    "json-file": ("max-size", "max-file", "compress", *_CHOOSING),
    "local": ("max-size", "max-file", "compress"),
    "none": None,
}
_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


def check(driver: str, options: Mapping[str, str]) -> None:
    """Refuse a driver or option there is not, in Docker's words; the values are the runtime's to check.

    Raises InvalidArgumentError.
    """
    driver = driver or "json-file"
    if driver not in _KNOWN:
        raise InvalidArgumentError(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidArgumentError(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options and mode != "non-blocking":
        raise InvalidArgumentError(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        )
    for name in options:
        known = _KNOWN[driver]
        if name not in _COMMON and known is not None and name not in known:
            raise InvalidArgumentError(f"unknown log opt '{name}' for {driver} log driver")
    for name in ("labels-regex", "env-regex"):
        try:
            re.compile(options.get(name, ""))
        except re.error as error:
            text = f"error parsing regexp: {error}: `{options[name]}`".replace("\n", "\\n")
            raise InvalidArgumentError(text) from None


def attributes(config: container_pb2.ContainerConfig, container_id: str, name: str) -> dict[str, str]:
    """Return what the options choose of labels and environment, and the tag (Docker's attrs)."""
    options = config.log.options
    variables = dict(text.partition("=")[::2] for text in config.env if "=" in text)
    chosen: dict[str, str] = {}
    for values, names, pattern in (
        (config.labels, options.get("labels", ""), options.get("labels-regex", "")),
        (variables, options.get("env", ""), options.get("env-regex", "")),
    ):
        wanted = set(names.split(","))
        for key, value in values.items():
            if key in wanted or (pattern and re.search(pattern, key)):
                chosen[key] = value
    if options.get("tag"):
        fields = {
            "ID": container_id[:12],
            "FullID": container_id,
            "Name": name,
            "ImageName": config.image,
            "DaemonName": "trine",
        }
        chosen["tag"] = _FIELD.sub(lambda found: fields.get(found[1], found[0]), options["tag"])
    return chosen
