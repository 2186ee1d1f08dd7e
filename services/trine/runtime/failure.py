"""The error that crosses from init to shim to service: a reason and one line for the user. Lean."""

from __future__ import annotations


class ContainerError(Exception):
    """Why a container or process could not be made or run.

    ``reason`` is an ErrorInfo reason (docs/seams.md) or empty for a fault of ours or of the host;
    ``exit_code`` is what the process is said to have ended with.
    """

    def __init__(self, message: str, reason: str = "", exit_code: int = 128) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.exit_code = exit_code

    def as_dict(self) -> dict[str, object]:
        """Return the form that travels in a packet."""
        return {"reason": self.reason, "message": self.message, "exit_code": self.exit_code}


def from_dict(data: dict[str, object]) -> ContainerError:
    """Return the error ``as_dict`` was made of."""
    code = data.get("exit_code")
    return ContainerError(
        str(data.get("message", "")),
        str(data.get("reason", "")),
        code if isinstance(code, int) else 128,
    )


def in_dockers_words(text: str) -> str:
    """Return an error of init or enter as the daemon passes it on: "unknown", and a hint at odd places."""
    hint = (
        ": Are you trying to mount a directory onto a file (or vice-versa)? "
        "Check if the specified host path exists and is the expected type"
    )
    return f"{text}: unknown" + (hint if "not a directory" in text else "")


def describe(error: OSError) -> str:
    """Return an OSError as Go would word it: "no such file or directory"."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def quote(text: str) -> str:
    """Return a string as Go's %q would, close enough for paths: no newline survives."""
    return (
        '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
    )


def from_os_error(error: OSError) -> ContainerError:
    """Return the error a failed system call means, with the file it was about."""
    text = error.strerror or str(error)
    return ContainerError(f"{error.filename}: {text}" if error.filename else text)
