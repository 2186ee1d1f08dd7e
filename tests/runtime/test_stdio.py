"""The streams of a process in a shim: several clients, slow ones, ones that go. No shim, no container."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from trine.runtime.reactor import Reactor
from trine.runtime.stdio import Client, Stdio


class Rig:
    """A Stdio over pipes; the test is the process and the clients."""

    def __init__(self, once: bool) -> None:
        self.reactor = Reactor()
        out, self.process_out = os.pipe()
        self.process_in, stdin = os.pipe()
        self.stdio = Stdio(self.reactor, {"stdout": out}, stdin, None, once)
        self.opened = [self.process_out, self.process_in]
        os.set_blocking(self.process_in, False)
        self.once, self.got, self.ended = once, b"", False

    def client(self) -> tuple[Client, int, int]:
        """Attach one; return it, where it types and where it reads."""
        theirs, mine = os.pipe()
        mine_out, theirs_out = os.pipe()
        client = Client(theirs, theirs_out, -1, lambda: None)
        self.stdio.attach(client)
        self.opened += [mine, mine_out]
        os.set_blocking(mine, False)
        return client, mine, mine_out

    def read(self) -> bytes:
        """Be the process: read what is there; return all that was read so far."""
        try:
            data = os.read(self.process_in, 1 << 20)
        except BlockingIOError:
            return self.got
        self.got += data
        self.ended = not data
        return self.got

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(2000):
            if done():
                return
            self.reactor.call_later(self.reactor.stop)
            self.reactor.run()  # what is ready now
        pytest.fail("it never came")


@pytest.fixture(params=[False, True], ids=["stays open", "stdin once"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    found = Rig(request.param)
    yield found
    for descriptor in found.opened:
        try:
            os.close(descriptor)
        except OSError:
            pass


def fill(descriptor: int) -> int:
    """Write until nothing more fits; return how much that was."""
    total = 0
    while True:
        try:
            total += os.write(descriptor, b"x" * 4096)
        except BlockingIOError:
            return total


def stuff(rig: Rig, client: Client, typed: int) -> int:
    """Type until the process's pipe is full and the client waits; return how much that was."""
    total = 0

    def more() -> bool:
        nonlocal total
        total += fill(typed)
        return bool(client.input_waiting)

    rig.until(more)
    return total


def test_input_of_another_goes_on_when_the_one_that_waited_is_gone(rig: Rig) -> None:
    first, typed_first, _ = rig.client()
    second, typed_second, _ = rig.client()
    stuff(rig, first, typed_first)  # the process does not read
    os.write(typed_second, b"second")
    rig.until(lambda: second.input_waiting == b"second")
    rig.stdio.detach(first)
    # With stdin_once whoever goes takes the input with them, as soon as all of it is written.
    rig.until(lambda: rig.read().endswith(b"second"))
    if rig.once:
        rig.until(lambda: bool(rig.read()) and rig.ended)
        return
    os.write(typed_second, b" and more")
    rig.until(lambda: rig.read().endswith(b"second and more"))


def test_the_end_of_input_comes_after_all_of_it() -> None:
    rig = Rig(once=True)
    client, typed, _ = rig.client()
    size = stuff(rig, client, typed)
    os.close(typed)
    rig.until(lambda: len(rig.read()) == size and rig.ended)


def test_the_end_of_input_comes_although_another_client_with_input_is_gone() -> None:
    rig = Rig(once=True)
    first, typed_first, _ = rig.client()
    _, typed_second, _ = rig.client()
    stuff(rig, first, typed_first)
    os.close(typed_second)  # its end waits for the first one's input
    rig.until(lambda: rig.stdio._close_input_when_flushed)
    rig.stdio.detach(first)
    rig.until(lambda: bool(rig.read()) and rig.ended)


def test_a_client_that_does_not_read_holds_the_process_back_and_one_that_goes_does_not(rig: Rig) -> None:
    slow, _, _ = rig.client()
    _, _, other_out = rig.client()
    os.set_blocking(rig.process_out, False)
    os.set_blocking(other_out, False)
    written = 0

    def stuck() -> bool:
        nonlocal written
        try:
            written += os.write(rig.process_out, b"y" * 4096)
        except BlockingIOError:
            return bool(slow.pending["stdout"])
        return False

    seen = 0

    def drain() -> bool:
        nonlocal seen
        try:
            seen += len(os.read(other_out, 1 << 20))
        except BlockingIOError:
            pass
        return seen == written

    rig.until(lambda: (drain(), stuck())[1])
    rig.stdio.detach(slow)
    rig.until(drain)


def test_a_client_that_closes_its_end_is_dropped_and_the_rest_goes_on(rig: Rig) -> None:
    gone, _, gone_out = rig.client()
    _, _, other_out = rig.client()
    os.close(gone_out)
    os.write(rig.process_out, b"to the other")
    rig.until(lambda: gone.outputs["stdout"] < 0)
    assert os.read(other_out, 100) == b"to the other"
