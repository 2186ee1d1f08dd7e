"""A stack to play with under ./.state: ``python -m tools.stack up|down|demo|status [--port N]``.

Own roots, socket and bridge, so it never meets an engine that the host runs for real. The exec root
is below /run because a socket's path may have 107 bytes only (unix(7)), however long the path of the
repository is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools import make_images, registry

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state"
BIN = ROOT / ".venv" / "bin"
_TAG = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
DATA_ROOT = STATE / "data"
EXEC_ROOT = Path(f"/run/trine-dev-{_TAG}")
SOCKET = EXEC_ROOT / "trine.sock"
BRIDGE = f"trdev{_TAG}"
CGROUP_PARENT = f"trine-dev-{_TAG}"
HOST = f"unix://{SOCKET}"


def processes(root: Path) -> dict[int, str]:
    """Return pid -> command line of all processes that name ``root`` or hold a file below it."""
    found: dict[int, str] = {}
    prefix = f"{root}/"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
            descriptors = os.listdir(entry / "fd")
        except OSError:
            continue
        if prefix in f"{words}/" or any(_points_below(entry / "fd" / name, prefix) for name in descriptors):
            found[int(entry.name)] = words
    return found


def _points_below(link: Path, prefix: str) -> bool:
    """Tell whether a descriptor's file is below a folder; one that was closed meanwhile is not."""
    try:
        return os.readlink(link).startswith(prefix)
    except OSError:
        return False


def trine(*words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command line against this stack."""
    return subprocess.run(
        [str(BIN / "trine"), *words],
        env={**os.environ, "TRINE_HOST": HOST},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def is_up() -> bool:
    """Tell whether the engine answers."""
    return SOCKET.exists() and trine("ps", "-q").returncode == 0


def up(port: int) -> int:
    """Start registry and engine unless they run; return an exit status."""
    if os.geteuid() != 0:
        print("stack: root is needed: sudo make up", file=sys.stderr)
        return 1
    STATE.mkdir(exist_ok=True)
    try:
        registry.start(STATE / "registry", port, make_images.NAMES)
    except registry.RegistryError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    if is_up():
        return 0
    config = STATE / "daemon.json"
    config.write_text("{}\n")
    with open(STATE / "trined.log", "ab") as log:
        process = subprocess.Popen(
            [
                str(BIN / "trined"), "--config-file", str(config), "--data-root", str(DATA_ROOT),
                "--exec-root", str(EXEC_ROOT), "-H", HOST, "--bridge", BRIDGE,
                "--cgroup-parent", f"/{CGROUP_PARENT}",
                "--registry-mirror", f"http://127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    deadline = time.monotonic() + 30
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            last = (STATE / "trined.log").read_text(errors="replace").strip().splitlines()[-5:]
            print("stack: trined does not serve:\n  " + "\n  ".join(last), file=sys.stderr)
            return 1
        time.sleep(0.05)
    return 0


def _end(pids: list[int], seconds: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pids = [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
            if not pids:
                return
            time.sleep(0.02)


def remove_network(bridge: str) -> None:
    """Remove a bridge and the rules of its engine; with no other engine on the host also the TRINE chains."""
    subprocess.run(["ip", "link", "delete", bridge], stderr=subprocess.DEVNULL, check=False)
    for family in ("iptables", "ip6tables"):
        for backend in ("nft", "legacy"):
            for table in ("nat", "filter", "raw", "mangle"):
                remove_rules(f"{family}-{backend}", table, bridge)


def remove_rules(program: str, table: str, bridge: str) -> None:
    """Delete a table's rules that name ``bridge``, then our chains if no other engine's rule is left."""
    saved = subprocess.run([program, "-t", table, "-S"], capture_output=True, text=True, check=False)
    if saved.returncode or "TRINE" not in saved.stdout:
        return
    for line in saved.stdout.splitlines():
        if bridge in line.split() and line.startswith("-A"):
            subprocess.run([program, "-t", table, "-D", *line.split()[1:]], check=False)
    # What is left that names a device or an address belongs to another engine: its chains stay.
    listed = subprocess.run([program, "-t", table, "-S"], capture_output=True, text=True, check=False)
    lines = listed.stdout.splitlines()
    chains = [line.split()[1] for line in lines if line.startswith("-N TRINE")]
    # (The guard of 127.0.0.0/8 belongs to all.)
    inside = [line for line in lines if line.startswith("-A TRINE") and " -d 127.0.0.0/8 " not in line]
    if any(word in line for line in inside for word in (" -i ", " -o ", " -d ")):
        return
    for line in lines:
        if line.startswith("-A") and any(chain in line.split()[2:] for chain in chains):
            subprocess.run([program, "-t", table, "-D", *line.split()[1:]], check=False)
    for flag in ("-F", "-X"):
        for chain in chains:
            subprocess.run([program, "-t", table, flag, chain], stderr=subprocess.DEVNULL, check=False)


def _remove_cgroups() -> None:
    for top in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]:
        base = top / CGROUP_PARENT
        if base.is_dir():
            for path in sorted([base, *(p for p in base.rglob("*") if p.is_dir())], reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()


def down() -> int:
    """Stop containers, engine and registry; remove what they made outside ./.state."""
    if is_up():
        running = trine("ps", "-q").stdout.split()
        if running:
            trine("stop", "-t", "2", *running, timeout=120)
        for name in trine("network", "ls", "-q", "--filter", "type=custom").stdout.split():
            trine("network", "rm", name)
    trined = [pid for pid, words in processes(EXEC_ROOT).items() if f"{BIN}/trined" in words]
    _end(trined, 10)
    _end(list(processes(EXEC_ROOT)), 3)
    _end(list(processes(DATA_ROOT)), 3)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split()[4]
        if point.startswith((f"{EXEC_ROOT}/", f"{DATA_ROOT}/")):
            subprocess.run(["umount", "-l", point], check=False)
    remove_network(BRIDGE)
    _remove_cgroups()
    shutil.rmtree(EXEC_ROOT, ignore_errors=True)
    registry.stop(STATE / "registry")
    print("stack: stopped; images and containers stay in .state (make clean removes them)")
    return 0


def demo(port: int) -> int:
    """Start everything, run hello-world, say how to go on."""
    status = up(port)
    if status:
        return status
    print("$ trine run hello-world", flush=True)
    command = [str(BIN / "trine"), "run", "--rm", "hello-world"]
    status = subprocess.run(command, env={**os.environ, "TRINE_HOST": HOST}, check=False).returncode
    if status:
        print(f"stack: hello-world ended with status {status}; see {STATE}/trined.log", file=sys.stderr)
        return status
    print(
        f"The engine runs. To go on in this shell:\n\n"
        f"    export TRINE_HOST={HOST}\n"
        f"    export PATH={BIN}:$PATH\n"
        f"    trine run -it debian bash\n"
        f"    trine run -d -p 8080:80 --name web httpd && curl localhost:8080\n"
        f"    trine ps\n\n"
        f"To stop everything: make down      (its log: {STATE}/trined.log)"
    )
    return 0


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="tools.stack", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("up", "down", "demo", "status"))
    parser.add_argument("--port", type=int, default=5000, help="of the registry")
    arguments = parser.parse_args()
    if arguments.action == "demo":
        return demo(arguments.port)
    if arguments.action == "up":
        status = up(arguments.port)
        if status == 0:
            print(f"stack: export TRINE_HOST={HOST} PATH={BIN}:$PATH")
        return status
    if arguments.action == "status":
        print("up" if is_up() else "down")
        return 0
    return down()


if __name__ == "__main__":
    raise SystemExit(main())
