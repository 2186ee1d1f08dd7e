"""``trine run``: create and run a new container."""

from __future__ import annotations

import sys

from trine.cli.app import warn
from trine.cli.failure import Failure
from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trine.cli.app import App
    from trine.cli.client import Call
    from trine.cli.flags import Values

SPEC = Spec(
    "Create and run a new container from an image",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    (
        ("", "add-host", "list", "Add a custom host-to-IP mapping (host:ip)", "hosts:check_host"),
        (
            "",
            "annotation",
            "map",
            "Add an annotation to the container (passed through to the OCI runtime) (default map[])",
        ),
        ("a", "attach", "list", "Attach to STDIN, STDOUT or STDERR", "streams:check_stream"),
        (
            "",
            "blkio-weight",
            "uint16",
            "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
        ),
        ("", "blkio-weight-device", "list", "Block IO weight (relative device weight) (default [])"),
        ("", "cap-add", "list", "Add Linux capabilities"),
        ("", "cap-drop", "list", "Drop Linux capabilities"),
        ("", "cgroup-parent", "string", "Optional parent cgroup for the container"),
        (
            "",
            "cgroupns",
            "string",
            "Cgroup namespace to use (host|private)\n'host':    Run the container in the Trine "
            "host's cgroup namespace\n'private': Run the container in its own private cgroup "
            "namespace\n'':        Use the cgroup namespace as configured by the\n           "
            "default-cgroupns-mode option on the daemon (default)",
        ),
        ("", "cidfile", "string", "Write the container ID to the file"),
        ("", "cpu-count", "int", "CPU count (Windows only)"),
        ("", "cpu-percent", "int", "CPU percent (Windows only)"),
        ("", "cpu-period", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
        ("", "cpu-quota", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        ("", "cpu-rt-period", "int", "Limit CPU real-time period in microseconds"),
        ("", "cpu-rt-runtime", "int", "Limit CPU real-time runtime in microseconds"),
        ("c", "cpu-shares", "int", "CPU shares (relative weight)"),
        ("", "cpus", "decimal", "Number of CPUs"),
        ("", "cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
        ("", "cpuset-mems", "string", "MEMs in which to allow execution (0-3, 0,1)"),
        ("d", "detach", "", "Run container in background and print container ID"),
        ("", "detach-keys", "string", "Override the key sequence for detaching a container"),
        ("", "device", "list", "Add a host device to the container"),
        (
            "",
            "device-cgroup-rule",
            "list",
            "Add a rule to the cgroup allowed devices list",
            "devices:check_rule",
        ),
        ("", "device-read-bps", "list", "Limit read rate (bytes per second) from a device (default [])"),
        ("", "device-read-iops", "list", "Limit read rate (IO per second) from a device (default [])"),
        ("", "device-write-bps", "list", "Limit write rate (bytes per second) to a device (default [])"),
        ("", "device-write-iops", "list", "Limit write rate (IO per second) to a device (default [])"),
        ("", "disable-content-trust", "", "Skip image verification (default true)"),
        ("", "dns", "list", "Set custom DNS servers", "addresses:check_ip"),
        ("", "dns-option", "list", "Set DNS options"),
        ("", "dns-search", "list", "Set custom DNS search domains", "addresses:check_domain"),
        ("", "domainname", "string", "Container NIS domain name"),
        ("", "entrypoint", "string", "Overwrite the default ENTRYPOINT of the image"),
        ("e", "env", "list", "Set environment variables", "env:check_env"),
        ("", "env-file", "list", "Read in a file of environment variables"),
        ("", "expose", "list", "Expose a port or a range of ports"),
        ("", "gpus", "gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)"),
        ("", "group-add", "list", "Add additional groups to join"),
        ("", "health-cmd", "string", "Command to run to check health"),
        ("", "health-interval", "duration", "Time between running the check (ms|s|m|h) (default 0s)"),
        ("", "health-retries", "int", "Consecutive failures needed to report unhealthy"),
        (
            "",
            "health-start-interval",
            "duration",
            "Time between running the check during the start period (ms|s|m|h) (default 0s)",
        ),
        (
            "",
            "health-start-period",
            "duration",
            "Start period for the container to initialize before starting health-retries countdown "
            "(ms|s|m|h) (default 0s)",
        ),
        (
            "",
            "health-timeout",
            "duration",
            "Maximum time to allow one check to run (ms|s|m|h) (default 0s)",
        ),
        ("", "help", "", "Print usage"),
        ("h", "hostname", "string", "Container host name"),
        ("", "init", "", "Run an init inside the container that forwards signals and reaps processes"),
        ("i", "interactive", "", "Keep STDIN open even if not attached"),
        ("", "io-maxbandwidth", "bytes", "Maximum IO bandwidth limit for the system drive (Windows only)"),
        ("", "io-maxiops", "uint", "Maximum IOps limit for the system drive (Windows only)"),
        ("", "ip", "string", "IPv4 address (e.g., 172.30.100.104)"),
        ("", "ip6", "string", "IPv6 address (e.g., 2001:db8::33)"),
        ("", "ipc", "string", "IPC mode to use"),
        ("", "isolation", "string", "Container isolation technology"),
        ("", "kernel-memory", "bytes", "Kernel memory limit"),
        ("l", "label", "list", "Set meta data on a container", "labels:check_label"),
        ("", "label-file", "list", "Read in a line delimited file of labels"),
        ("", "link", "list", "Add link to another container", "hosts:check_link"),
        ("", "link-local-ip", "list", "Container IPv4/IPv6 link-local addresses"),
        ("", "log-driver", "string", "Logging driver for the container"),
        ("", "log-opt", "list", "Log driver options"),
        ("", "mac-address", "string", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
        ("m", "memory", "bytes", "Memory limit"),
        ("", "memory-reservation", "bytes", "Memory soft limit"),
        (
            "",
            "memory-swap",
            "bytes",
            "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
            "sizes:swap_bytes",
        ),
        ("", "memory-swappiness", "int", "Tune container memory swappiness (0 to 100) (default -1)"),
        ("", "mount", "mount", "Attach a filesystem mount to the container"),
        ("", "name", "string", "Assign a name to the container"),
        ("", "network", "network", "Connect a container to a network"),
        ("", "network-alias", "list", "Add network-scoped alias for the container"),
        ("", "no-healthcheck", "", "Disable any container-specified HEALTHCHECK"),
        ("", "oom-kill-disable", "", "Disable OOM Killer"),
        ("", "oom-score-adj", "int", "Tune host's OOM preferences (-1000 to 1000)"),
        ("", "pid", "string", "PID namespace to use"),
        ("", "pids-limit", "int", "Tune container pids limit (set -1 for unlimited)"),
        ("", "platform", "string", "Set platform if server is multi-platform capable"),
        ("", "privileged", "", "Give extended privileges to this container"),
        ("p", "publish", "list", "Publish a container's port(s) to the host"),
        ("P", "publish-all", "", "Publish all exposed ports to random ports"),
        (
            "",
            "pull",
            "string",
            'Pull image before running ("always", "missing", "never") (default "missing")',
        ),
        ("q", "quiet", "", "Suppress the pull output"),
        ("", "read-only", "", "Mount the container's root filesystem as read only"),
        ("", "restart", "string", 'Restart policy to apply when a container exits (default "no")'),
        (
            "",
            "rm",
            "",
            "Automatically remove the container and its associated anonymous volumes when it exits",
        ),
        ("", "runtime", "string", "Runtime to use for this container"),
        ("", "security-opt", "list", "Security Options"),
        ("", "shm-size", "bytes", "Size of /dev/shm"),
        ("", "sig-proxy", "", "Proxy received signals to the process (default true)"),
        ("", "stop-signal", "string", "Signal to stop the container"),
        ("", "stop-timeout", "int", "Timeout (in seconds) to stop a container"),
        ("", "storage-opt", "list", "Storage driver options for the container"),
        ("", "sysctl", "map", "Sysctl options (default map[])", "labels:check_sysctl"),
        ("", "tmpfs", "list", "Mount a tmpfs directory"),
        ("t", "tty", "", "Allocate a pseudo-TTY"),
        ("", "ulimit", "ulimit", "Ulimit options (default [])"),
        ("", "use-api-socket", "", "Bind mount Trine API socket and required auth"),
        ("u", "user", "string", "Username or UID (format: <name|uid>[:<group|gid>])"),
        ("", "userns", "string", "User namespace to use"),
        ("", "uts", "string", "UTS namespace to use"),
        ("v", "volume", "list", "Bind mount a volume"),
        ("", "volume-driver", "string", "Optional volume driver for the container"),
        ("", "volumes-from", "list", "Mount volumes from the specified container(s)"),
        ("w", "workdir", "string", "Working directory inside the container"),
        ("", "net", "network", "=network"),
        ("", "net-alias", "list", "=network-alias"),
        ("", "dns-opt", "list", "=dns-option"),
    ),
    minimum=1,
    aliases=(
        "container run",
        "run",
    ),
    interspersed=False,
)
_SETTLE_SECONDS = 10.0
_GENERIC, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127


def run(app: App, values: Values) -> int:
    """Create, start and (without -d) attach; returns the container's exit status. Raises Failure."""
    from trine.cli import container_config, creating
    from trine.cli.opts.mounts import DaemonText

    try:
        creating.check_pull(values)
        config = container_config.config_of(values)
    except (container_config.ConfigError, DaemonText) as error:
        raise container_config.fail(error, "run") from None
    _streams(values, config)
    try:
        identifier = creating.create(app, values, config)
    except Failure as failure:
        raise _explained(failure) from None
    if values["detach"]:
        return _detached(app, identifier)
    return _attached(app, values, config, identifier)


def _streams(values: Values, config: dict[str, Any]) -> None:
    """Settle what is attached; raises Failure."""
    if values["detach"]:
        if values["attach"]:
            raise Failure("conflicting options: cannot specify both --attach and --detach", 1)
        config.update(attach_stdin=False, attach_stdout=False, attach_stderr=False, stdin_once=False)
        return
    from trine.cli import terminal

    if config["tty"]:
        if config["attach_stdin"] and not terminal.is_terminal(0):
            raise Failure("the input device is not a TTY", 1)
        config["console_rows"], config["console_columns"] = terminal.size(1)


def _explained(failure: Failure) -> Failure:
    """Return a failure of the daemon as run tells it: with the hint, and the status its reason means."""
    from trine.cli.client import DaemonError

    status = _GENERIC
    if isinstance(failure, DaemonError):
        status = {"COMMAND_NOT_FOUND": _NOT_FOUND, "COMMAND_NOT_EXECUTABLE": _NOT_EXECUTABLE}.get(
            failure.reason, _GENERIC
        )
    return Failure(f"trine: {failure}\n\nRun 'trine run --help' for more information", status)


def _detached(app: App, identifier: str) -> int:
    try:
        answer = app.client.call("ContainerService.StartContainer", {"container": identifier})
    except Failure as failure:
        sys.stdout.write(f"{identifier}\n")
        raise _explained(failure) from None
    for warning in answer.warnings:
        warn(f"WARNING: {warning}")
    sys.stdout.write(f"{identifier}\n")
    return 0


def _attached(app: App, values: Values, config: dict[str, Any], identifier: str) -> int:
    from trine.cli.attach import Session

    client = app.client
    removed = "WAIT_CONDITION_REMOVED" if config["auto_remove"] else "WAIT_CONDITION_NEXT_EXIT"
    wait = client.start("ContainerService.WaitContainer", {"container": identifier, "condition": removed})
    session: Session | None = None
    try:
        if config["attach_stdin"] or config["attach_stdout"] or config["attach_stderr"]:
            session = Session(
                client,
                identifier,
                stdin=config["attach_stdin"],
                stdout=config["attach_stdout"],
                stderr=config["attach_stderr"],
                tty=config["tty"],
                detach_keys=values["detach-keys"] or str(app.config.value("detachKeys") or ""),
            )
        wait.receive()  # registered (meanwhile, most likely): the exit cannot be missed from here on
        client.call("ContainerService.StartContainer", {"container": identifier})
    except Failure as failure:
        if session is not None:
            session.close()
        if config["auto_remove"]:
            _settle(wait)
        raise _explained(failure) from None
    except BaseException:
        if session is not None:
            session.close()
        raise
    if session is not None:
        proxy = None
        if values["sig-proxy"] and not config["tty"]:
            proxy = signal_sender(app, identifier)
        try:
            session.run(proxy)
        finally:
            session.close()
        if session.detached:
            return 0
    return result_of(wait, session.exit_code if session is not None else None)


def signal_sender(app: App, identifier: str) -> Any:
    """Return a function that sends a signal to a container and does not wait for the answer."""

    def send(number: int) -> None:
        request = {"container": identifier, "signal": str(number)}
        try:
            app.client.start("ContainerService.KillContainer", request)
        except Failure:
            app.client.close()  # the daemon was restarted meanwhile: once more, on a new connection
            try:
                app.client.start("ContainerService.KillContainer", request)
            except Failure as failure:
                sys.stderr.write(f"{failure}\n")

    return send


def _settle(wait: Call) -> None:
    """Wait until a container that did not start is removed: while the daemon answers, not for ever."""
    try:
        while wait.receive(_SETTLE_SECONDS) is not None:
            pass
    except (Failure, TimeoutError):
        pass


def result_of(wait: Call, told: int | None) -> int:
    """Return the exit status a wait gives; raises Failure.

    When the daemon has gone meanwhile, what the container's shim told is taken.
    """
    from trine.cli.client import UnreachableError

    try:
        return _waited(wait)
    except UnreachableError:
        if told is None:
            raise
        return told


def _waited(wait: Call) -> int:
    status = _GENERIC
    for answer in wait:
        if answer.registered:
            continue
        if answer.error:
            warn(f"Error waiting for container: {answer.error}")
            return _GENERIC
        status = answer.exit_code
    return int(status)
