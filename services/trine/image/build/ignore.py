""".dockerignore: which paths of a context are left out.

Patterns are Go globs with ``**`` for any number of directories and ``!`` for exceptions; the last
pattern that matches a path, or one of its parents, decides. Pure.
Reference: docs.docker.com/build/concepts/context/#dockerignore-files, moby's fileutils of 20.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from trine.image.build.gotext import BadPatternError, clean_path, match


def read_patterns(content: bytes) -> list[str]:
    """Return the patterns of a .dockerignore file: comments and blank lines dropped, paths cleaned."""
    patterns: list[str] = []
    for number, raw in enumerate(content.split(b"\n")):
        data = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
        line = data.decode("utf-8", "surrogateescape")
        if line.startswith("#"):
            continue
        line = line.strip()
        if not line:
            continue
        negated = line.startswith("!")
        if negated:
            line = line[1:].strip()
        if line:
            line = clean_path(line)
            if len(line) > 1 and line.startswith("/"):
                line = line[1:]
        patterns.append("!" + line if negated else line)
    return patterns


class Matcher:
    """A compiled list of patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile; raises ValueError with Docker's text for a malformed pattern."""
        self._rules: list[tuple[bool, re.Pattern[str], int]] = []
        self.has_exceptions = False
        for raw in patterns:
            text = raw.strip()
            if not text:
                continue
            text = clean_path(text)
            negated = text.startswith("!")
            if negated:
                if len(text) == 1:
                    raise ValueError('illegal exclusion pattern: "!"')
                text = text[1:]
                self.has_exceptions = True
            match(text, ".")  # refuses what filepath.Match refuses
            self._rules.append((negated, _compile(text), text.count("/") + 1))

    def excludes(self, path: str) -> bool:
        """Tell whether a cleaned relative path is left out."""
        parts = path.split("/")
        parents = ["/".join(parts[:n]) for n in range(1, len(parts))]
        excluded = False
        for negated, pattern, _depth in self._rules:
            hit = pattern.fullmatch(path) is not None
            if not hit:
                hit = any(pattern.fullmatch(parent) for parent in parents)
            if hit:
                excluded = not negated
        return excluded


def _compile(pattern: str) -> re.Pattern[str]:
    """Return the regular expression Docker makes of a pattern (fileutils.Pattern.compile)."""
    out: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if pattern.startswith("*", position):
                position += 1
                if pattern.startswith("/", position):
                    position += 1
                out.append("(?:.*/)?" if position < len(pattern) else ".*")
            else:
                out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "\\":
            if position >= len(pattern):
                raise BadPatternError
            out.append(re.escape(pattern[position]))
            position += 1
        elif character == "[":
            end = _class_end(pattern, position)
            out.append("[" + _class_body(pattern[position:end]) + "]")
            position = end + 1
        else:
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def _class_end(pattern: str, position: int) -> int:
    index = position + (1 if pattern.startswith("^", position) else 0)
    while index < len(pattern) and pattern[index] != "]":
        index += 2 if pattern[index] == "\\" else 1
    if index >= len(pattern):
        raise BadPatternError
    return index


def _class_body(body: str) -> str:
    negated = body.startswith("^")
    text = re.sub(r"([\[&~|])", r"\\\1", body[1:] if negated else body)
    return ("^" if negated else "") + text
