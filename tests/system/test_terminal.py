"""A true terminal: attach, detach, resize, job control, Ctrl-C, and the status at the end."""

from __future__ import annotations

from support.stack import Stack

CTRL_C, CTRL_D, CTRL_P, CTRL_Q, CTRL_Z = "\x03", "\x04", "\x10", "\x11", "\x1a"

LONG = "sh -c 'echo st''arted; exec sleep 1000'\n"  # its echo does not say "started"


def start_shell(stack: Stack, name: str) -> None:
    stack.must("run", "--name", name, "--detach", "--tty", "--interactive", "-e", "PS1=<\\u>", "busybox")


def test_attach_type_detach_attach_again_exit(stack: Stack) -> None:
    start_shell(stack, "u")
    with stack.terminal("attach", "u") as terminal:
        terminal.send("\n")
        terminal.expect("<root>")
        terminal.send("echo kept >/note; echo do''ne\n")
        terminal.expect("done")
        terminal.send(CTRL_P + CTRL_Q)
        terminal.expect("read escape sequence")
        assert terminal.wait() == 1  # so does docker, for attach and exec
    assert stack.inspect("u", "{{.State.Status}}") == "running"
    with stack.terminal("attach", "u") as terminal:
        terminal.send("\n")
        terminal.expect("<root>")
        terminal.send("exit 5\n")
        assert terminal.wait() == 5
    assert stack.inspect("u", "{{.State.Status}} {{.State.ExitCode}}") == "exited 5"
    stack.must("start", "u")
    with stack.terminal("attach", "u") as terminal:
        terminal.send("\n")
        terminal.expect("<root>")
        terminal.send("cat /note\n")
        terminal.expect("kept")
        terminal.send("exit\n")
        assert terminal.wait() == 0


def test_a_single_ctrl_p_passes_on(stack: Stack) -> None:
    script = "stty raw -echo; echo go; od -c -N 3 | head -1; read x"
    with stack.terminal("run", "--rm", "-it", "busybox", "sh", "-c", script) as terminal:
        terminal.expect("go")
        terminal.send("a" + CTRL_P)
        terminal.send("b")
        terminal.expect("a 020   b")


def test_ctrl_c_reaches_the_process(stack: Stack) -> None:
    start_shell(stack, "intr")
    with stack.terminal("attach", "intr") as terminal:
        terminal.send("\n")
        terminal.expect("<root>")
        terminal.send(LONG)
        terminal.expect("started")
        terminal.send(CTRL_C)
        terminal.expect("<root>")
        terminal.send("echo status $?\n")
        terminal.expect("status 130")


def test_job_control_works(stack: Stack) -> None:
    with stack.terminal("run", "--rm", "-it", "-e", "PS1=<\\u>", "debian", "bash", "--norc") as terminal:
        terminal.expect("<root>", 30)
        terminal.send(LONG)
        terminal.expect("started")
        terminal.send(CTRL_Z)
        terminal.expect("Stopped")
        # fg waits for its end: bash says once that there are stopped jobs, and does not exit.
        terminal.send("jobs; kill %1; fg; exit 3\n")
        terminal.expect("sleep 1000")
        assert terminal.wait() == 3
        assert "no job control" not in terminal.text


def test_the_window_size_follows(stack: Stack) -> None:
    with stack.terminal("run", "--rm", "-it", "busybox", rows=33, columns=111) as terminal:
        terminal.send("stty size\n")
        terminal.expect("33 111")
        terminal.resize(44, 99)
        terminal.send("until stty size | grep '44 99'; do :; done\n")
        terminal.expect("\n44 99")
        terminal.send("exit\n")
        assert terminal.wait() == 0


def test_exec_on_a_terminal(stack: Stack) -> None:
    stack.sleeper("base")
    with stack.terminal("exec", "-it", "base", "sh", rows=21, columns=77) as terminal:
        terminal.send("tty; stty size\n")
        terminal.expect("/dev/pts/")
        terminal.expect("21 77")
        terminal.send("exit 9\n")
        assert terminal.wait() == 9


def test_exec_detaches_too(stack: Stack) -> None:
    stack.sleeper("base")
    with stack.terminal("exec", "-it", "base", "sh") as terminal:
        terminal.send("echo u''p\n")
        terminal.expect("up")
        terminal.send(CTRL_P + CTRL_Q)
        terminal.expect("read escape sequence")
        assert terminal.wait() == 1
    assert stack.inspect("base", "{{.State.Running}}") == "true"


def test_other_detach_keys(stack: Stack) -> None:
    start_shell(stack, "dkeys")
    with stack.terminal("attach", "--detach-keys", "ctrl-x,x", "dkeys") as terminal:
        terminal.send("echo a''b\n")
        terminal.expect("ab")
        terminal.send("\x18x")
        terminal.expect("read escape sequence")
        assert terminal.wait() == 1  # so does docker, for attach and exec


def test_a_terminal_is_refused_without_one(stack: Stack) -> None:
    done = stack.trine("run", "--rm", "-it", "busybox", "true", input="x")
    assert done.returncode == 1
    assert "the input device is not a TTY" in done.stderr


def test_end_of_file_ends_the_shell(stack: Stack) -> None:
    with stack.terminal("run", "--rm", "-it", "-e", "PS1=<\\u>", "busybox") as terminal:
        terminal.expect("<root>")
        terminal.send(CTRL_D)
        assert terminal.wait() == 0


def test_ctrl_c_without_a_terminal_stops_the_container(stack: Stack) -> None:
    script = "trap 'echo bye; exit 4' INT TERM; echo ready; while :; do sleep 0.1; done"
    with stack.terminal("run", "--rm", "busybox", "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.send(CTRL_C)
        terminal.expect("bye")
        assert terminal.wait() == 4


def test_attaching_again_has_the_prompt_painted_again(stack: Stack) -> None:
    start_shell(stack, "again")
    for _ in range(2):  # the same size twice: nothing would tell the shell
        with stack.terminal("attach", "again") as terminal:
            terminal.expect("<root>")
            terminal.send(CTRL_P + CTRL_Q)
            terminal.expect("read escape sequence")
            terminal.wait()


def test_bad_detach_keys_are_refused_before_anything_is_made(stack: Stack) -> None:
    with stack.terminal("run", "-it", "--name", "never", "--detach-keys", "foo", "busybox") as terminal:
        assert terminal.wait() == 1
        assert "Invalid escape keys (foo) provided" in terminal.text
    assert stack.trine("inspect", "never").returncode == 1


def test_two_clients_see_the_same_output(stack: Stack) -> None:
    start_shell(stack, "shared")
    with stack.terminal("attach", "shared") as one, stack.terminal("attach", "shared") as two:
        one.expect("<root>")
        two.expect("<root>")  # painted again for it: it is attached
        one.send("echo for''both\n")
        one.expect("forboth")
        two.expect("forboth")
