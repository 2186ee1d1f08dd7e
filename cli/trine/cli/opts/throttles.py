"""--device-read-bps and its like, --blkio-weight-device (docker/cli's opts, with its texts)."""

from __future__ import annotations


def _split(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not value or ":" in value:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def bytes_a_second(text: str) -> dict[str, str | int]:
    """Return the DeviceRate of "/dev/sda:1mb"; raises ValueError."""
    from trine.cli.opts.sizes import flag_bytes

    path, value = _split(text)
    try:
        return {"path": path, "rate": flag_bytes(value)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. "
            "Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ) from None


def operations_a_second(text: str) -> dict[str, str | int]:
    """Return the DeviceRate of "/dev/sda:100"; raises ValueError."""
    path, value = _split(text)
    if not (value.isascii() and value.isdigit()):
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>. "
            "Number must be a positive integer"
        )
    return {"path": path, "rate": int(value)}


def weight(text: str) -> dict[str, str | int]:
    """Return the DeviceRate, whose rate is a weight, of "/dev/sda:100"; raises ValueError."""
    path, value = _split(text)
    good = value.isascii() and value.isdigit() and (int(value) == 0 or 10 <= int(value) <= 1000)
    if not good:
        raise ValueError(f"invalid weight for device: {text}")
    return {"path": path, "rate": int(value)}
