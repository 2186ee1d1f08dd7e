"""Creating a container for ``run`` and ``create``: pulling on demand, warnings, the cid file."""

from __future__ import annotations

import os
import sys

from trine.cli.app import warn
from trine.cli.failure import Failure
from trine.cli.opts import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.app import App
    from trine.cli.flags import Values


def check_pull(values: Values) -> None:
    """Refuse an unknown --pull; raises ConfigError."""
    from trine.cli.container_config import ConfigError

    if values["pull"] not in ("always", "missing", "never", ""):
        raise ConfigError(
            f'invalid pull option: \'{values["pull"]}\': must be one of "always", "missing" or "never"'
        )


def create(app: App, values: Values, config: dict[str, Any]) -> str:
    """Create the container and return its id, pulling the image when --pull says so.

    Raises Failure: for a wrong reference, a cid file that is there already, or of the daemon.
    """
    from trine.cli.client import DaemonError

    cid_file = values["cidfile"]
    if cid_file and os.path.exists(cid_file):
        raise Failure(
            f"container ID file found, make sure the other container isn't running or delete {cid_file}"
        )
    image = values.arguments[0]
    wrong = references.valid(image)
    if wrong and not references.is_id(image):
        raise Failure(wrong)
    if values["platform"]:
        from trine.cli.opts.platforms import normalised

        try:
            config["platform"] = normalised(values["platform"], os.uname().machine)
        except ValueError as error:
            raise Failure(str(error)) from None
    for server in config.get("dns_servers", ()):
        if server.startswith("127.") or server == "::1":
            warn(f"WARNING: Localhost DNS setting (--dns={server}) may fail in containers.")
    request = {"name": values["name"], "config": config}
    policy = values["pull"]
    if policy == "always":
        _pull(app, values)
    try:
        answer = app.client.call("ContainerService.CreateContainer", request)
    except DaemonError as error:
        if error.reason != "NO_SUCH_IMAGE" or policy not in ("missing", ""):
            raise
        if not values["quiet"]:
            warn(f"Unable to find image '{references.familiar(values.arguments[0])}' locally")
        _pull(app, values)
        answer = app.client.call("ContainerService.CreateContainer", request)
    for warning in answer.warnings:
        warn(f"WARNING: {warning}")
    identifier = str(answer.id)
    if cid_file:
        try:
            with open(cid_file, "x", encoding="ascii") as file:
                file.write(identifier)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise Failure(f"failed to create the container ID file: open {cid_file}: {reason}") from None
    return identifier


def _pull(app: App, values: Values) -> None:
    from trine.cli.pulling import pull

    pull(app, values.arguments[0], platform=values["platform"], quiet=values["quiet"], out=sys.stderr)
