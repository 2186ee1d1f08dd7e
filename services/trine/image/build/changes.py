"""--change of commit and import: Dockerfile instructions applied to a config. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.image.build.apply import ConfigState, apply, expand_variables
from trine.image.build.dockerfile import DockerfileError, parse
from trine.image.build.instructions import InstructionError, read_instruction
from trine.image.build.run_config import from_json
from trine.image.build.shell_words import ExpansionError
from trine.kit.errors import InvalidArgumentError

# Docker's list (builder/dockerfile, validCommitCommands).
_ALLOWED = frozenset(
    {"cmd", "entrypoint", "healthcheck", "env", "expose", "label", "onbuild", "user", "volume", "workdir"}
)


def apply_changes(config: dict[str, Any] | None, changes: Sequence[str]) -> dict[str, Any]:
    """Return a new "config" object of an image JSON with the changes applied, in order.

    Variables are expanded from the environment the config has at that point. Raises
    InvalidArgumentError with Docker's words; the given config is never changed.
    """
    state = ConfigState(from_json(config))
    if not changes:
        return dict(config or {})
    try:
        dockerfile = parse("\n".join(changes).encode())
        for node in dockerfile.nodes:
            if node.name not in _ALLOWED:
                raise InstructionError(f"{node.name} is not a valid change command")
        steps = [read_instruction(node) for node in dockerfile.nodes]
        for step in steps:
            apply(expand_variables(step, state.config.variables(), dockerfile.escape), state)
    except (DockerfileError, InstructionError, ExpansionError) as error:
        raise InvalidArgumentError(str(error), reason="INVALID_CHANGE") from None
    return {**(config or {}), **state.config.to_json()}
