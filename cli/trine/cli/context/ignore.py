"""``.dockerignore``: patterns and what they leave out (moby/patternmatcher)."""

from __future__ import annotations

import posixpath
import re


def read_patterns(text: str) -> list[str]:
    """Return the patterns of a .dockerignore file: comments and blank lines gone, paths cleaned."""
    found: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        inverted = pattern.startswith("!")
        if inverted:
            pattern = pattern[1:].strip()
        if pattern:
            pattern = posixpath.normpath(pattern)
            if len(pattern) > 1 and pattern.startswith("/"):
                pattern = pattern.lstrip("/")
        found.append(f"!{pattern}" if inverted else pattern)
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of one pattern; raises ValueError when it is malformed."""
    out = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if pattern.startswith("*", at):
                at += 1
                if pattern.startswith("/", at):
                    at += 1
                out += ".*" if at >= len(pattern) else "(.*/)?"
            else:
                out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise ValueError("syntax error in pattern")
            inner = pattern[at:end].replace("\\", "\\\\")
            out += f"[{inner}]"
            at = end + 1
        elif character == "\\" and at < len(pattern):
            out += re.escape(pattern[at])
            at += 1
        else:
            out += re.escape(character)
    try:
        return re.compile(f"^{out}$", re.DOTALL)
    except re.error:
        raise ValueError("syntax error in pattern") from None


class Matcher:
    """Tells which paths of a context are left out."""

    def __init__(self, patterns: list[str]) -> None:
        """Compile patterns as ``read_patterns`` gives them; raises ValueError for a malformed one."""
        self._rules: list[tuple[bool, re.Pattern[str], str]] = []
        for pattern in patterns:
            inverted = pattern.startswith("!")
            body = pattern[1:] if inverted else pattern
            if not body:
                raise ValueError('illegal exclusion pattern: "!"')
            self._rules.append((inverted, _expression(body), body))

    def excluded(self, path: str) -> bool:
        """Tell whether a path (relative, with slashes) is left out.

        The last rule that matches it or a directory above it decides.
        """
        out = False
        for inverted, expression, _ in self._rules:
            if inverted != out:
                continue  # it would not change anything
            if self._matches(expression, path):
                out = not inverted
        return out

    @staticmethod
    def _matches(expression: re.Pattern[str], path: str) -> bool:
        while path:
            if expression.match(path):
                return True
            path = path.rpartition("/")[0]
        return False

    def may_have_exceptions_below(self, directory: str) -> bool:
        """Tell whether something in a directory that is left out may be wanted again."""
        return any(
            inverted and ((body + "/").startswith(directory + "/") or "*" in body.partition("/")[0])
            for inverted, _, body in self._rules
        )
