"""Lean worker processes (layers/worker.py): at most two at work, one kept warm."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trine.image.operation import Operation
from trine.kit.errors import InternalError, InvalidArgumentError, ResourceExhaustedError

_SCRIPT = Path(__file__).parent / "layers" / "worker.py"
_SERVICES = Path(__file__).resolve().parent.parent.parent
_AT_WORK = 2
_BESIDE = 2  # that wait for a download while they unpack it


def _command() -> list[str]:
    import importlib.util

    found = importlib.util.find_spec("isal")
    site = Path(found.origin).parent.parent if found is not None and found.origin else _SERVICES
    return [sys.executable, "-I", "-S", str(_SCRIPT), str(_SERVICES), str(site)]


class _Worker:
    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, close_fds=True
        )

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def call(self, request: dict[str, Any], progress: Callable[[int], None] | None) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if "progress" not in answer:
                return answer
            if progress is not None:
                progress(answer["progress"])
        raise BrokenPipeError("worker ended")


def raise_failure(answer: dict[str, Any], prefix: str) -> None:
    """Raise the EngineError a worker's error answer stands for."""
    text = prefix + str(answer["error"])
    if answer.get("space"):
        raise ResourceExhaustedError(text, reason="NO_SPACE")
    raise InvalidArgumentError(text, reason="INVALID_LAYER")


class Workers:
    """The pool. Thread-safe."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(_AT_WORK)
        self.beside = threading.BoundedSemaphore(_BESIDE)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._command = _command()
        self._closed = False

    def warm(self) -> None:
        """Start a worker now, so that the first request needs not wait for an interpreter."""
        with self._lock:
            if not self._idle and not self._closed:
                self._idle.append(_Worker(self._command))

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.close()
        return _Worker(self._command)

    def _give(self, worker: _Worker) -> None:
        with self._lock:
            if not self._idle and not self._closed and worker.process.poll() is None:
                self._idle.append(worker)
                return
        worker.close()

    def call(
        self,
        request: dict[str, Any],
        operation: Operation,
        progress: Callable[[int], None] | None = None,
        *,
        prefix: str = "",
        started: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Run one request; the worker is killed when the operation is cancelled.

        Raises InvalidArgumentError (INVALID_LAYER), ResourceExhaustedError (NO_SPACE), CancelledError.
        """
        while not self._slots.acquire(timeout=0.2):
            operation.check()
        try:
            operation.check()
            if started is not None:
                started()
            return self.call_beside(request, operation, progress, prefix=prefix)
        finally:
            self._slots.release()

    def call_beside(
        self,
        request: dict[str, Any],
        operation: Operation,
        progress: Callable[[int], None] | None = None,
        *,
        prefix: str = "",
    ) -> dict[str, Any]:
        """As ``call``, not counted among those at work: for a request that mostly waits (overlap.py)."""
        worker = self._take()
        try:
            with operation.on_cancel(worker.kill):
                answer = worker.call(request, progress)
        except (OSError, ValueError):
            worker.close()
            operation.check()
            raise InternalError("the layer worker ended unexpectedly: see the log of the host") from None
        except BaseException:
            worker.close()
            raise
        self._give(worker)
        if "error" in answer:
            raise_failure(answer, prefix)
        result: dict[str, Any] = answer["ok"]
        return result

    def stream(
        self,
        request: dict[str, Any],
        operation: Operation,
        emit: Callable[[bytes], None],
        chunk: int = 1024 * 1024,
    ) -> None:
        """Run a request whose output is a stream (export) in a worker of its own."""
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, chunk)
        worker = None
        answers: list[dict[str, Any]] = []
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(write_end,),
            )
            worker = _Worker.__new__(_Worker)
            worker.process = process
            os.close(write_end)
            request = {**request, "output": f"/proc/self/fd/{write_end}"}
            write_end = -1
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
            with operation.on_cancel(worker.kill), open(read_end, "rb", buffering=0, closefd=False) as pipe:
                while data := pipe.read(chunk):
                    emit(data)
                answers = [json.loads(line) for line in process.stdout]
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)
            if worker is not None:
                worker.close()
        operation.check()
        if not answers:
            raise InternalError("the layer worker ended unexpectedly: see the log of the host")
        if "error" in answers[-1]:
            raise_failure(answers[-1], "")

    def close(self) -> None:
        """End idle workers."""
        with self._lock:
            self._closed = True
            for worker in self._idle:
                worker.close()
            self._idle.clear()
