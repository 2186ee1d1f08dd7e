"""trined refuses to start where it could not do its work, with one line that says what to do."""

from __future__ import annotations

import subprocess
import sys

from support.place import OwnPlace

OVERLAY = """
mount -t tmpfs tmpfs /mnt; cd /mnt; mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
exec "$@" --data-root /mnt/merged/data --exec-root /mnt/run -H unix:///mnt/s
"""


def test_a_data_root_on_overlayfs_is_refused() -> None:
    place = OwnPlace()
    try:
        trined = (sys.executable, "-m", "trine.supervisor.main")
        command = place.command("sh", "-ec", OVERLAY, "sh", *trined)
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        place.close()
    assert (result.returncode, result.stderr) == (
        1,
        "trined: --data-root /mnt/merged/data lies on overlayfs, and no container's root can be mounted "
        "there: give a folder on another file system (inside a container: a volume)\n",
    )
