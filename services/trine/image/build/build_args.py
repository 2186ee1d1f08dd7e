"""ARG and --build-arg: which variables a step sees, and which nobody asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trine.image.build.gotext import environment_names

# Usable without an ARG, and then neither in the history nor in cache keys.
PREDEFINED = (
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
)


class BuildArgs:
    """The build arguments of a build, and what is allowed in the current stage."""

    def __init__(self, given: Mapping[str, str], unset: Iterable[str] = ()) -> None:
        """``given`` are the --build-arg values, ``unset`` the names that came without one."""
        self._given = dict(given)
        self._names = {*given, *unset}
        self._allowed: dict[str, str | None] = {}
        self._global: dict[str, str | None] = {}
        self._referenced: set[str] = set()

    def declare_global(self, name: str, default: str | None) -> None:
        """Note an ARG before the first FROM."""
        self.declare(name, default)
        self._global[name] = default

    def declare(self, name: str, default: str | None) -> None:
        """Note an ARG of the current stage."""
        self._allowed[name] = default
        self._referenced.add(name)

    def begin_stage(self) -> None:
        """Forget the ARGs of the stage before."""
        self._allowed = {}

    def allowed(self) -> dict[str, str]:
        """Return the variables of the current stage that have a value."""
        return self._values(self._allowed)

    def for_from(self) -> dict[str, str]:
        """Return the variables FROM may use."""
        return self._values(self._global)

    def beside(self, environment: list[str] | None) -> list[str]:
        """Return NAME=VALUE of those the environment does not set already, by name."""
        taken = environment_names(environment or [])
        return [f"{name}={value}" for name, value in sorted(self.allowed().items()) if name not in taken]

    def is_recorded(self, entry: str) -> bool:
        """Tell whether an entry of ``beside`` belongs in history and cache key: not an undeclared proxy."""
        name = entry.partition("=")[0]
        return name in self._allowed or name not in PREDEFINED

    def unused(self) -> list[str]:
        """Return the --build-arg names no ARG asked for, sorted."""
        return sorted(n for n in self._names if n not in PREDEFINED and n not in self._referenced)

    def _values(self, declared: Mapping[str, str | None]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in [*declared, *PREDEFINED]:
            value = self._given.get(name)
            if value is None:
                value = declared.get(name)
            if value is None:
                value = self._global.get(name)
            if value is not None and (name in declared or name in self._given):
                found[name] = value
        return found
