"""``trine login``: log in to a registry."""

from __future__ import annotations

import sys

from trine.cli.flags import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.app import App
    from trine.cli.flags import Values

SPEC = Spec(
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    "[OPTIONS] [SERVER]",
    (
        ("p", "password", "string", "Password or Personal Access Token (PAT)"),
        ("", "password-stdin", "", "Take the Password or Personal Access Token (PAT) from stdin"),
        ("u", "username", "string", "Username"),
    ),
    minimum=0,
    maximum=1,
)


def run(app: App, values: Values) -> int:
    """Check credentials and keep them; returns the exit status, raises Failure."""
    from trine.cli.app import warn
    from trine.cli.client import DaemonError
    from trine.cli.failure import Failure
    from trine.cli.opts.references import HUB

    server = server_name(values.arguments)
    password = values["password"]
    if password:
        if values["password-stdin"]:
            raise Failure("conflicting options: cannot specify both --password and --password-stdin")
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if values["password-stdin"]:
        if not values["username"]:
            raise Failure("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().rstrip("\r\n")
    username = values["username"]
    kept = None if username or password else app.config.auth(server)
    if kept:
        warn(f"Authenticating with existing credentials... [Username: {kept['username']}]")
        try:
            return _check(app, server, kept, save=False)
        except DaemonError as error:
            warn(f"Login did not succeed, error: {error}")
    if not (username and password):
        username, password = _asked(server == HUB, username, password)
    auth = {"server_address": server, "username": username, "password": password, "identity_token": ""}
    return _check(app, server, auth, save=True)


def server_name(arguments: list[str]) -> str:
    """Return the registry an optional argument names, as config.json has it."""
    from trine.cli.opts.references import HUB

    if not arguments or arguments[0] in ("docker.io", "index.docker.io", "registry-1.docker.io", HUB):
        return HUB
    return arguments[0].removeprefix("https://").removeprefix("http://").partition("/")[0]


def _asked(hub: bool, username: str, password: str) -> tuple[str, str]:
    """Ask for what is missing; raises Failure where nobody can be asked."""
    from trine.cli.failure import Failure

    if not sys.stdin.isatty():
        raise Failure("Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        if hub:
            print("Log in with your Docker ID or email address to push and pull images from Docker Hub.")
        username = input("Username: ").strip()
    if not username:
        raise Failure("username is required")
    if not password:
        import getpass

        password = getpass.getpass("Password: ")
        print()
    if not password:
        raise Failure("password is required")
    return username, password


def _check(app: App, server: str, auth: dict[str, str], *, save: bool) -> int:
    """Try credentials at the registry and keep them; raises Failure."""
    answer = app.client.call("ImageService.CheckCredentials", {"auth": auth})
    if save:
        config = app.config
        if config.store(server, auth["username"], auth["password"], answer.identity_token):
            sys.stderr.write(
                f"\nWARNING! Your credentials are stored unencrypted in '{config.path}'.\n"
                "Configure a credential helper to remove this warning. See\n"
                "https://docs.docker.com/go/credential-store/\n\n"
            )
    print(answer.status or "Login Succeeded")
    return 0
