"""Make the images of the test registry from Debian packages: hello-world, busybox, debian, httpd.

``python -m tools.make_images [NAME…]`` writes blobs and one record for each image to .cache/images;
an image that is there and whose recipe did not change is left alone. Needs root, busybox-static and
mmdebstrap; no container engine.
"""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.image_writer import BlobStore, Image, Layer, add_entry, add_folder, store_image

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("TRINE_IMAGE_CACHE", ROOT / ".cache" / "images"))
NAMES = ("hello-world", "busybox", "debian", "httpd")
PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Fixed times, so that digests are the same everywhere as far as the packages are.
CREATED = {
    "hello-world": "2026-10-02T09:30:00Z",
    "busybox": "2026-10-12T12:00:00Z",
    "debian": "2026-11-02T08:00:00Z",
    "httpd": "2026-11-03T10:15:00Z",
}
GREETING = """
Hello from Trine!
This message shows that your installation appears to be working correctly.

To print this message, Trine took these steps:
 1. The trine client asked the engine, trined, to create a container.
 2. The image service pulled the "hello-world" image from the registry (amd64).
 3. The network service gave the container an interface on the bridge trine0.
 4. The runtime service started the program in that image that says all this.
 5. The shim passed its output to the client, which wrote it to your terminal.

To try something more ambitious, run a Debian container with:
 $ trine run -it debian bash

To serve web pages:
 $ trine run -d -p 8080:80 httpd

"""
HTTPD_CONF = """\
ServerRoot "/usr/local/apache2"
Listen 80
{modules}
User www-data
Group www-data
ServerAdmin you@example.com
PidFile logs/httpd.pid
<Directory />
    AllowOverride none
    Require all denied
</Directory>
DocumentRoot "/usr/local/apache2/htdocs"
<Directory "/usr/local/apache2/htdocs">
    Options Indexes FollowSymLinks
    AllowOverride None
    Require all granted
</Directory>
DirectoryIndex index.html
<Files ".ht*">
    Require all denied
</Files>
ErrorLog /proc/self/fd/2
LogLevel warn
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
CustomLog /proc/self/fd/1 common
TypesConfig /etc/mime.types
"""
HTTPD_MODULES = "mpm_event authn_core authz_core authz_host mime dir autoindex alias env setenvif"


def _when(name: str) -> int:
    return calendar.timegm(time.strptime(CREATED[name], "%Y-%m-%dT%H:%M:%SZ"))


def hello_program(message: bytes) -> bytes:
    """Return a static x86-64 program that writes a message to stdout and exits 0 (elf(5), syscall(2))."""
    base, head = 0x400000, 64 + 56
    code_length = 38
    code = b"\xbf\x01\x00\x00\x00"  # mov edi, 1
    # lea rsi, [rip + distance to the message behind the code]
    code += b"\x48\x8d\x35" + struct.pack("<i", code_length - len(code) - 7)
    code += b"\xba" + struct.pack("<I", len(message))  # mov edx, length
    code += b"\xb8\x01\x00\x00\x00\x0f\x05"  # write
    code += b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"  # exit(0)
    code = code.ljust(code_length, b"\x90")
    total = head + len(code) + len(message)
    elf = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    elf += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, total, total, 0x1000)
    return elf + code + message


def make_hello_world(blobs: BlobStore) -> Image:
    """One layer with one file, like Docker's."""
    layer = blobs.add_layer(
        lambda tar: add_entry(
            tar, "hello", content=hello_program(GREETING.encode()), mode=0o755, when=_when("hello-world")
        )
    )
    return Image(
        "library/hello-world",
        ["latest", "linux"],
        CREATED["hello-world"],
        [layer],
        [("COPY hello / # trine", True), ('CMD ["/hello"]', False)],
        {"Cmd": ["/hello"], "Env": [PATH_ENV], "WorkingDir": "/"},
    )


def make_busybox(blobs: BlobStore) -> Image:
    """Debian's static busybox with a hard link for each applet in /bin, and a minimal /etc."""
    program = Path("/bin/busybox").read_bytes()
    applets = subprocess.run(
        ["/bin/busybox", "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    when = _when("busybox")
    users = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    users += (
        "bin:x:2:2:bin:/bin:/bin/false\nsys:x:3:3:sys:/dev:/bin/false\nsync:x:4:100:sync:/bin:/bin/sync\n"
    )
    users += "mail:x:8:8:mail:/var/spool/mail:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"
    users += "operator:x:37:37:Operator:/var:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
    groups = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nwheel:x:10:root\n"
    groups += "mail:x:8:\nwww-data:x:33:\noperator:x:37:\nusers:x:100:\nnogroup:x:65534:\n"

    def write(tar: Any) -> None:
        for name, mode in (
            ("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("root", 0o700),
            ("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o755), ("usr/sbin", 0o755), ("var", 0o755),
            ("var/spool", 0o755), ("var/spool/mail", 0o755), ("var/www", 0o755),
        ):  # fmt: skip
            add_entry(tar, name, mode=mode, when=when)
        add_entry(tar, "bin/busybox", content=program, when=when)
        for applet in sorted(set(applets) - {"busybox"}):
            add_entry(tar, f"bin/{applet}", link="bin/busybox", hard=True, when=when)
        add_entry(tar, "etc/passwd", content=users.encode(), mode=0o644, when=when)
        add_entry(tar, "etc/group", content=groups.encode(), mode=0o644, when=when)
        add_entry(tar, "etc/shadow", content=b"root:*:::::::\n", mode=0o600, when=when)
        add_entry(tar, "usr/bin/env", link="../../bin/env", when=when)

    return Image(
        "library/busybox",
        ["latest", "1.35"],
        CREATED["busybox"],
        [blobs.add_layer(write)],
        [("BusyBox 1.35 (Debian), static", True), ('CMD ["sh"]', False)],
        {"Cmd": ["sh"], "Env": [PATH_ENV]},
        family="docker",
        index=False,
    )


def debian_sources(apt: Path) -> Path | None:
    """Return the file below ``apt`` (/etc/apt) that names a Debian mirror, whatever it is called."""
    others = [path for kind in ("sources", "list") for path in sorted(apt.glob(f"sources.list.d/*.{kind}"))]
    for path in (apt / "sources.list.d/debian.sources", apt / "sources.list", *others):
        with contextlib.suppress(FileNotFoundError):
            lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
            if {"bookworm", "main"} <= set(" ".join(lines).split()):
                return path
    return None


def _host_sources() -> str:
    found = debian_sources(Path("/etc/apt"))
    if found is None:
        raise SystemExit("make_images: no file in /etc/apt names a mirror of Debian bookworm")
    return str(found)


def _host_apt_options() -> list[str]:
    """Return the host's own settings of how to reach its mirror (proxies, validity of dates)."""
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::ForceIPv")
    return [line for line in dump.splitlines() if line.startswith(wanted) and '""' not in line]


def _debian_root(target: Path) -> None:
    options = [f"--aptopt={line.rstrip(';')}" for line in _host_apt_options()]
    print("make_images: mmdebstrap bookworm (half a minute)", file=sys.stderr)
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", *options, "bookworm", str(target), _host_sources()],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"make_images: mmdebstrap failed:\n{done.stderr[-2000:]}")
    for conf in (target / "etc/apt/apt.conf.d").glob("99mmdebstrap"):
        conf.rename(conf.with_name("90host-mirror"))
    (target / "etc/apt/apt.conf.d/docker-clean").write_text(
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\nAcquire::Languages "none";\n'
        'Acquire::GzipIndexes "true";\nAPT::Install-Suggests "false";\n'
    )
    for name in ("etc/resolv.conf", "etc/hostname", "var/log/bootstrap.log", "var/log/dpkg.log"):
        (target / name).unlink(missing_ok=True)
    for name in ("usr/share/man", "usr/share/locale", "usr/share/doc"):
        # What Docker's debian keeps out or small; copyright files stay.
        for path in sorted((target / name).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.name != "copyright":
                path.unlink()


def _skip_devices(name: str) -> bool:
    return name.startswith(("dev/", "proc/", "sys/", "run/"))


def _folder_layer(blobs: BlobStore, root: Path, name: str) -> Layer:
    when = _when(name)
    return blobs.add_layer(lambda tar: add_folder(tar, root, when, _skip_devices))


def _install_httpd(lower: Path, upper: Path, work: Path, merged: Path) -> None:
    """Run apt-get in a chroot over an overlay, in a mount namespace of its own: nothing stays mounted."""
    script = f"""
set -e
mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {merged}
mount -t proc proc {merged}/proc
mount --rbind /dev {merged}/dev
touch {merged}/etc/resolv.conf
mount --bind /etc/resolv.conf {merged}/etc/resolv.conf
export DEBIAN_FRONTEND=noninteractive
chroot {merged} apt-get -qq update
chroot {merged} apt-get -qq install -y --no-install-recommends apache2-bin media-types
chroot {merged} sh -c 'apt-get clean; rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old
  mkdir -p /usr/local/apache2/bin /usr/local/apache2/logs /usr/local/apache2/conf /usr/local/apache2/htdocs
  ln -s /usr/lib/apache2/modules /usr/local/apache2/modules'
"""
    print("make_images: apt-get install apache2-bin in a chroot", file=sys.stderr)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"make_images: installing apache2 failed:\n{done.stdout[-2000:]}")
    (upper / "etc/resolv.conf").unlink(missing_ok=True)


def make_debian(blobs: BlobStore, lower: Path) -> Image:
    """Minimal Debian 12 with apt, which reaches the mirror the way this host does."""
    _debian_root(lower)
    return Image(
        "library/debian",
        ["latest", "bookworm", "12"],
        CREATED["debian"],
        [_folder_layer(blobs, lower, "debian")],
        [("# mmdebstrap --variant=minbase bookworm", True), ('CMD ["bash"]', False)],
        {"Cmd": ["bash"], "Env": [PATH_ENV]},
    )


def make_httpd(blobs: BlobStore, lower: Path, debian: Image, scratch: Path) -> Image:
    """Debian's apache2 in the layout of Docker's httpd, four layers on top of debian."""
    upper, work, merged = scratch / "upper", scratch / "work", scratch / "merged"
    for path in (upper, work, merged):
        path.mkdir()
    _install_httpd(lower, upper, work, merged)
    when, home = _when("httpd"), "usr/local/apache2"
    modules = "\n".join(f"LoadModule {m}_module modules/mod_{m}.so" for m in HTTPD_MODULES.split())

    def files(*entries: tuple[str, str, int]) -> Layer:
        def write(tar: Any) -> None:
            for name, text, mode in entries:
                add_entry(tar, name, content=text.encode(), mode=mode, when=when)

        return blobs.add_layer(write)

    run = '#!/bin/sh\nexec /usr/sbin/apache2 -d /usr/local/apache2 -f conf/httpd.conf "$@"\n'
    foreground = "#!/bin/sh\nset -e\n\n# A pid file of a container that was killed must not stop this one.\n"
    foreground += 'rm -f /usr/local/apache2/logs/httpd.pid\n\nexec httpd -DFOREGROUND "$@"\n'
    return Image(
        "library/httpd",
        ["latest", "2.4"],
        CREATED["httpd"],
        [
            *debian.layers,
            _folder_layer(blobs, upper, "httpd"),
            files(
                (f"{home}/bin/httpd", run, 0o755),
                (f"{home}/conf/httpd.conf", HTTPD_CONF.format(modules=modules), 0o644),
            ),
            files((f"{home}/htdocs/index.html", "<html><body><h1>It works!</h1></body></html>\n", 0o644)),
            files(("usr/local/bin/httpd-foreground", foreground, 0o755)),
        ],
        [
            ("# mmdebstrap --variant=minbase bookworm", True),
            ("ENV HTTPD_PREFIX=/usr/local/apache2", False),
            (f"ENV PATH=/usr/local/apache2/bin:{PATH_ENV[5:]}", False),
            ("WORKDIR /usr/local/apache2", False),
            ("RUN apt-get install --no-install-recommends apache2-bin media-types", True),
            ("COPY httpd httpd.conf /usr/local/apache2/", True),
            ("COPY index.html /usr/local/apache2/htdocs/", True),
            ("STOPSIGNAL SIGWINCH", False),
            ("COPY httpd-foreground /usr/local/bin/", True),
            ("EXPOSE map[80/tcp:{}]", False),
            ('CMD ["httpd-foreground"]', False),
        ],
        {
            "Cmd": ["httpd-foreground"],
            "Env": [f"PATH=/usr/local/apache2/bin:{PATH_ENV[5:]}", "HTTPD_PREFIX=/usr/local/apache2"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGWINCH",
            "WorkingDir": "/usr/local/apache2",
        },
        family="docker",
    )


def _key() -> str:
    """Return what a record depends on: these two files and the busybox of the host."""
    digest = hashlib.sha256()
    for path in (Path(__file__), ROOT / "tools/image_writer.py", Path("/bin/busybox")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _record(name: str) -> Path:
    return CACHE / f"{name}.json"


def load(name: str) -> dict[str, Any] | None:
    """Return the record of an image that is made and current, else None."""
    try:
        record: dict[str, Any] = json.loads(_record(name).read_text())
    except (OSError, ValueError):
        return None
    blobs = [*record["blobs"], *(m["digest"] for m in record["manifests"])]
    store = BlobStore(CACHE / "blobs")
    return record if record["key"] == _key() and all(store.path(b).exists() for b in blobs) else None


def _save(name: str, blobs: BlobStore, image: Image) -> None:
    record = {"key": _key(), "name": name, **store_image(blobs, image)}
    temporary = _record(name).with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1))
    temporary.rename(_record(name))
    print(f"make_images: {image.repository} made", file=sys.stderr)


def ensure(names: tuple[str, ...] = NAMES) -> list[dict[str, Any]]:
    """Make what is missing, one process at a time; return the records of the named images."""
    blobs = BlobStore(CACHE / "blobs")
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make_missing(blobs, names)
    return [record for name in names if (record := load(name)) is not None]


def _make_missing(blobs: BlobStore, names: tuple[str, ...]) -> None:
    simple: dict[str, Callable[[BlobStore], Image]] = {
        "hello-world": make_hello_world,
        "busybox": make_busybox,
    }
    for name, make in simple.items():
        if name in names and load(name) is None:
            _save(name, blobs, make(blobs))
    if any(name in names and load(name) is None for name in ("debian", "httpd")):
        # Both need the same root filesystem; it is made once and thrown away.
        with tempfile.TemporaryDirectory(prefix="trine-images-", dir=CACHE) as scratch:
            lower = Path(scratch) / "debian"
            lower.mkdir(mode=0o755)
            debian = make_debian(blobs, lower)
            _save("debian", blobs, debian)
            _save("httpd", blobs, make_httpd(blobs, lower, debian, Path(scratch)))


def main() -> int:
    """Run the command; return its exit status."""
    names = tuple(sys.argv[1:]) or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        print(
            f"make_images: unknown image {sorted(unknown)[0]}; there are {', '.join(NAMES)}", file=sys.stderr
        )
        return 1
    if "debian" in names and shutil.which("mmdebstrap") is None:
        print("make_images: mmdebstrap is missing; run: make setup", file=sys.stderr)
        return 1
    ensure(names)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
