"""The Dockerfile parser: text to nodes, with Docker 20.10's rules of the classic builder.

Parser directives, comments, continuation lines, flags, JSON and shell forms. What an instruction
means is decided in instructions.py; variables are expanded when a step runs (shell_words.py).
Reference: docs.docker.com/reference/dockerfile, checked against dockerd 20.10.24.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from trine.image.build.gotext import quote

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.DOTALL)
_DIRECTIVES = frozenset({"escape", "syntax"})
_MAXIMUM_LINE = 65535
_NAME_VALUE = frozenset({"env", "label"})
_JSON_OR_WORDS = frozenset({"add", "copy", "volume"})
_JSON_OR_LINE = frozenset({"run", "cmd", "entrypoint", "shell"})
_WORDS = frozenset({"expose", "from"})
_LINE = frozenset({"maintainer", "stopsignal", "user", "workdir"})


class DockerfileError(ValueError):
    """The text is not a Dockerfile; the message is Docker's."""


@dataclass
class Node:
    """One instruction as written."""

    name: str  # lower case
    original: str  # whole line, continuation lines joined
    flags: list[str] = field(default_factory=list)  # "--from=x"
    arguments: list[str] = field(default_factory=list)  # names and values alternate for ENV and LABEL
    is_json: bool = False  # the JSON form was used
    line: int = 0  # where it begins, from 1


@dataclass
class Dockerfile:
    """A parsed file."""

    nodes: list[Node]  # in order
    escape: str  # "\\" or "`"
    warnings: list[str]  # lines for the user


class _Directives:
    """What "# name=value" lines at the very top say."""

    def __init__(self) -> None:
        self.done = False
        self.seen: set[str] = set()
        self.set_escape("\\")

    def set_escape(self, token: str) -> None:
        if token not in ("\\", "`"):
            raise DockerfileError(f"invalid escape token '{token}' does not match ` or \\")
        self.escape = token
        mark = re.escape(token)
        self.continuation = re.compile(rf"([^{mark}]){mark}[ \t]*$|^{mark}[ \t]*$")

    def look_at(self, line: str) -> None:
        """Read one line; the first that is no directive ends the search."""
        if self.done:
            return
        found = _DIRECTIVE.fullmatch(line)
        if found is None:
            self.done = True
            return
        name = found[1].lower()
        if name not in _DIRECTIVES:
            self.done = True
            return
        if name in self.seen:
            raise DockerfileError(f"only one {name} parser directive can be used")
        self.seen.add(name)
        if name == "escape":
            self.set_escape(found[2])

    def split_continuation(self, line: str) -> tuple[str, bool]:
        """Return the line without its continuation mark, and whether it ends here."""
        found = self.continuation.search(line)
        if found is None:
            return line, True
        return line[: found.start()] + (found[1] or ""), False


def parse(content: bytes) -> Dockerfile:
    """Return the nodes of a Dockerfile. Raises DockerfileError."""
    lines = _lines(content)
    directives = _Directives()
    nodes: list[Node] = []
    warnings: list[str] = []
    position = 0
    while position < len(lines):
        raw = lines[position].lstrip()
        position += 1
        start = position
        directives.look_at(raw)
        text, ended = directives.split_continuation("" if raw.startswith("#") else raw)
        if ended and not text:
            continue
        has_empty = False
        while not ended and position < len(lines):
            more = lines[position]
            position += 1
            directives.done = True
            if more.lstrip().startswith("#"):
                continue
            if not more.strip():
                has_empty = True
                continue
            more, ended = directives.split_continuation(more)
            text += more
        if has_empty:
            warnings.append(f"[WARNING]: Empty continuation line found in:\n    {text}")
        node = _parse_line(text, directives.escape)
        node.line = start
        nodes.append(node)
    if warnings:
        warnings.append("[WARNING]: Empty continuation lines will become errors in a future release.")
    if not nodes:
        raise DockerfileError("file with no instructions")
    return Dockerfile(nodes, directives.escape, warnings)


def _lines(content: bytes) -> list[str]:
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if any(len(line) > _MAXIMUM_LINE for line in lines):
        raise DockerfileError(f"dockerfile line greater than maximum allowed size of {_MAXIMUM_LINE}")
    for number, line in enumerate(lines, 1):
        if b"\0" in line:
            raise DockerfileError(f"NUL byte in line {number}")
    return [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]


def _parse_line(line: str, escape: str) -> Node:
    words = _BLANKS.split(line.strip(), maxsplit=1)
    flags, rest = _take_flags(words[1]) if len(words) == 2 else ([], "")
    node = Node(words[0].lower(), line, flags)
    _parse_arguments(node, rest.strip(), escape)
    return node


def _take_flags(text: str) -> tuple[list[str], str]:
    """Split leading --flags off; quotes and backslashes work in them."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if not text.startswith("--", position):
            return flags, text[position:]
        word, position = _flag_word(text, position)
        if word == "--":
            return flags, text[position:]
        flags.append(word)


def _flag_word(text: str, position: int) -> tuple[str, int]:
    word, quote_mark = "", ""
    while position < len(text):
        character = text[position]
        if not quote_mark and character.isspace():
            break
        if not quote_mark and character in "'\"":
            quote_mark = character
        elif character == quote_mark:
            quote_mark = ""
        elif character == "\\":
            position += 1
            word += text[position : position + 1]
        else:
            word += character
        position += 1
    return word, position


def _parse_arguments(node: Node, rest: str, escape: str) -> None:
    name = node.name
    if name in _NAME_VALUE:
        node.arguments = _name_values(rest, name.upper(), escape)
    elif name == "arg":
        node.arguments = _words(rest, escape)
    elif name in _WORDS:
        node.arguments = _BLANKS.split(rest) if rest else []
    elif name in _LINE:
        node.arguments = [rest] if rest else []
    elif name in _JSON_OR_LINE:
        _json_or(node, rest, [rest] if rest else [])
    elif name in _JSON_OR_WORDS:
        _json_or(node, rest, _BLANKS.split(rest) if rest else [])
    elif name == "healthcheck":
        _health_check(node, rest)
    elif name == "onbuild" and rest:
        child = _parse_line(rest, escape)
        node.arguments = [child.name, *child.arguments]


def _json_or(node: Node, text: str, otherwise: list[str]) -> None:
    """Set the arguments from a JSON array of strings, or else as given."""
    values = _json_array(text)
    node.is_json = values is not None
    node.arguments = otherwise if values is None else values


def _json_array(text: str) -> list[str] | None:
    """Return the strings of the JSON array a text begins with; what follows it is ignored, as Docker does."""
    if not text.startswith("["):
        return None
    try:
        values, _ = _DECODER.raw_decode(text)
    except ValueError:
        return None
    except RecursionError:
        values = [None]
    if not all(isinstance(v, str) for v in values):
        raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only")
    return [v.encode("utf-8", "replace").decode() for v in values]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _health_check(node: Node, rest: str) -> None:
    words = rest.split(maxsplit=1)
    if not words:
        return
    line = words[1] if len(words) == 2 else ""
    _json_or(node, line, [line] if line else [])
    node.arguments.insert(0, words[0])


def _name_values(rest: str, name: str, escape: str) -> list[str]:
    """Read "NAME value…" (old form) or "NAME=value …"; quotes stay for the expansion."""
    words = _words(rest, escape)
    if not words:
        return []
    if "=" not in words[0]:
        parts = _BLANKS.split(rest, maxsplit=1)
        if len(parts) < 2:
            raise DockerfileError(f"{name} must have two arguments")
        return parts
    result: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"Syntax error - can't find = in {quote(word)}. Must be of the form: name=value"
            )
        result += [key, value]
    return result


def _words(rest: str, escape: str) -> list[str]:
    """Split at blanks outside quotes; quotes and escapes are kept."""
    words: list[str] = []
    word, quote_mark, started = "", "", False
    position = 0
    while position < len(rest):
        character = rest[position]
        position += 1
        if not quote_mark and character.isspace():
            if word:
                words.append(word)
            word, started = "", False
            continue
        started = True
        if character == escape and quote_mark != "'":
            if position == len(rest):
                break  # an escape at the very end is dropped
            word += character + rest[position]
            position += 1
            continue
        if not quote_mark and character in "'\"":
            quote_mark = character
        elif character == quote_mark:
            quote_mark = ""
        word += character
    if started and word:
        words.append(word)
    return words
