"""What a build shows: the context being sent, the steps, the pull of a base image."""

from __future__ import annotations

import sys

from trine.cli.text.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.client import Call
    from trine.cli.context.source import Source

_RED, _PLAIN = "\x1b[91m", "\x1b[0m"  # what a step writes to its standard error, as Docker marks it
_STEP = 1 << 20  # of the context, between two looks at how much was sent


class Screen:
    """Shows one build; with ``quiet`` it keeps everything back until ``reveal``."""

    def __init__(self, *, quiet: bool) -> None:
        """Show on standard output."""
        self._quiet = quiet
        self._kept: list[str] = []

    def _put(self, text: str) -> None:
        if self._quiet:
            self._kept.append(text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()

    def sending(self, source: Source, call: Call) -> bool:
        """Send a context and show how much; return False when the engine ended the call meanwhile."""
        live = sys.stdout.isatty() and not self._quiet
        told = sent = 0
        wanted = True

        def hand_on(chunk: bytes) -> bool:
            nonlocal told, sent, wanted
            wanted = call.send({"context_chunk": chunk})
            sent += len(chunk)
            if live and sent - told >= _STEP:
                told = sent
                self._put(f"\rSending build context to Trine daemon  {human_size(sent)}")
            return wanted

        size = source.send(hand_on)
        head = "\r" if live else ""
        self._put(f"{head}Sending build context to Trine daemon  {human_size(size)}\r\r\n")
        return wanted

    def show(self, call: Call) -> str:
        """Show what the engine says; return the image's id. Raises DaemonError."""
        from trine.cli.progress import Progress

        progress = Progress()
        identifier = ""
        for answer in call:
            if "stream" in answer:
                self._put(answer.stream)
            elif "step_stdout" in answer:
                self._put(answer.step_stdout.decode("utf-8", "surrogateescape"))
            elif "step_stderr" in answer:
                self._put(f"{_RED}{answer.step_stderr.decode('utf-8', 'surrogateescape')}{_PLAIN}")
            elif "layer" in answer:
                if not self._quiet:
                    progress.layer(answer.layer)
            elif "image_id" in answer:
                identifier = answer.image_id
        return identifier

    def reveal(self) -> None:
        """Show on standard error what was kept back, for a build that failed."""
        sys.stdout.flush()
        sys.stderr.write("".join(self._kept))
        self._kept.clear()
