"""Every state, and what Docker says to what cannot happen in it."""

from __future__ import annotations

import pytest

from trine.engine.states import Event, StateError, Status, after, exec_refusal, has_process, is_up

UP = {Status.RUNNING, Status.PAUSED, Status.RESTARTING}
REMOVE = "Stop the container before attempting removal or force remove"


def test_which_are_up_and_which_have_a_process() -> None:
    assert {status for status in Status if is_up(status)} == UP
    assert {status for status in Status if has_process(status)} == {Status.RUNNING, Status.PAUSED}


@pytest.mark.parametrize(
    ("status", "event", "text"),
    [
        (Status.PAUSED, Event.START, "cannot start a paused container, try unpause instead"),
        (Status.REMOVING, Event.START, "container is marked for removal and cannot be started"),
        (Status.DEAD, Event.START, "container is marked for removal and cannot be started"),
        (Status.RUNNING, Event.START, "Container c is already running"),
        (Status.PAUSED, Event.PAUSE, "Container c is already paused"),
        (Status.RESTARTING, Event.PAUSE, "Container c is restarting, wait until the container is running"),
        (Status.EXITED, Event.PAUSE, "Container c is not running"),
        (Status.RUNNING, Event.UNPAUSE, "Container c is not paused"),
        (Status.RUNNING, Event.REMOVE, f"You cannot remove a running container c. {REMOVE}"),
        (Status.RESTARTING, Event.REMOVE, f"You cannot remove a restarting container c. {REMOVE}"),
        (
            Status.PAUSED,
            Event.REMOVE,
            "You cannot remove a paused container c. Unpause and then "
            "stop the container before attempting removal or force remove",
        ),
        (Status.CREATED, Event.EXIT, "Container c is not running"),
    ],
)
def test_what_cannot_happen_is_refused_in_dockers_words(status: Status, event: Event, text: str) -> None:
    with pytest.raises(StateError) as refused:
        after(status, event, "c")
    assert str(refused.value) == text


@pytest.mark.parametrize("status", [status for status in Status if status in UP])
def test_what_is_up_is_not_removed(status: Status) -> None:
    with pytest.raises(StateError):
        after(status, Event.REMOVE)


def test_where_a_command_can_be_executed() -> None:
    assert exec_refusal(Status.RUNNING, "id", "name") == ""
    assert exec_refusal(Status.PAUSED, "id", "name") == (
        "Container name is paused, unpause the container before exec"
    )
    assert "id is restarting" in exec_refusal(Status.RESTARTING, "id", "name")
    for status in (Status.CREATED, Status.EXITED, Status.DEAD, Status.REMOVING):
        assert exec_refusal(status, "id", "name") == "Container id is not running"
