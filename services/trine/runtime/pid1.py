"""The small init of --init: process 1 that reaps, forwards signals and ends as its child ends. Lean.

What docker-init (tini) does: the child gets its own process group, in the foreground of the terminal
when there is one; every signal that can be caught goes to the child; orphans are reaped; the exit
status is the child's, 128 + n for signal n. It costs a fork of the waiting init, not a new program.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from trine.linux import capabilities, process

_NOT_FORWARDED = {
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGTTIN,
    signal.SIGTTOU,
}


def split(sync: socket.socket) -> None:
    """Fork: return in the child, stay process 1 in the parent until the child ended."""
    waited = signal.valid_signals() - _NOT_FORWARDED
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    child = os.fork()
    if not child:
        process.set_parent_death_signal()
        os.setpgid(0, 0)
        _take_foreground()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return
    sync.close()
    _run(child, waited)


def _take_foreground() -> None:
    """Make our new process group the terminal's foreground one (tcsetpgrp(3)); nothing without a terminal."""
    previous = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass
    finally:
        signal.signal(signal.SIGTTOU, previous or signal.SIG_DFL)


def _run(child: int, waited: set[Any]) -> None:
    process.set_name("trine-init")
    process.close_range(3)
    # Of all that init could do, only this is left: to signal a child of another user.
    kill = capabilities.mask(["CAP_KILL"])
    capabilities.drop_bounding(kill)
    capabilities.set_sets(kill, kill, 0)
    process.set_no_new_privileges()
    # The streams belong to the child: the end of its output must not wait for us.
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    while True:
        received = signal.sigwaitinfo(waited)
        if received.si_signo != signal.SIGCHLD:
            try:
                os.kill(child, received.si_signo)
            except OSError:
                pass
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
