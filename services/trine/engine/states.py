"""The states of a container and the ways between them. Pure.

The states and their names are Docker's (State.Status); `StateError` messages are its texts.
"""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """Where a container is; the value is the word people see."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Event(Enum):
    """What happens to a container."""

    START = "start"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    EXIT = "exit"
    EXIT_AND_RESTART = "exit and restart"
    GIVE_UP_RESTART = "give up restart"
    REMOVE = "remove"
    REMOVE_FAILED = "remove failed"


class StateError(Exception):
    """The event cannot happen in that state; the message is for the user."""


_WAYS: dict[tuple[Status, Event], Status] = {
    (Status.CREATED, Event.START): Status.RUNNING,
    (Status.EXITED, Event.START): Status.RUNNING,
    (Status.RESTARTING, Event.START): Status.RUNNING,
    (Status.RUNNING, Event.PAUSE): Status.PAUSED,
    (Status.PAUSED, Event.UNPAUSE): Status.RUNNING,
    (Status.RUNNING, Event.EXIT): Status.EXITED,
    (Status.PAUSED, Event.EXIT): Status.EXITED,
    (Status.RUNNING, Event.EXIT_AND_RESTART): Status.RESTARTING,
    (Status.PAUSED, Event.EXIT_AND_RESTART): Status.RESTARTING,
    (Status.RESTARTING, Event.GIVE_UP_RESTART): Status.EXITED,
    (Status.CREATED, Event.REMOVE): Status.REMOVING,
    (Status.EXITED, Event.REMOVE): Status.REMOVING,
    (Status.DEAD, Event.REMOVE): Status.REMOVING,
    (Status.REMOVING, Event.REMOVE): Status.REMOVING,
    (Status.REMOVING, Event.REMOVE_FAILED): Status.DEAD,
}


def is_up(status: Status) -> bool:
    """Tell whether Docker calls it running: running, paused, or between two runs."""
    return status in (Status.RUNNING, Status.PAUSED, Status.RESTARTING)


def has_process(status: Status) -> bool:
    """Tell whether there is a process now."""
    return status in (Status.RUNNING, Status.PAUSED)


def refusal(status: Status, event: Event, container_id: str) -> str:
    """Return Docker's text for an event that cannot happen in a state."""
    if event is Event.START:
        if status is Status.PAUSED:
            return "cannot start a paused container, try unpause instead"
        if status in (Status.REMOVING, Status.DEAD):
            return "container is marked for removal and cannot be started"
        return f"Container {container_id} is already running"
    if event is Event.PAUSE:
        if status is Status.PAUSED:
            return f"Container {container_id} is already paused"
        if status is Status.RESTARTING:
            return f"Container {container_id} is restarting, wait until the container is running"
        return f"Container {container_id} is not running"
    if event is Event.UNPAUSE:
        return f"Container {container_id} is not paused"
    if event is Event.REMOVE and is_up(status):
        advice = "Stop the container before attempting removal or force remove"
        if status is Status.PAUSED:
            advice = f"Unpause and then {advice.lower()}"
        return f"You cannot remove a {status.value} container {container_id}. {advice}"
    return f"Container {container_id} is not running"


def after(status: Status, event: Event, container_id: str = "") -> Status:
    """Return the state after an event; raises StateError with Docker's text when it cannot happen."""
    found = _WAYS.get((status, event))
    if found is None:
        raise StateError(refusal(status, event, container_id))
    return found


def exec_refusal(status: Status, container_id: str, named: str) -> str:
    """Return why nothing can be executed in a container in that state, or "".

    ``named`` is what the user called it.
    """
    if status is Status.PAUSED:
        return f"Container {named} is paused, unpause the container before exec"
    if status is Status.RESTARTING:
        return f"Container {container_id} is restarting, wait until the container is running"
    if status is not Status.RUNNING:
        return f"Container {container_id} is not running"
    return ""
