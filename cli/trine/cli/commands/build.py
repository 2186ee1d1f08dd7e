"""``trine build``: build an image from a Dockerfile."""

from __future__ import annotations

import os

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.app import App
    from trine.cli.context.source import Source
    from trine.cli.flags import Values

SPEC = Spec(
    "Build an image from a Dockerfile",
    "[OPTIONS] PATH | URL | -",
    (
        ("", "add-host", "list", 'Add a custom host-to-IP mapping ("host:ip")', "hosts:check_host"),
        ("", "build-arg", "list", "Set build-time variables", "env:check_env"),
        ("", "cache-from", "strings", "Images to consider as cache sources"),
        ("", "cgroup-parent", "string", 'Set the parent cgroup for the "RUN" instructions during build'),
        ("", "compress", "", "Compress the build context using gzip"),
        ("", "cpu-period", "int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
        ("", "cpu-quota", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
        ("c", "cpu-shares", "int", "CPU shares (relative weight)"),
        ("", "cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
        ("", "cpuset-mems", "string", "MEMs in which to allow execution (0-3, 0,1)"),
        ("", "disable-content-trust", "", "Skip image verification (default true)"),
        ("f", "file", "string", 'Name of the Dockerfile (Default is "PATH/Dockerfile")'),
        ("", "force-rm", "", "Always remove intermediate containers"),
        ("", "iidfile", "string", "Write the image ID to the file"),
        ("", "isolation", "string", "Container isolation technology"),
        ("", "label", "list", "Set metadata for an image", "labels:check_label"),
        ("m", "memory", "bytes", "Memory limit"),
        (
            "",
            "memory-swap",
            "bytes",
            "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
            "sizes:swap_bytes",
        ),
        (
            "",
            "network",
            "string",
            'Set the networking mode for the RUN instructions during build (default "default")',
        ),
        ("", "no-cache", "", "Do not use cache when building the image"),
        ("", "platform", "string", "Set platform if server is multi-platform capable"),
        ("", "pull", "", "Always attempt to pull a newer version of the image"),
        ("q", "quiet", "", "Suppress the build output and print image ID on success"),
        ("", "rm", "", "Remove intermediate containers after a successful build (default true)"),
        ("", "security-opt", "strings", "Security options"),
        ("", "shm-size", "bytes", 'Size of "/dev/shm"'),
        ("", "squash", "", "Squash newly built layers into a single new layer"),
        (
            "t",
            "tag",
            "list",
            'Name and optionally a tag in the "name:tag" format',
            "references:check_tag",
        ),
        ("", "target", "string", "Set the target build stage to build."),
        ("", "ulimit", "ulimit", "Ulimit options (default [])"),
    ),
    minimum=1,
    maximum=1,
    aliases=(
        "image build",
        "build",
        "builder build",
    ),
)


def run(app: App, values: Values) -> int:
    """Build an image; returns the exit status, raises Failure."""
    from trine.cli.client import DaemonError
    from trine.cli.context.source import open_source
    from trine.cli.failure import Failure
    from trine.cli.screen import Screen

    if values["isolation"] not in ("", "default"):
        raise Failure(f'Error response from daemon: Unsupported isolation: "{values["isolation"]}"')
    if values["security-opt"]:
        raise Failure(
            "Error response from daemon: The daemon on this platform does not support setting security "
            "options on build"
        )
    source = open_source(values.arguments[0], values["file"])
    if values["iidfile"] and os.path.exists(values["iidfile"]):
        os.unlink(values["iidfile"])
    call = app.client.start("ImageService.BuildImage")
    call.send({"options": _options(app, values, source)})
    screen = Screen(quiet=values["quiet"])
    if screen.sending(source, call):
        call.send({"context_done": True}, end=True)
    try:
        identifier = screen.show(call)
    except DaemonError as error:
        screen.reveal()
        if error.reason == "BUILD_FAILED":
            code = error.metadata.get("exit_code", "1")
            raise Failure(error.daemon_message, int(code) if code.isdigit() else 1) from None
        raise
    if values["quiet"]:
        print(identifier)
    if values["iidfile"]:
        _write_id(values["iidfile"], identifier)
    return 0


def _options(app: App, values: Values, source: Source) -> dict[str, Any]:
    from trine.cli.opts.labels import to_map

    limits = {
        "memory_bytes": values["memory"],
        "memory_swap_bytes": values["memory-swap"],
        "cpu_shares": values["cpu-shares"],
        "cpu_period_micros": values["cpu-period"],
        "cpu_quota_micros": values["cpu-quota"],
        "cpuset_cpus": values["cpuset-cpus"],
        "cpuset_mems": values["cpuset-mems"],
    }
    arguments = [text for text in values["build-arg"] if "=" in text]
    unset = [text for text in values["build-arg"] if "=" not in text]
    return {
        "dockerfile": source.dockerfile,
        "tags": values["tag"],
        "build_args": to_map(arguments),
        "labels": to_map(values["label"]),
        "target": values["target"],
        "no_cache": values["no-cache"],
        "pull": values["pull"],
        "unset_build_args": unset,
        "keep_containers_on_failure": not values["rm"] and not values["force-rm"],
        "force_rm": values["force-rm"],
        "network_mode": values["network"],
        "platform": values["platform"],
        "cache_from": values["cache-from"],
        "auths": app.config.auths(),
        "squash": values["squash"],
        "resources": {name: value for name, value in limits.items() if value},
        "extra_hosts": values["add-host"],
        "shm_size_bytes": values["shm-size"],
        "ulimits": [f"{limit['name']}={limit['soft']}:{limit['hard']}" for limit in values["ulimit"]],
        "cgroup_parent": values["cgroup-parent"],
        "dockerfile_content": source.content,
    }


def _write_id(path: str, identifier: str) -> None:
    from trine.cli.failure import Failure

    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(identifier)
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None
