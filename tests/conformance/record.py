"""Record the transcripts: run every case on the real Docker (``make conformance-record``).

``python -m tests.conformance.record [CASE…] [--twice]``: CASE is a number or part of a name. With
``--twice`` each case runs again and must say the same, which shows what is not normalised yet.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests/, as pytest does

from conformance import harness
from support import docker


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--twice", action="store_true")
    arguments = parser.parse_args()
    wanted = [c for c in harness.CASES if not arguments.cases or any(n in c.stem for n in arguments.cases)]
    harness.TRANSCRIPTS.mkdir(exist_ok=True)
    unstable = 0
    with docker.running(("hello-world", "busybox", "debian", "httpd")) as engine_process:
        engine = harness.Engine(
            docker.client(),
            harness.environment(**{k: v for k, v in engine_process.environment.items() if "DOCKER" in k}),
            engine_process.place.command,
            harness.DOCKER_WORDS,
        )
        for name in harness.KEPT_IMAGES:
            engine_process.run("pull", "-q", name)
        for case in wanted:
            started = time.monotonic()
            texts = []
            for _ in range(2 if arguments.twice else 1):
                harness.reset(engine)
                texts.append(harness.normalise(harness.run_case(engine, case), engine.replace))
            print(f"{case.stem}: {time.monotonic() - started:.1f} s", flush=True)
            harness.transcript(case).write_text(texts[0])
            if texts[0] != texts[-1]:
                unstable += 1
                print("".join(difflib.unified_diff(texts[0].splitlines(True), texts[-1].splitlines(True))))
    return 1 if unstable else 0


if __name__ == "__main__":
    raise SystemExit(main())
