"""--gpus (docker/cli's opts/gpus.go)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parse_gpus(text: str) -> dict[str, Any]:
    """Return the DeviceRequest of "all", "2", "device=1", "all,capabilities=utility"; raises ValueError."""
    import csv

    request: dict[str, Any] = {"capabilities": ["gpu"]}
    seen: set[str] = set()
    for field in next(csv.reader([text]), []):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", key
        if key in seen:
            raise ValueError(f"gpu request key '{key}' can be specified only once")
        seen.add(key)
        if key == "driver":
            request["driver"] = value
        elif key == "count":
            request["count"] = _count(value)
        elif key == "device":
            request["device_ids"] = value.split(",")
        elif key == "capabilities":
            request["capabilities"] = [*value.split(","), "gpu"]
        elif key == "options":
            pairs = [pair.partition("=") for pair in next(csv.reader([value]), [])]
            request["options"] = {name: given for name, _, given in pairs}
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if "count" not in seen and "device" not in seen:
        request["count"] = 1
    return request


def _count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f'invalid count ({text}): value must be either "all" or an integer: invalid syntax'
        ) from None
