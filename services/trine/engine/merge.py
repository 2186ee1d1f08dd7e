"""The effective configuration of a container: what was asked for over what the image says. Pure.

The rules are those of Docker's runconfig merge: a given entrypoint drops the image's command, image
variables follow the user's, ports, volumes and labels are united.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence

from trine.v1 import container_pb2, image_pb2

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHORT_ID_LENGTH = 12


def merge(
    requested: container_pb2.ContainerConfig, image: image_pb2.ImageConfig
) -> container_pb2.ContainerConfig:
    """Return the effective configuration; neither argument is changed."""
    result = container_pb2.ContainerConfig()
    result.CopyFrom(requested)
    if not requested.user:
        result.user = image.user
    if not requested.working_dir:
        result.working_dir = image.working_dir
    if not requested.stop_signal:
        result.stop_signal = image.stop_signal
    _command(result, requested, image)
    _environment(result, image)
    _append_new(result.exposed_ports, [_port(p) for p in image.exposed_ports])
    _append_new(result.anonymous_volumes, image.volumes)
    for key, value in image.labels.items():
        if key not in result.labels:
            result.labels[key] = value
    _health(result, requested, image)
    return result


def _command(
    result: container_pb2.ContainerConfig,
    requested: container_pb2.ContainerConfig,
    image: image_pb2.ImageConfig,
) -> None:
    if requested.entrypoint_set or requested.entrypoint:
        given = [] if list(requested.entrypoint) == [""] else list(requested.entrypoint)
        result.entrypoint[:] = given
        return
    result.entrypoint[:] = image.entrypoint
    if not requested.cmd:
        result.cmd[:] = image.cmd


def _environment(result: container_pb2.ContainerConfig, image: image_pb2.ImageConfig) -> None:
    names = {text.split("=", 1)[0] for text in result.env}
    result.env.extend(text for text in image.env if text.split("=", 1)[0] not in names)


def _port(text: str) -> str:
    return text if "/" in text else f"{text}/tcp"


def _append_new(target: MutableSequence[str], values: Iterable[str]) -> None:
    have = set(target)
    for value in values:
        if value not in have:
            have.add(value)
            target.append(value)


def _health(
    result: container_pb2.ContainerConfig,
    requested: container_pb2.ContainerConfig,
    image: image_pb2.ImageConfig,
) -> None:
    if not image.HasField("health_check"):
        return
    if not requested.HasField("health_check"):
        result.health_check.CopyFrom(image.health_check)
        return
    check, base = result.health_check, image.health_check
    if not check.test:
        check.test[:] = base.test
    for name in ("interval_nanos", "timeout_nanos", "start_period_nanos", "retries"):
        if not getattr(check, name):
            setattr(check, name, getattr(base, name))


def argv(config: container_pb2.ContainerConfig) -> list[str]:
    """Return the command line a container runs."""
    return [*config.entrypoint, *config.cmd]


def environment(
    config: container_pb2.ContainerConfig,
    extra: Iterable[str] = (),
    override: Iterable[str] = (),
    tty: bool | None = None,
) -> list[str]:
    """Return the complete environment: PATH, HOSTNAME, TERM with a terminal, links, then the container's.

    A later value replaces an earlier one in its place; a name without "=" takes a variable away.
    """
    values: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": config.hostname}
    if config.tty if tty is None else tty:
        values["TERM"] = "xterm"
    for text in [*extra, *config.env, *override]:
        name, separator, value = text.partition("=")
        if separator:
            values[name] = value
        else:
            values.pop(name, None)
    return [f"{name}={value}" for name, value in values.items()]


def image_config(config: container_pb2.ContainerConfig) -> image_pb2.ImageConfig:
    """Return what an image committed from a container says."""
    result = image_pb2.ImageConfig(
        user=config.user,
        env=config.env,
        entrypoint=config.entrypoint,
        cmd=config.cmd,
        working_dir=config.working_dir,
        labels=dict(config.labels),
        exposed_ports=config.exposed_ports,
        volumes=config.anonymous_volumes,
        stop_signal=config.stop_signal,
        entrypoint_set=config.entrypoint_set or bool(config.entrypoint),
        cmd_set=bool(config.cmd),
    )
    if config.HasField("health_check"):
        result.health_check.CopyFrom(config.health_check)
    return result
