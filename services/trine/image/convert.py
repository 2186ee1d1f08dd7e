"""Records and image JSON to messages and back."""

from __future__ import annotations

from typing import Any

from trine.image import reference, spec
from trine.image.models import Credentials, Image, LayerStatus, Line, Snapshot
from trine.v1 import image_pb2 as pb


def familiar(canonical: str) -> str:
    """Return the familiar form of a canonical name."""
    return reference.parse_canonical(canonical).familiar


def _integer(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else 0


def config_message(config: dict[str, Any] | None) -> pb.ImageConfig:
    """Return the message of a config's "config" object (validated by spec.parse_config)."""
    config = config or {}
    message = pb.ImageConfig(
        user=config.get("User") or "",
        env=config.get("Env") or [],
        entrypoint=config.get("Entrypoint") or [],
        cmd=config.get("Cmd") or [],
        working_dir=config.get("WorkingDir") or "",
        labels=config.get("Labels") or {},
        exposed_ports=sorted(config.get("ExposedPorts") or {}),
        volumes=sorted(config.get("Volumes") or {}),
        stop_signal=config.get("StopSignal") or "",
        shell=config.get("Shell") or [],
        on_build=config.get("OnBuild") or [],
        entrypoint_set=config.get("Entrypoint") is not None,
        cmd_set=config.get("Cmd") is not None,
        args_escaped=bool(config.get("ArgsEscaped")),
    )
    health = config.get("Healthcheck")
    if isinstance(health, dict) and isinstance(health.get("Test"), list):
        message.health_check.CopyFrom(
            pb.HealthCheck(
                test=[item for item in health["Test"] if isinstance(item, str)],
                interval_nanos=_integer(health.get("Interval")),
                timeout_nanos=_integer(health.get("Timeout")),
                start_period_nanos=_integer(health.get("StartPeriod")),
                retries=max(0, min(_integer(health.get("Retries")), 1 << 30)),
            )
        )
    return message


def config_json(message: pb.ImageConfig) -> dict[str, Any]:
    """Return the "config" object of an image JSON, with the keys Docker writes."""
    config: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": message.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
    }
    if message.exposed_ports:
        config["ExposedPorts"] = {port: {} for port in message.exposed_ports}
    config |= {
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": list(message.env) or None,
        "Cmd": list(message.cmd) if message.cmd or message.cmd_set else None,
    }
    if message.HasField("health_check") and message.health_check.test:
        health = message.health_check
        described: dict[str, Any] = {"Test": list(health.test)}
        for key, value in (
            ("Interval", health.interval_nanos),
            ("Timeout", health.timeout_nanos),
            ("StartPeriod", health.start_period_nanos),
            ("Retries", health.retries),
        ):
            if value:
                described[key] = value
        config["Healthcheck"] = described
    if message.args_escaped:
        config["ArgsEscaped"] = True
    config |= {
        "Image": "",
        "Volumes": {path: {} for path in message.volumes} or None,
        "WorkingDir": message.working_dir,
        "Entrypoint": list(message.entrypoint) if message.entrypoint or message.entrypoint_set else None,
        "OnBuild": list(message.on_build) or None,
        "Labels": dict(message.labels) or None,
    }
    if message.stop_signal:
        config["StopSignal"] = message.stop_signal
    if message.shell:
        config["Shell"] = list(message.shell)
    return config


def image_message(image: Image) -> pb.Image:
    """Return the message of an image, names familiar."""
    config = image.config
    message = pb.Image(
        id=image.id,
        repo_tags=[familiar(name) for name in image.tags],
        repo_digests=[familiar(name) for name in image.digests],
        parent_id=image.parent,
        comment=_text(config.get("comment")),
        author=_text(config.get("author")),
        architecture=_text(config.get("architecture")),
        variant=_text(config.get("variant")),
        os=_text(config.get("os")) or "linux",
        created_at_unix_nanos=image.created_nanos,
        size_bytes=image.size,
        config=config_message(config.get("config")),
        diff_ids=image.diff_ids,
        manifest_digest=image.manifest_digest,
        last_tagged_at_unix_nanos=image.tagged_nanos,
        container_id=_text(config.get("container")),
        docker_version=_text(config.get("docker_version")),
        containers=-1,
    )
    if config.get("container_config"):
        message.container_config.CopyFrom(config_message(config["container_config"]))
    if not image.config.get("comment"):
        history = config.get("history") or []
        if history and isinstance(history[-1].get("comment"), str):
            message.comment = history[-1]["comment"]
    return message


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def snapshot_message(snapshot: Snapshot) -> pb.Snapshot:
    """Return the message of a snapshot."""
    return pb.Snapshot(
        key=snapshot.key,
        image_id=snapshot.image_id,
        mount=pb.OverlayMount(
            lower_directories=[str(path) for path in snapshot.lower],
            upper_directory=str(snapshot.upper),
            work_directory=str(snapshot.work),
        ),
        created_at_unix_nanos=snapshot.created_nanos,
    )


def layer_message(status: LayerStatus) -> pb.LayerProgress:
    """Return the message of a layer's progress."""
    return pb.LayerProgress(
        id=status.id, status=status.status, current_bytes=status.current, total_bytes=status.total
    )


def credentials(auth: pb.RegistryAuth) -> Credentials:
    """Return the credentials of a request (falsy when it has none)."""
    return Credentials(auth.server_address, auth.username, auth.password, auth.identity_token)


def pull_event(event: Line | LayerStatus) -> pb.PullImageResponse:
    """Return the stream message of a pull's progress."""
    if isinstance(event, Line):
        return pb.PullImageResponse(line=event.text)
    return pb.PullImageResponse(layer=layer_message(event))


def push_event(event: Line | LayerStatus) -> pb.PushImageResponse:
    """Return the stream message of a push's progress."""
    if isinstance(event, Line):
        return pb.PushImageResponse(line=event.text)
    return pb.PushImageResponse(layer=layer_message(event))


def history_entries(
    image: Image, chain: list[tuple[str, tuple[str, ...]]], sizes: dict[str, int]
) -> list[pb.ImageHistoryEntry]:
    """Return docker history, newest first.

    ``chain`` is (id, tags) of the image and of the ancestors it has here; entries beyond have the id
    "<missing>". ``sizes`` is by diff id.
    """
    entries: list[pb.ImageHistoryEntry] = []
    position = 0
    for item in image.config.get("history") or []:
        size = 0
        if not item.get("empty_layer") and position < len(image.diff_ids):
            size = sizes.get(image.diff_ids[position], 0)
            position += 1
        entries.append(
            pb.ImageHistoryEntry(
                id="<missing>",
                created_at_unix_nanos=spec.parse_time(item.get("created")),
                created_by=_text(item.get("created_by")),
                comment=_text(item.get("comment")),
                size_bytes=size,
            )
        )
    entries.reverse()
    for entry, (image_id, tags) in zip(entries, chain, strict=False):
        entry.id = image_id
        entry.tags.extend(familiar(tag) for tag in tags)
    return entries
