"""Docker's small shell language: quotes, escapes and $variables in Dockerfile arguments.

``${name}``, ``${name:-default}``, ``${name:+alternative}``, ``${name:?message}``, ``${name?message}`` as in
dockerd 20.10;
no globbing, no commands. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from trine.image.build.gotext import quote


class ExpansionError(ValueError):
    """A word can't be expanded; the message is Docker's."""


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Return a word with quotes removed and variables replaced. Raises ExpansionError."""
    return _expand(word, variables, escape)[0]


def expand_words(word: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """As ``expand``, but split at blanks that are not quoted, after replacement (EXPOSE)."""
    return _expand(word, variables, escape)[1]


def _expand(word: str, variables: Mapping[str, str], escape: str) -> tuple[str, list[str]]:
    try:
        return _Lexer(word, variables, escape).read_until("")
    except ExpansionError as error:
        raise ExpansionError(f"failed to process {quote(word)}: {error}") from None


class _Words:
    """Collects words; blanks split them unless they came quoted."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.word = ""

    def add(self, text: str) -> None:
        for character in text:
            if not character.isspace():
                self.word += character
            elif self.word:
                self.finish()

    def add_quoted(self, text: str) -> None:
        self.word += text

    def finish(self) -> list[str]:
        if self.word:
            self.done.append(self.word)
        self.word = ""
        return self.done


class _Lexer:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self.text = text
        self.variables = variables
        self.escape = escape
        self.position = 0

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def next(self) -> str:
        character = self.peek()
        self.position += 1
        return character

    def read_until(self, stop: str) -> tuple[str, list[str]]:
        """Read to the unquoted ``stop`` character, or to the end when it is empty."""
        result: list[str] = []
        words = _Words()
        while character := self.peek():
            if character == stop:
                self.next()
                return "".join(result), words.finish()
            if character == "'":
                piece = self._single_quoted()
                words.add_quoted(piece)
            elif character == '"':
                piece = self._double_quoted()
                words.add_quoted(piece)
            elif character == "$":
                piece = self._dollar()
                words.add(piece)
            elif character == self.escape:
                self.next()
                piece = self.next()
                words.add_quoted(piece)
            else:
                piece = self.next()
                words.add(piece)
            result.append(piece)
        if stop:
            raise ExpansionError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(result), words.finish()

    def _single_quoted(self) -> str:
        self.next()
        end = self.text.find("'", self.position)
        if end < 0:
            self.position = len(self.text)
            raise ExpansionError("unexpected end of statement while looking for matching single-quote")
        piece = self.text[self.position : end]
        self.position = end + 1
        return piece

    def _double_quoted(self) -> str:
        self.next()
        result: list[str] = []
        while character := self.peek():
            if character == '"':
                self.next()
                return "".join(result)
            if character == "$":
                result.append(self._dollar())
                continue
            self.next()
            if character == self.escape:
                following = self.peek()
                if not following:
                    continue
                if following in ('"', "$", self.escape):
                    character = self.next()
            result.append(character)
        raise ExpansionError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self.next()
        if self.peek() != "{":
            name = self._name()
            return self._value(name) if name else "$"
        self.next()
        following = self.peek()
        if not following:
            raise ExpansionError("syntax error: missing '}'")
        if following in "{}:":
            raise ExpansionError("syntax error: bad substitution")
        name = self._name()
        character = self.next()
        if character == "}":
            return self._value(name)
        if character == ":":
            return self._modified(name, self.next())
        if character == "?":
            return self._modified(name, "?", unset_only=True)
        raise ExpansionError("missing ':' in substitution")

    def _modified(self, name: str, modifier: str, *, unset_only: bool = False) -> str:
        try:
            word, _ = self.read_until("}")
        except ExpansionError:
            if not self.peek():
                raise ExpansionError("syntax error: missing '}'") from None
            raise
        value = self._value(name)
        if modifier == "+":
            return word if value else value
        if modifier == "-":
            return value or word
        if modifier == "?":
            if not value and not (unset_only and name in self.variables):
                state = "empty" if name in self.variables else "unset"
                raise ExpansionError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value
        raise ExpansionError(f"unsupported modifier ({modifier}) in substitution")

    def _name(self) -> str:
        """Read letters, digits and _; a leading digit stands alone, and so do the shell's special names."""
        first = self.peek()
        if first.isdigit() or (first and first in "@*#?-$!"):
            return self.next()
        start = self.position
        while (character := self.peek()) and (character.isalnum() or character == "_"):
            self.next()
        return self.text[start : self.position]

    def _value(self, name: str) -> str:
        return self.variables.get(name, "")
