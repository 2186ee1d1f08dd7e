"""Which containers use a volume, and its removal when none does."""

from __future__ import annotations

from trine.engine.core import Core


def users(core: Core, name: str) -> list[str]:
    """Return the ids of containers that mount a volume."""
    return [
        entry.id
        for entry in core.registry
        if any(point.type == "volume" and point.name == name for point in entry.container.mounts)
    ]


async def discard_volume(core: Core, name: str) -> bool:
    """Remove a volume when nobody uses it or is about to; tell whether it is gone."""
    if core.volumes.get(name) is None or users(core, name) or core.volumes.is_held(name):
        return False
    await core.volumes.delete(name)
    core.events.publish("volume", "destroy", name, {"driver": "local"})
    return True
