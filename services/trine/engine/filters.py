"""`--filter key=value`: parsing and matching, as Docker's filters. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from trine.kit.errors import InvalidArgumentError


class Filters:
    """The filters of one request."""

    def __init__(self, given: Iterable[str], known: Iterable[str] | None) -> None:
        """Parse "key=value" texts; raises InvalidArgumentError for a key not in ``known`` (None: any)."""
        names = None if known is None else set(known)
        self._values: dict[str, list[str]] = {}
        for text in given:
            key, separator, value = text.partition("=")
            key = key.strip().lower()
            if not separator:
                raise InvalidArgumentError(
                    f"invalid argument {text!r}: bad format of filter (expected name=value)".replace(
                        "'", '"'
                    ),
                    reason="INVALID_FILTER",
                )
            if names is not None and key not in names:
                raise InvalidArgumentError(f"Invalid filter '{key}'", reason="INVALID_FILTER")
            self._values.setdefault(key, []).append(value.strip())

    def values(self, key: str) -> set[str]:
        """Return the values given for a key."""
        return set(self._values.get(key, ()))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def boolean(self, key: str) -> bool | None:
        """Return the truth of a key, None when it was not given; raises for anything but a boolean."""
        values = self.values(key)
        if not values:
            return None
        if values <= {"1", "true", "True", "t"}:
            return True
        if values <= {"0", "false", "False", "f"}:
            return False
        shown = " ".join(self._values[key])
        raise InvalidArgumentError(f"Invalid filter '{key}=[{shown}]'", reason="INVALID_FILTER")

    def fuzzy(self, key: str, text: str) -> bool:
        """Tell whether a value begins ``text`` or is an expression found in it; true when none was given."""
        values = self._values.get(key)
        if not values:
            return True
        for value in values:
            if text.startswith(value):
                return True
            try:
                if re.search(value, text):
                    return True
            except re.error:
                continue
        return False

    def exact(self, key: str, text: str) -> bool:
        """Tell whether a value equals ``text``; true when none was given."""
        return key not in self._values or text in self._values[key]

    def match_labels(self, labels: Mapping[str, str], key: str = "label") -> bool:
        """Tell whether all label filters hold: "name" (it is there) or "name=value"."""
        for text in self._values.get(key, ()):
            name, separator, value = text.partition("=")
            if name not in labels or (separator and labels[name] != value):
                return False
        return True

    def refuse_labels(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a label!= filter excludes these labels."""
        for text in self._values.get("label!", ()):
            name, separator, value = text.partition("=")
            if name in labels and (not separator or labels[name] == value):
                return True
        return False
