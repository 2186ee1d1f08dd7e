"""An exec keeps its id when trined is killed, and its end is told by the next trined."""

from __future__ import annotations

import os
import signal
import time

from support.stack import Stack


def test_exec_ids_outlive_trined() -> None:
    with Stack(images=("busybox",)) as stack:
        stack.sleeper("box")
        stack.must("exec", "-d", "box", "sh", "-c", "echo $$ > /staying; exec sleep 1000")
        stack.must("exec", "-d", "box", "sh", "-c", "echo $$ > /ending; exec sleep 1001")
        before = stack.inspect("box", '{{join .ExecIDs " "}}').split()
        assert len(before) == 2
        stack.must("exec", "-d", "box", "sleep", "1002")
        rows = [line.split() for line in stack.must("top", "box", "-o", "pid,args").splitlines()]
        missed = next(int(row[0]) for row in rows if row[1:] == ["sleep", "1002"])
        stack.kill("trined")
        os.kill(missed, signal.SIGKILL)
        stack.start()
        assert stack.inspect("box", '{{join .ExecIDs " "}}').split() == before
        stack.must("exec", "box", "sh", "-c", "kill -9 $(cat /ending)")
        deadline = time.monotonic() + 20
        while stack.inspect("box", '{{join .ExecIDs " "}}').split() != before[:1]:
            assert time.monotonic() < deadline, "its end was told"
            time.sleep(0.05)
        stack.must("exec", "box", "sh", "-c", "kill -9 $(cat /staying)")
        while stack.inspect("box", "{{.ExecIDs}}") != "[]":
            assert time.monotonic() < deadline
            time.sleep(0.05)
