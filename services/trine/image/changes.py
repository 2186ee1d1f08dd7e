"""--change of commit and import: a few Dockerfile instructions applied to a config."""

from __future__ import annotations

from typing import Any

from trine.image.build import dockerfile, instructions, run_config
from trine.kit.errors import InvalidArgumentError

_ALLOWED = frozenset(
    {
        "cmd",
        "entrypoint",
        "healthcheck",
        "env",
        "expose",
        "label",
        "onbuild",
        "stopsignal",
        "user",
        "volume",
        "workdir",
    }
)


def apply_changes(config: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Return the "config" object with all changes made. Raises InvalidArgumentError in Docker's words."""
    if not changes:
        return config
    result = run_config.from_json(config)
    try:
        parsed = dockerfile.parse("\n".join(changes).encode())
        for node in parsed.nodes:
            if node.name not in _ALLOWED:
                raise InvalidArgumentError(f"{node.name} is not a valid change command")
            _apply(result, instructions.read_instruction(node))
    except (dockerfile.DockerfileError, instructions.InstructionError) as error:
        raise InvalidArgumentError(str(error)) from None
    return {**config, **result.to_json()}


def _apply(config: run_config.RunConfig, item: instructions.Instruction) -> None:
    if isinstance(item, instructions.Env):
        for name, value in item.pairs:
            config.set_env(name, value)
    elif isinstance(item, instructions.Label):
        config.labels = {**(config.labels or {}), **dict(item.pairs)}
    elif isinstance(item, (instructions.Cmd, instructions.Entrypoint)):
        words = list(item.arguments)
        if item.in_shell:
            words = [*config.shell_words(), *words]
        if isinstance(item, instructions.Cmd):
            config.cmd = words
        else:
            config.entrypoint = words
    elif isinstance(item, instructions.Expose):
        config.exposed_ports |= {port if "/" in port else f"{port}/tcp" for port in item.ports}
    elif isinstance(item, instructions.Volume):
        config.volumes |= set(item.paths)
    elif isinstance(item, instructions.User):
        config.user = item.user
    elif isinstance(item, instructions.Workdir):
        base = "" if item.path.startswith("/") else config.working_dir or "/"
        config.working_dir = "/" + "/".join(part for part in f"{base}/{item.path}".split("/") if part)
    elif isinstance(item, instructions.StopSignal):
        config.stop_signal = item.signal
    elif isinstance(item, instructions.OnBuild):
        config.on_build = [*(config.on_build or []), item.expression]
    elif isinstance(item, instructions.HealthCheck):
        settings = item.settings
        described: dict[str, Any] = {"Test": list(settings.test)}
        for key, number in (
            ("Interval", settings.interval),
            ("Timeout", settings.timeout),
            ("StartPeriod", settings.start_period),
            ("Retries", settings.retries),
        ):
            if number:
                described[key] = number
        config.health_check = described
