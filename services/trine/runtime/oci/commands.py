"""The commands of trine-oci. Lean: no gRPC.

The command line is runc's. Messages too, where a caller reads them: podman tells "no such command" (exit
127) and "cannot be executed" (126) from other failures by their words in --log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any

from trine.linux import process
from trine.runtime.failure import ContainerError, describe
from trine.runtime.oci import launch, options, reports
from trine.runtime.oci import state as states
from trine.runtime.oci.options import Parsed
from trine.runtime.spec_defaults import OCI_VERSION

VERSION = "0.1.0"


def main() -> None:
    """Run the command line of this process and exit."""
    arguments = sys.argv[1:]
    log = Log("", "text")
    try:
        before = options.parse(arguments, options.GLOBAL, stops=True)
        log = Log(before.text("log"), before.text("log-format", "text"))
        sys.exit(_dispatch(before, log))
    except ContainerError as error:
        log.write("error", error.message)
        print(error.message, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        text = describe(error)
        message = f"{error.filename}: {text}" if error.filename else text
        log.write("error", message)
        print(message, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


class Log:
    """Where errors go for the caller to read: a file, as text or JSON lines; nowhere when not asked for."""

    def __init__(self, path: str, form: str) -> None:
        """Take --log and --log-format. Raises ContainerError for a format that is none."""
        if form not in ("text", "json", ""):
            raise ContainerError(f"invalid log-format: {form}", "USAGE")
        self._path, self._json = path, form == "json"

    def write(self, level: str, message: str) -> None:
        """Append one entry; a log that cannot be written changes nothing."""
        if not self._path:
            return
        entry = {"level": level, "msg": message, "time": states.now()}
        text = json.dumps(entry)
        if not self._json:
            text = f'time="{entry["time"]}" level={level} msg={json.dumps(message)}'
        with contextlib.suppress(OSError), open(self._path, "a") as stream:
            stream.write(text + "\n")

    def warn(self, message: str) -> None:
        """Append a warning."""
        self.write("warning", message)


def _dispatch(before: Parsed, log: Log) -> int:
    if before.given("version"):
        print(f"trine-oci version {VERSION}\nspec: {OCI_VERSION}")
        return 0
    if before.given("help") or not before.words or before.words[0] in ("help", "h"):
        print(options.usage())
        return 0
    name, *rest = before.words
    command = options.COMMANDS.get(name)
    if command is None:
        raise ContainerError(f"No help topic for '{name}'", "USAGE")
    flags = (*command.flags, options.Flag("help h", value=False))
    given = options.parse(rest, flags, command.stops)
    if given.given("help"):
        print(f"Usage: trine-oci {command.usage}\n\n{command.help}")
        return 0
    if not command.least <= len(given.words) <= command.most:
        raise ContainerError(f'trine-oci: "{name}" requires: {command.usage}', "USAGE")
    if before.given("systemd-cgroup") or before.text("cgroup-manager") == "systemd":
        log.warn("the systemd cgroup driver is not supported: cgroups are made by hand (cgroupfs)")
    root = before.text("root", states.DEFAULT_ROOT)
    return int(_COMMANDS[name](root, given, log) or 0)


# -- commands -----------------------------------------------------------------------------------


def _make(root: str, given: Parsed, log: Log, front: bool) -> launch.Creation:
    bundle = os.path.abspath(given.text("bundle", "."))
    passed = launch.preserved(given.number("preserve-fds"))
    config = launch.load_bundle(bundle)
    made = launch.Creation(states.Record(root, given.words[0]), config, bundle, log.warn)
    made.make(given.text("console-socket"), passed, front)
    _write_pid(given.text("pid-file"), made.pid, made.undo)
    return made


def _write_pid(path: str, pid: int, undo: Any) -> None:
    if not path:
        return
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
    try:
        with open(temporary, "w") as stream:
            stream.write(str(pid))
        os.rename(temporary, path)
    except OSError:
        undo()
        raise


def _create(root: str, given: Parsed, log: Log) -> None:
    _make(root, given, log, front=False)


def _start(root: str, given: Parsed, _log: Log) -> None:
    launch.start(states.Record.load(root, given.words[0]))


def _run(root: str, given: Parsed, log: Log) -> int:
    from trine.runtime.oci.foreground import Foreground

    detached = given.given("detach")
    front = None
    if not detached:
        process.set_child_subreaper()
        front = Foreground()
    made = _make(root, given, log, front=not detached)
    try:
        launch.start(made.record)
    except ContainerError:
        made.undo()
        raise
    if front is None:
        return 0
    code = front.wait(made.pid, made.master)
    if not given.given("keep"):
        launch.delete(made.record, force=True)
    return code


def _exec(root: str, given: Parsed, _log: Log) -> int:
    from trine.runtime.oci.foreground import Foreground

    record = states.Record.load(root, given.words[0])
    status = record.status()
    if status == states.STOPPED:
        raise ContainerError("cannot exec in a stopped container")
    if status == states.PAUSED and not given.given("ignore-paused"):
        raise ContainerError("cannot exec in a paused container (use --ignore-paused to override)")
    spec = _exec_process(record, given)
    passed = launch.preserved(given.number("preserve-fds"))
    detached = given.given("detach")
    front = None if detached else Foreground()
    made = launch.Execution(record)
    made.make(spec, given.text("console-socket"), passed, front=not detached)
    _write_pid(given.text("pid-file"), made.pid, lambda: os.kill(made.pid, signal.SIGKILL))
    return 0 if front is None else front.wait(made.pid, made.master)


def _exec_process(record: states.Record, given: Parsed) -> dict[str, Any]:
    """Return the OCI process of an exec: a file's, or the container's with what the flags change."""
    if path := given.text("process"):
        try:
            with open(path, "rb") as stream:
                found: dict[str, Any] = json.load(stream)
        except (OSError, ValueError) as error:
            raise ContainerError(f"{path}: {error}") from None
        if not found.get("args"):
            raise ContainerError("process args cannot be empty")
        return found
    if len(given.words) < 2:
        raise ContainerError("process args cannot be empty")
    spec = dict(record.config()["process"])
    spec["args"] = given.words[1:]
    spec["env"] = [*(spec.get("env") or []), *given.all("env")]
    spec["terminal"] = given.given("tty")
    spec.pop("consoleSize", None)
    spec["cwd"] = given.text("cwd", spec.get("cwd", "/"))
    if given.given("no-new-privs"):
        spec["noNewPrivileges"] = True
    if added := given.all("cap"):
        lists = {kind: list(names) for kind, names in (spec.get("capabilities") or {}).items()}
        for kind in ("bounding", "effective", "permitted"):
            lists[kind] = sorted({*lists.get(kind, []), *added})
        spec["capabilities"] = lists
    if "user" in given.values or given.all("additional-gids"):
        spec["user"] = _user(given, spec.get("user") or {})
    return spec


def _user(given: Parsed, before: dict[str, Any]) -> dict[str, Any]:
    user = dict(before)
    uid, colon, gid = given.text("user", str(before.get("uid", 0))).partition(":")
    try:
        user["uid"] = int(uid)
        if colon:
            user["gid"] = int(gid)
        user["additionalGids"] = [
            *(before.get("additionalGids") or []),
            *(int(group) for group in given.all("additional-gids")),
        ]
    except ValueError:
        raise ContainerError(f"parsing {given.text('user')} as int for uid failed") from None
    return user


def _state(root: str, given: Parsed, _log: Log) -> None:
    print(json.dumps(states.Record.load(root, given.words[0]).summary(), indent=2))


def _kill(root: str, given: Parsed, _log: Log) -> None:
    record = states.Record.load(root, given.words[0])
    launch.kill(record, _signal(given.words[1] if len(given.words) > 1 else "SIGTERM"), given.given("all"))


def _signal(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < signal.NSIG:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name.startswith("SIG_") or not hasattr(signal, name):
        raise ContainerError(f"unknown signal {text!r}")
    return int(getattr(signal, name))


def _delete(root: str, given: Parsed, _log: Log) -> None:
    force = given.given("force")
    failures = []
    for container_id in given.words:
        try:
            launch.delete(states.Record.load(root, container_id), force)
        except ContainerError as error:
            if not (force and error.reason == "NOT_FOUND"):
                failures.append(error)
                continue
            states.Record(root, container_id).remove()
    if failures:
        raise ContainerError("; ".join(error.message for error in failures))


def _list(root: str, given: Parsed, _log: Log) -> None:
    sys.stdout.write(reports.listing(states.Record.all(root), given.text("format"), given.given("quiet")))


def _ps(root: str, given: Parsed, _log: Log) -> None:
    record = states.Record.load(root, given.words[0])
    print(reports.processes(record, given.text("format"), given.words[1:]).rstrip("\n"))


def _pause(root: str, given: Parsed, _log: Log) -> None:
    record = states.Record.load(root, given.words[0])
    if record.status() not in (states.RUNNING, states.CREATED):
        raise ContainerError(f"container not running or created: {record.status()}")
    record.group().freeze()


def _resume(root: str, given: Parsed, _log: Log) -> None:
    record = states.Record.load(root, given.words[0])
    if record.status() != states.PAUSED:
        raise ContainerError("container not paused")
    record.group().thaw()


def _update(root: str, given: Parsed, log: Log) -> None:
    record = states.Record.load(root, given.words[0])
    for warning in record.group().apply(reports.limits(given)):
        log.warn(warning)


def _events(root: str, given: Parsed, _log: Log) -> None:
    record = states.Record.load(root, given.words[0])
    os.close(record.pidfd())
    if not given.given("stats"):
        raise ContainerError("only events --stats is supported")
    print(reports.usage(record))


def _spec(_root: str, given: Parsed, _log: Log) -> None:
    from trine.runtime.spec_defaults import bare_config

    if given.given("rootless"):
        raise ContainerError("user namespaces are not supported")
    path = os.path.join(given.text("bundle", "."), "config.json")
    try:
        with open(path, "x") as stream:
            json.dump(bare_config(), stream, indent=4)
    except FileExistsError:
        raise ContainerError("File config.json exists. Remove it first") from None


def _features(_root: str, _given: Parsed, _log: Log) -> None:
    print(reports.features())


_COMMANDS: dict[str, Any] = {
    "create": _create,
    "start": _start,
    "run": _run,
    "exec": _exec,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "list": _list,
    "ps": _ps,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "events": _events,
    "spec": _spec,
    "features": _features,
}
