"""The thin system calls, on the real kernel."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from trine.linux import capabilities, inotify, mount, namespaces, openat2, process, syscalls, tty

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def in_child(work: object) -> int:
    """Run something in a fork; return its exit status (1: it raised)."""
    pid = os.fork()
    if not pid:
        try:
            code = work()  # type: ignore[operator]
        except BaseException as error:
            os.write(2, repr(error).encode())
            code = 1
        os._exit(int(code or 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_an_error_is_an_oserror_with_its_path() -> None:
    with pytest.raises(FileNotFoundError) as failed:
        openat2.openat2(-100, "/nothere", os.O_PATH, resolve=0)
    assert (failed.value.errno, failed.value.filename) == (errno.ENOENT, "/nothere")
    assert set(syscalls._X86_64) == set(syscalls._AARCH64)


def test_paths_stay_in_their_root(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "up").symlink_to("../../../../outside")
    (root / "absolute").symlink_to(f"{tmp_path}/outside")
    (root / "magic").symlink_to("/proc/self/root")
    (root / "dangling").symlink_to("/made/by/link")
    directory = os.open(root, os.O_PATH)
    try:
        for name in ("up", "absolute", "../outside", "/../../outside", "a/../../outside"):
            with pytest.raises(FileNotFoundError):
                openat2.open_path(directory, name)
        os.close(openat2.make_directories(directory, "dangling/below"))
        assert (root / "made/by/link/below").is_dir()
        os.close(openat2.make_file(directory, "/x/y/file"))
        assert (root / "x/y/file").is_file()
        os.mkfifo(root / "fifo")
        assert openat2.read_file(directory, "fifo", 100) is None
        (root / "text").write_text("0123456789")
        assert openat2.read_file(directory, "text", 4) == b"0123"
    finally:
        os.close(directory)


def test_a_clone_has_its_namespaces_and_a_pidfd() -> None:
    reader, writer = os.pipe()
    pid, pidfd = process.clone(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNS)
    if not pid:
        os.write(writer, str(os.getpid()).encode())
        signal.pause()
        os._exit(1)
    assert os.read(reader, 10) == b"1"
    process.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        process.pidfd_send_signal(pidfd, 0)
    for descriptor in (reader, writer, pidfd):
        os.close(descriptor)


def test_mounts_by_descriptor(tmp_path: Path) -> None:
    lower, upper, work, target = (tmp_path / name for name in ("lower", "upper", "work", "target"))
    for path in (lower, upper, work, target):
        path.mkdir()
    (lower / "file").write_text("below")

    def work_in_namespace() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount("", "/", "", mount.MS_REC | mount.MS_PRIVATE)
        options = [("lowerdir", str(lower)), ("upperdir", str(upper)), ("workdir", str(work))]
        tree = mount.new_filesystem("overlay", options)  # type: ignore[arg-type]
        place = os.open(target, os.O_PATH)
        mount.attach(tree, place)
        assert (target / "file").read_text() == "below"
        (target / "new").write_text("up")
        copy = mount.open_tree(mount.AT_FDCWD, str(target))
        mount.set_attributes(copy, set_bits=mount.MOUNT_ATTR_RDONLY)
        mount.attach(copy, os.open(tmp_path / "lower", os.O_PATH))
        with pytest.raises(OSError) as failed:
            (lower / "x").write_text("")
        assert failed.value.errno == errno.EROFS
        mount.unmount(str(target), mount.MNT_DETACH)

    assert in_child(work_in_namespace) == 0
    assert (upper / "new").read_text() == "up"
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_capabilities_are_given_up_for_good() -> None:
    wanted = capabilities.mask(["CAP_CHOWN", "CAP_KILL", "CAP_NO_SUCH"])
    assert wanted == 1 << 0 | 1 << 5

    def give_up() -> None:
        capabilities.drop_bounding(wanted)
        capabilities.set_sets(wanted, wanted, 0)
        assert capabilities.get() == (wanted, wanted, 0)
        assert capabilities.bounding() == wanted
        process.execute("/bin/sh", ["sh", "-c", "grep -q 'CapEff:.*0000000000000021' /proc/self/status"], [])

    assert in_child(give_up) == 0
    assert capabilities.bounding() != wanted


def test_descriptors_limits_and_signals_of_a_child() -> None:
    def check() -> None:
        kept = os.open("/dev/null", os.O_RDONLY)
        os.open("/dev/null", os.O_RDONLY)
        process.close_all_but({kept})
        assert [number for number in range(3, 100) if _is_open(number)] == [kept]
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        process.default_actions()
        ignored = next(
            x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("SigIgn")
        )
        assert int(ignored.split()[1], 16) == 0
        import resource

        process.set_limit(resource.RLIMIT_NOFILE, 1 << 40, 1 << 40)  # clamped, not refused
        process.set_limit(resource.RLIMIT_NOFILE, 50, 60)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (50, 60)

    assert in_child(check) == 0


def test_terminals() -> None:
    master, slave = tty.pair_of(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    tty.set_size(master, 12, 34)
    assert os.get_terminal_size(slave) == (34, 12)

    def control() -> None:
        os.setsid()
        tty.take_control(slave)
        assert os.tcgetpgrp(slave) == os.getpgrp()

    assert in_child(control) == 0
    os.close(master)
    os.close(slave)
    with pytest.raises(OSError) as failed:
        tty.pair_of(os.open("/dev/null", os.O_RDWR))
    assert failed.value.errno == errno.ENOTTY


def test_inotify(tmp_path: Path) -> None:
    watcher = inotify.open_inotify()
    number = inotify.add_watch(watcher, str(tmp_path), inotify.IN_CREATE)
    (tmp_path / "x").touch()
    assert int.from_bytes(os.read(watcher, 4096)[:4], "little") == number
    inotify.remove_watch(watcher, number)
    inotify.remove_watch(watcher, number)
    os.close(watcher)
