"""What a command gets from the program: the engine, the configuration, the standard streams."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trine.cli.client import Client
    from trine.cli.credentials import ConfigFile


class App:
    """One run of the program."""

    def __init__(self, host: str, tls: dict[str, str] | None, config_directory: str) -> None:
        """Keep what the global flags say; nothing is opened yet."""
        self.host = host
        self.config_directory = config_directory
        self.path = ""  # the command as it was called, "container ls"
        self._tls = tls
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The engine; connects at the first call."""
        if self._client is None:
            from trine.cli.client import Client

            self._client = Client(self.host, self._tls)
        return self._client

    @property
    def config(self) -> ConfigFile:
        """Credentials and preferences."""
        from trine.cli.credentials import ConfigFile

        return ConfigFile(self.config_directory)

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()


def home() -> str:
    """Return the user's home directory."""
    return os.path.expanduser("~")


def warn(text: str) -> None:
    """Write a line to standard error, after what standard output holds."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def confirmed(question: str) -> bool:
    """Ask and tell whether the answer is yes (Docker's "[y/N]")."""
    sys.stdout.write(question)
    sys.stdout.flush()
    answer = sys.stdin.readline()
    return answer.strip() in ("y", "Y", "yes")
