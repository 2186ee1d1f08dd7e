"""``trine version``: show the versions of client and server."""

from __future__ import annotations

import sys

from trine.cli.failure import Failure
from trine.cli.flags import OBJECT_FORMAT, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.app import App
    from trine.cli.flags import Values
    from trine.cli.wire import Message

SPEC = Spec(
    "Show the Trine version information",
    "[OPTIONS]",
    (
        (
            "f",
            "format",
            "string",
            OBJECT_FORMAT,
        ),
    ),
    minimum=0,
    maximum=0,
)
_WIDTH = 18


def client_block() -> dict[str, Any]:
    """Return what is known of this client, with Docker's keys."""
    import os

    from trine.cli import build_stamp, main

    machine = os.uname().machine
    return {
        "Version": main.VERSION,
        "ApiVersion": "v1",
        "DefaultAPIVersion": "v1",
        "PythonVersion": sys.version.split()[0],
        "GitCommit": build_stamp.COMMIT,
        "BuildTime": build_stamp.TIME,
        "Os": "linux",
        "Arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "Context": "default",
    }


def server_block(answer: Message) -> dict[str, Any]:
    """Return GetVersion's answer with Docker's keys."""
    return {
        "Platform": {"Name": "Trine Engine - Community"},
        "Components": [
            {"Name": part.name, "Version": part.version, "Details": dict(part.details)}
            for part in answer.components
        ],
        "Version": answer.version,
        "ApiVersion": answer.api_version,
        "MinAPIVersion": answer.minimum_api_version,
        "GitCommit": answer.git_commit,
        "PythonVersion": answer.python_version,
        "Os": answer.os,
        "Arch": answer.architecture,
        "KernelVersion": answer.kernel_version,
        "Experimental": answer.experimental,
        "BuildTime": answer.build_time,
    }


def _line(name: str, value: str, indent: int = 1) -> str:
    return f"{' ' * indent}{name}:".ljust(_WIDTH + indent) + f"{value}\n"


def client_text(block: dict[str, Any]) -> str:
    """Return the client's part of the page."""
    return (
        "Client:\n"
        + _line("Version", block["Version"])
        + _line("API version", block["ApiVersion"])
        + _line("Python version", block["PythonVersion"])
        + _line("Git commit", block["GitCommit"])
        + _line("Built", block["BuildTime"])
        + _line("OS/Arch", f"{block['Os']}/{block['Arch']}")
        + _line("Context", block["Context"])
    )


def server_text(block: dict[str, Any]) -> str:
    """Return the server's part of the page."""
    text = (
        "\nServer:\n Engine:\n"
        + _line("Version", block["Version"], 2)
        + _line("API version", f"{block['ApiVersion']} (minimum version {block['MinAPIVersion']})", 2)
        + _line("Python version", block["PythonVersion"], 2)
        + _line("Git commit", block["GitCommit"], 2)
        + _line("Built", block["BuildTime"], 2)
        + _line("OS/Arch", f"{block['Os']}/{block['Arch']}", 2)
        + _line("Experimental", "true" if block["Experimental"] else "false", 2)
    )
    for part in block["Components"]:
        if part["Name"] == "Engine":
            continue
        text += f" {part['Name']}:\n" + _line("Version", part["Version"], 2)
        for key, value in sorted(part["Details"].items()):
            text += _line(key, value, 2)
    return text


def run(app: App, values: Values) -> int:
    """Print both blocks; returns 0, 1 without a server. Raises Failure."""
    client = client_block()
    failure: Failure | None = None
    server: dict[str, Any] | None = None
    try:
        server = server_block(app.client.call("SystemService.GetVersion"))
    except Failure as error:
        failure = error
    form = values["format"]
    if form:
        from trine.cli.text.single import render
        from trine.cli.text.values import Struct

        render(form, Struct("system.versionInfo", {"Client": client, "Server": server}), "version")
    else:
        sys.stdout.write(client_text(client) + (server_text(server) if server else ""))
    if failure is not None:
        raise failure
    return 0
