"""``trine create``: create a new container."""

from __future__ import annotations

from trine.cli.container_flags import CONTAINER_FLAGS
from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Create a new container",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    (
        *CONTAINER_FLAGS,
        (
            "",
            "pull",
            "string",
            'Pull image before creating ("always", "|missing", "never") (default "missing")',
        ),
    ),
    minimum=1,
    aliases=(
        "container create",
        "create",
    ),
    interspersed=False,
)


def run(app: App, values: Values) -> int:
    """Create a container and print its id; returns 0, raises Failure."""
    from trine.cli import container_config, creating
    from trine.cli.opts.mounts import DaemonText

    try:
        creating.check_pull(values)
        config = container_config.config_of(values)
    except (container_config.ConfigError, DaemonText) as error:
        raise container_config.fail(error, "create") from None
    print(creating.create(app, values, config))
    return 0
