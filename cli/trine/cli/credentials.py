"""config.json: credentials by registry and preferences, in Docker's format.

Read from our own directory first and from Docker's second (DOCKER_CONFIG, ~/.docker), so that a login made
with Docker serves here; written to the second as Docker does (atomically, mode 0600), unless --config or
TRINE_CONFIG names another.
"""

from __future__ import annotations

import os

from trine.cli.failure import Failure
from trine.cli.opts.references import HUB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _own(name: str) -> str:
    """Return a registry's name as keys compare: without scheme, path and slash."""
    name = name.removeprefix("https://").removeprefix("http://")
    return name.partition("/")[0]


class ConfigFile:
    """The configuration file in force."""

    def __init__(self, directory: str) -> None:
        """Look in ``directory``, then where Docker does."""
        self._own_path = os.path.join(directory, "config.json")
        shared = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
        self._shared_path = os.path.join(shared, "config.json")
        default = os.path.join(os.path.expanduser("~"), ".config", "trine")
        self.path = self._shared_path if directory == default else self._own_path

    def read(self, path: str) -> dict[str, Any]:
        """Return what a file holds, {} when it is not there; raises Failure when it is not JSON."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise Failure(f"Error loading config file: open {path}: {reason}") from None
        import json

        try:
            found = json.loads(text) if text.strip() else {}
        except ValueError as error:
            raise Failure(f"Error loading config file: {error}") from None
        return found if isinstance(found, dict) else {}

    def _glance(self, path: str) -> dict[str, Any]:
        """Return what a file holds; one that is not JSON is told of and taken for empty, as Docker does."""
        try:
            return self.read(path)
        except Failure as failure:
            import sys

            text = str(failure).removeprefix("Error loading config file: ")
            sys.stderr.write(f"WARNING: Error parsing config file ({path}): {text}\n")
            return {}

    def value(self, key: str) -> Any:
        """Return a preference ("detachKeys", "psFormat", …), None when it is not set."""
        for path in (self._own_path, self._shared_path):
            if os.path.exists(path):
                found = self._glance(path).get(key)
                if found is not None:
                    return found
        return None

    def auth(self, registry: str) -> dict[str, str] | None:
        """Return the RegistryAuth for a registry, None when there is none; raises Failure."""
        for path in (self._own_path, self._shared_path):
            if not os.path.exists(path):
                continue
            found = self._auth_in(self._glance(path), registry)
            if found:
                return found
        return None

    def auths(self) -> dict[str, dict[str, str]]:
        """Return all credentials by registry, for builds; raises Failure."""
        result: dict[str, dict[str, str]] = {}
        for path in (self._own_path, self._shared_path):
            if os.path.exists(path):
                config = self._glance(path)
                for key in [*(config.get("auths") or {}), *(config.get("credHelpers") or {})]:
                    found = self._auth_in(config, key)
                    if found and key not in result:
                        result[key] = found
        return result

    def _auth_in(self, config: dict[str, Any], registry: str) -> dict[str, str] | None:
        helper = (config.get("credHelpers") or {}).get(registry) or config.get("credsStore")
        if helper:
            try:
                found = _from_helper(str(helper), registry)
            except Failure:
                found = None  # as Docker: the registry says whether it can be done without
            if found:
                return found
        auths = config.get("auths") or {}
        entry = auths.get(registry)
        if entry is None:
            entry = next((value for key, value in auths.items() if _own(key) == _own(registry)), None)
        if not isinstance(entry, dict):
            return None
        user, password = str(entry.get("username", "")), str(entry.get("password", ""))
        if entry.get("auth"):
            import base64

            try:
                user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            except ValueError:
                raise Failure(f"Error loading config file: invalid auth of {registry}") from None
        token = str(entry.get("identitytoken", ""))
        if not (user or token):
            return None
        return {
            "server_address": registry,
            "username": user,
            "password": password.rstrip("\0"),
            "identity_token": token,
        }

    def store(self, registry: str, username: str, password: str, token: str) -> bool:
        """Keep credentials; return whether they are unencrypted in the file. Raises Failure."""
        config = self.read(self.path)
        helper = (config.get("credHelpers") or {}).get(registry) or config.get("credsStore")
        if helper:
            import json

            user = "<token>" if token else username  # what a helper's entry with an identity token is called
            secret = json.dumps({"ServerURL": registry, "Username": user, "Secret": token or password})
            try:
                _run_helper(str(helper), "store", secret)
            except Failure as failure:
                text = str(failure).replace("getting", "storing", 1)
                raise Failure(f"Error saving credentials: {text}") from None
            config.setdefault("auths", {})[registry] = {}
            self._write(config)
            return False
        import base64

        entry = {"auth": base64.b64encode(f"{username}:{'' if token else password}".encode()).decode()}
        if token:
            entry["identitytoken"] = token
        config.setdefault("auths", {})[registry] = entry
        self._write(config)
        return True

    def erase(self, registry: str) -> bool:
        """Forget credentials; return whether there were any. Raises Failure."""
        config = self.read(self.path)
        helper = (config.get("credHelpers") or {}).get(registry) or config.get("credsStore")
        if helper:
            _run_helper(str(helper), "erase", registry)
        auths = config.get("auths") or {}
        keys = [key for key in auths if key == registry or (registry != HUB and _own(key) == _own(registry))]
        for key in keys:
            del auths[key]
        if keys:
            self._write(config)
        return bool(keys) or bool(helper)

    def _write(self, config: dict[str, Any]) -> None:
        import json
        import tempfile

        target = os.path.realpath(self.path)  # through a link, as Docker writes
        directory = os.path.dirname(target)
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix="config.json", dir=directory)
        except OSError as error:
            raise Failure(
                f"Error saving credentials: open {target}: {(error.strerror or '').lower()}"
            ) from None
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(config, file, indent="\t", ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o600)
            os.replace(temporary, target)
        except OSError as error:
            os.unlink(temporary)
            raise Failure(f"Error saving credentials: {(error.strerror or '').lower()}") from None


def _run_helper(helper: str, action: str, text: str) -> str:
    """Run docker-credential-<helper>; raises Failure when it fails."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, action], input=text, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise Failure(
            f'error getting credentials - err: exec: "{program}": executable file not found in $PATH, out: ``'
        ) from None
    except subprocess.TimeoutExpired:
        raise Failure(f"error getting credentials - err: {program} does not answer") from None
    if done.returncode:
        raise Failure(
            f"error getting credentials - err: exit status {done.returncode}, out: `{done.stdout.strip()}`"
        )
    return done.stdout


def _from_helper(helper: str, registry: str) -> dict[str, str] | None:
    import json

    try:
        found = json.loads(_run_helper(helper, "get", registry))
    except Failure as failure:
        if "credentials not found" in str(failure):
            return None
        raise
    except ValueError:
        return None
    user, secret = str(found.get("Username", "")), str(found.get("Secret", ""))
    token = user == "<token>"
    return {
        "server_address": registry,
        "username": "" if token else user,
        "password": "" if token else secret,
        "identity_token": secret if token else "",
    }
