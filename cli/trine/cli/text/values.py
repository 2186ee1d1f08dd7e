"""What a template works on: values that remember what they were in Go, and the error of a template."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class TemplateError(Exception):
    """A template that cannot be parsed or executed; the message is Go's."""

    written = ""  # what had been printed before it failed


class GoMap(dict[str, "Any"]):
    """A mapping that was a map in Go, not a struct."""


class NilMap(GoMap):
    """A map that is nil in Go: empty, but null in JSON."""

    def json(self) -> None:
        """Return what JSON shows."""


class NilList(list["Any"]):
    """A slice that is nil in Go: empty, but null in JSON."""

    def json(self) -> None:
        """Return what JSON shows."""


class GoStruct(dict[str, "Any"]):
    """An object that was a struct in Go: fields JSON leaves out have a zero value."""

    def __init__(self, shown: dict[str, Any], zeros: dict[str, Any]) -> None:
        """Keep what JSON shows, and what templates get for fields that are missing or null there."""
        super().__init__(shown)
        self.zeros = zeros


class Struct(dict[str, "Any"]):
    """A mapping that was a struct in Go, of which an error tells the type."""

    def __init__(self, kind: str, values: dict[str, Any]) -> None:
        """Keep the type's name with the fields."""
        super().__init__(values)
        self.kind = kind


class Shaped:
    """An object whose fields have other names in Go than in JSON."""

    def __init__(self, shown: dict[str, Any], more: dict[str, Any]) -> None:
        """Keep what JSON shows, and further names templates know."""
        self._shown = shown
        self._more = more

    def field(self, name: str) -> Any:
        """Return a field by its name in Go or JSON; raises KeyError."""
        return self._more[name] if name in self._more else self._shown[name]

    def json(self) -> dict[str, Any]:
        """Return what JSON shows."""
        return self._shown


class _NoValue:
    """What a map gives for a key it does not have."""


NO_VALUE = _NoValue()
