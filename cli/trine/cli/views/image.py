"""An image as ``docker image inspect`` shows it (engine 20.10)."""

from __future__ import annotations

from trine.cli.text.times import local_rfc3339_nano, rfc3339_nano
from trine.cli.text.values import GoMap
from trine.cli.views.container import health_check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.wire import Message


def _config(config: Message, image: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
    }
    if config.exposed_ports:
        found["ExposedPorts"] = GoMap({port: {} for port in sorted(config.exposed_ports)})
    found.update({"Tty": False, "OpenStdin": False, "StdinOnce": False})
    found["Env"] = list(config.env) or None
    found["Cmd"] = list(config.cmd) if config.cmd or config.cmd_set else None
    if "health_check" in config:
        found["Healthcheck"] = health_check(config.health_check)
    if config.args_escaped:
        found["ArgsEscaped"] = True
    found.update(
        {
            "Image": image,
            "Volumes": GoMap({path: {} for path in sorted(config.volumes)}) if config.volumes else None,
            "WorkingDir": config.working_dir,
            "Entrypoint": list(config.entrypoint) if config.entrypoint or config.entrypoint_set else None,
            "OnBuild": list(config.on_build) or None,
            "Labels": GoMap(sorted(config.labels.items())) if config.labels else None,
        }
    )
    if config.stop_signal:
        found["StopSignal"] = config.stop_signal
    if config.shell:
        found["Shell"] = list(config.shell)
    return found


def as_docker(image: Message) -> dict[str, Any]:
    """Return an image with Docker's keys, for inspection."""
    tagged = image.last_tagged_at_unix_nanos
    found: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.parent_id,
        "Comment": image.comment,
        "Created": rfc3339_nano(image.created_at_unix_nanos),
        "Container": image.container_id,
        "ContainerConfig": _config(image.container_config, image.parent_id),
        "DockerVersion": image.docker_version,
        "Author": image.author,
        "Config": _config(image.config, image.parent_id),
        "Architecture": image.architecture,
    }
    if image.variant:
        found["Variant"] = image.variant
    found.update(
        {
            "Os": image.os or "linux",
            "Size": image.size_bytes,
            "VirtualSize": image.size_bytes,
            "GraphDriver": {"Data": GoMap(), "Name": "overlay2"},
            "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
            "Metadata": {"LastTagTime": local_rfc3339_nano(tagged) if tagged else rfc3339_nano(0)},
        }
    )
    return found
