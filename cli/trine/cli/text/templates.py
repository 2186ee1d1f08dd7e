"""Go templates as Docker's --format takes them: parsing and execution.

What is there: fields and chains, ``$`` and variables, pipelines, parentheses, if/else, range/else, with,
comments, trim markers, and Docker's functions (text/functions.py). Not there: define, template, block.

Data are what JSON has: mappings, lists, strings, numbers, booleans, None; or an object with
``field(name)`` and ``json()``. A mapping that is a Go *map* (labels, networks) is a ``GoMap``: a key it
does not have reads as "<no value>", where a struct's missing field is an error.
"""

from __future__ import annotations

import re

from trine.cli.text.values import NO_VALUE, GoMap, GoStruct, TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Node = tuple[Any, ...]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<raw>`[^`]*`)|(?P<char>'(?:\\.|[^'\\])+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?))|(?P<field>\.[A-Za-z_]\w*)|(?P<dot>\.)
    |(?P<variable>\$\w*)|(?P<assign>:=|=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\))|(?P<comma>,)
    |(?P<word>[A-Za-z_]\w*))""",
    re.VERBOSE,
)
_END = {"end", "else"}


class _Tokens:
    """The tokens of one action."""

    def __init__(self, text: str) -> None:
        self.items: list[tuple[str, str, bool]] = []  # kind, text, blank before
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None or match.end() == at:
                found = text[at:].strip()[:1]
                if found in "\"'`":
                    raise TemplateError("unterminated quoted string")
                raise TemplateError(f"unexpected {_shown(found)} in operand")
            kind = match.lastgroup or ""
            blank = text[at : match.start(kind)] != "" or at == 0
            self.items.append((kind, match.group(kind), blank))
            at = match.end()
        self.at = 0

    def peek(self) -> tuple[str, str, bool]:
        """Return the next token without taking it; kind "" at the end."""
        return self.items[self.at] if self.at < len(self.items) else ("", "", True)

    def take(self) -> tuple[str, str, bool]:
        """Take the next token."""
        token = self.peek()
        self.at += 1
        return token


def _shown(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _split(source: str) -> Iterator[tuple[bool, str]]:
    """Yield (is action, text) with trim markers applied."""
    at = 0
    trim = False
    while True:
        start = source.find("{{", at)
        text = source[at:] if start < 0 else source[at:start]
        if trim:
            text = text.lstrip()
        if start >= 0 and source.startswith("{{- ", start):
            text = text.rstrip()
        if text:
            yield False, text
        if start < 0:
            return
        end = _action_end(source, start + 2)
        action = source[start + 2 : end]
        if action.startswith("- "):
            action = action[2:]
        trim = action.endswith(" -")
        if trim:
            action = action[:-2]
        stripped = action.strip()
        if not (stripped.startswith("/*") and stripped.endswith("*/")):
            yield True, stripped
        at = end + 2


def _action_end(source: str, at: int) -> int:
    quote = ""
    while at < len(source):
        character = source[at]
        if quote:
            if character == "\\" and quote != "`":
                at += 1
            elif character == quote:
                quote = ""
        elif source.startswith("}}", at):
            return at
        elif character in "\"`'":
            quote = character
        at += 1
    raise TemplateError("unclosed action")


class _Parser:
    def __init__(self, source: str) -> None:
        self._parts = list(_split(source))
        self._at = 0

    def parse(self) -> list[Node]:
        """Return the nodes of the whole template."""
        nodes, ended = self._nodes()
        if ended:
            raise TemplateError(f"unexpected {{{{{ended.split()[0]}}}}}")
        return nodes

    def _nodes(self) -> tuple[list[Node], str]:
        """Return nodes up to {{end}} or {{else …}}, and that action ("" at the end of the source)."""
        nodes: list[Node] = []
        while self._at < len(self._parts):
            action, text = self._parts[self._at]
            self._at += 1
            if not action:
                nodes.append(("text", text))
                continue
            if not text:
                raise TemplateError("missing value for command")
            word = text.split(None, 1)[0]
            if word in _END:
                return nodes, text
            rest = text[len(word) :]
            if word in ("if", "with", "range"):
                nodes.append(self._block(word, rest))
            elif word in ("break", "continue"):
                nodes.append((word,))
            elif word in ("define", "template", "block"):
                raise TemplateError(f"{word} is not supported")
            else:
                nodes.append(("print", *_pipeline_of(text)))
        return nodes, ""

    def _block(self, word: str, condition: str) -> Node:
        variables, pipe = _pipeline_of(condition)
        body, ended = self._nodes()
        other: list[Node] = []
        if ended.startswith("else"):
            rest = ended[4:].strip()
            if rest:
                inner = rest.split(None, 1)[0]
                other = [self._block(inner, rest[len(inner) :])]
                return (word, variables, pipe, body, other)
            other, ended = self._nodes()
        if ended != "end":
            raise TemplateError("unexpected EOF")
        return (word, variables, pipe, body, other)


def _pipeline_of(text: str) -> tuple[tuple[str, ...], Node]:
    tokens = _Tokens(text)
    variables: list[str] = []
    mark = tokens.at
    while tokens.peek()[0] == "variable":
        variables.append(tokens.take()[1])
        kind, sign, _ = tokens.take()
        if kind == "assign":
            break
        if kind != "comma":
            variables, tokens.at = [], mark
            break
    pipe = _pipeline(tokens)
    kind, sign, _ = tokens.peek()
    if kind:
        raise TemplateError(f"unexpected {_shown(sign)} in command")
    return tuple(variables), pipe


def _pipeline(tokens: _Tokens) -> Node:
    commands: list[list[Node]] = []
    while True:
        words: list[Node] = []
        while tokens.peek()[0] not in ("", "pipe", "close"):
            words.append(_operand(tokens))
        if not words:
            raise TemplateError("missing value for command")
        commands.append(words)
        if tokens.peek()[0] != "pipe":
            return ("pipe", commands)
        tokens.take()


def _operand(tokens: _Tokens) -> Node:
    kind, text, _ = tokens.take()
    node: Node
    if kind == "string":
        import json

        try:
            node = ("value", json.loads(text, strict=False))
        except ValueError:
            node = ("value", text[1:-1].replace("\\'", "'"))
    elif kind == "raw":
        node = ("value", text[1:-1])
    elif kind == "char":
        node = ("value", ord(text[1:-1].encode().decode("unicode_escape")))
    elif kind == "number":
        node = ("value", float(text) if "." in text and not text.startswith("0x") else int(text, 0))
    elif kind == "field":
        node = ("chain", ("dot",), [text[1:]])
    elif kind == "dot":
        node = ("dot",)
    elif kind == "variable":
        node = ("variable", text)
    elif kind == "open":
        node = _pipeline(tokens)
        if tokens.take()[0] != "close":
            raise TemplateError("unclosed left paren")
    elif kind == "word":
        from trine.cli.text import functions

        constants = {"true": True, "false": False, "nil": None}
        if text not in constants and not functions.known(text):
            raise TemplateError(f'function "{text}" not defined')
        node = ("value", constants[text]) if text in constants else ("function", text)
    else:
        raise TemplateError(f"unexpected {_shown(text)} in operand")
    while tokens.peek()[0] == "field" and not tokens.peek()[2]:
        name = tokens.take()[1][1:]
        if node[0] == "chain":
            node[2].append(name)
        else:
            node = ("chain", node, [name])
    return node


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A parsed template."""

    def __init__(self, nodes: list[Node], source: str, name: str = "") -> None:
        """Keep nodes made by ``parse``."""
        self._nodes = nodes
        self._source = source
        self._name = name

    def render(self, data: Any) -> str:
        """Return the text for some data; raises TemplateError."""
        out: list[str] = []
        try:
            self._run(self._nodes, data, {"$": data}, out)
        except TemplateError as error:
            error.written = "".join(out)
            raise
        return "".join(out)

    def _run(self, nodes: list[Node], dot: Any, scope: dict[str, Any], out: list[str]) -> None:
        from trine.cli.text import functions

        for node in nodes:
            word = node[0]
            if word == "text":
                out.append(node[1])
            elif word == "print":
                value = self._value(node[2], dot, scope)
                if node[1]:
                    scope[node[1][0]] = value
                else:
                    out.append(functions.shown(value))
            elif word == "range":
                self._range(node, dot, scope, out)
            elif word == "break":
                raise _Break
            elif word == "continue":
                raise _Continue
            else:
                value = self._value(node[2], dot, scope)
                inner = dict(scope) if node[1] else scope
                if node[1]:
                    inner[node[1][0]] = value
                if functions.truth(value):
                    self._run(node[3], value if word == "with" else dot, inner, out)
                else:
                    self._run(node[4], dot, inner, out)

    def _range(self, node: Node, dot: Any, scope: dict[str, Any], out: list[str]) -> None:
        from trine.cli.text import functions

        _, variables, pipe, body, other = node
        value = self._value(pipe, dot, scope)
        pairs: list[tuple[Any, Any]]
        if isinstance(value, dict):
            pairs = sorted(value.items())
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(i, i) for i in range(value)]
        elif value is None or value is NO_VALUE:
            pairs = []
        else:
            raise TemplateError(f"range can't iterate over {functions.shown(value)}")
        if not pairs:
            self._run(other, dot, scope, out)
        for key, item in pairs:
            inner = dict(scope)
            if len(variables) == 1:
                inner[variables[0]] = item
            elif variables:
                inner[variables[0]], inner[variables[1]] = key, item
            try:
                self._run(body, item, inner, out)
            except _Continue:
                continue
            except _Break:
                break

    def _value(self, node: Node, dot: Any, scope: dict[str, Any], final: tuple[Any, ...] = ()) -> Any:
        from trine.cli.text import functions

        word = node[0]
        if word == "pipe":
            carried: tuple[Any, ...] = ()
            for command in node[1]:
                carried = (self._command(command, dot, scope, carried),)
            return carried[0]
        if word == "value":
            return node[1]
        if word == "dot":
            return dot
        if word == "variable":
            if node[1] not in scope:
                raise TemplateError(f"undefined variable {_shown(node[1])}")
            return scope[node[1]]
        if word == "function":
            return functions.call(node[1], list(final))
        value = self._value(node[1], dot, scope)
        chain = ""
        for name in node[2]:
            chain += f".{name}"
            value = self._field(value, name, chain)
        return value

    def _field(self, value: Any, name: str, chain: str) -> Any:
        if isinstance(value, GoMap):
            return value.get(name, NO_VALUE)
        if isinstance(value, dict):
            if isinstance(value, GoStruct) and value.get(name) is None and name in value.zeros:
                return value.zeros[name]
            if name in value:
                return value[name]
            if name == "ID" and "Id" in value:  # what Go calls it where JSON says Id
                return value["Id"]
            kind = getattr(value, "kind", "")
            text = (
                f"can't evaluate field {name} in type {kind}"
                if kind
                else f'map has no entry for key "{name}"'
            )
            raise self._fault(name, chain, text)
        if value is None or value is NO_VALUE:
            raise self._fault(name, chain, f"nil data; no entry for key {_shown(name)}")
        if hasattr(value, "field"):
            try:
                return value.field(name)
            except KeyError:
                kind = getattr(value, "kind", "row")
                raise self._fault(name, chain, f"can't evaluate field {name} in type {kind}") from None
        kinds = {str: "string", int: "int", bool: "bool", float: "float64", list: "[]interface {}"}
        kind = kinds.get(type(value), "value")
        raise self._fault(name, chain, f"can't evaluate field {name} in type {kind}")

    def _fault(self, name: str, chain: str, text: str) -> TemplateError:
        start = max(self._source.find(chain), 0)
        return self._error(start + max(chain.rfind("." + name), 0), chain, text)

    def _error(self, at: int, what: str, text: str) -> TemplateError:
        line = self._source.count("\n", 0, at) + 1
        column = at - (self._source.rfind("\n", 0, at) + 1)
        return TemplateError(
            f'template: {self._name}:{line}:{column}: executing "{self._name}" at <{what}>: {text}'
        )

    def _command(self, words: list[Node], dot: Any, scope: dict[str, Any], carried: tuple[Any, ...]) -> Any:
        from trine.cli.text import functions

        first = words[0]
        if first[0] == "function":
            if first[1] in ("and", "or"):
                return self._lazy(first[1], words[1:], dot, scope, carried)
            arguments = [self._value(word, dot, scope) for word in words[1:]]
            try:
                return functions.call(first[1], [*arguments, *carried])
            except TemplateError as error:
                if str(error).startswith("template: "):
                    raise
                what = " ".join(_written(word) for word in words)
                at = max(self._source.find(first[1]), 0)
                raise self._error(at, what, str(error)) from None
        value = self._value(first, dot, scope)
        if callable(value):
            method: Callable[..., Any] = value
            return method(*[self._value(word, dot, scope) for word in words[1:]], *carried)
        if len(words) > 1 or carried:
            raise TemplateError("can't give argument to non-function")
        return value

    def _lazy(
        self, word: str, nodes: list[Node], dot: Any, scope: dict[str, Any], carried: tuple[Any, ...]
    ) -> Any:
        """Evaluate and/or: arguments only as far as needed (Go 1.18)."""
        from trine.cli.text import functions

        value: Any = None
        for node in nodes:
            value = self._value(node, dot, scope)
            if functions.truth(value) == (word == "or"):
                return value
        return carried[0] if carried else value


def _written(node: Node) -> str:
    """Return an operand as Go writes it in an error."""
    if node[0] == "value":
        return _shown(node[1]) if isinstance(node[1], str) else str(node[1])
    if node[0] == "chain":
        return ("" if node[1][0] == "dot" else _written(node[1])) + "".join(f".{name}" for name in node[2])
    if node[0] == "dot":
        return "."
    if node[0] == "pipe":
        return "(" + " | ".join(" ".join(map(_written, words)) for words in node[1]) + ")"
    return str(node[1])


def parse(source: str, name: str = "") -> Template:
    """Return the template of a source; raises TemplateError with Go's text, which tells its ``name``."""
    try:
        return Template(_Parser(source).parse(), source, name)
    except TemplateError as error:
        raise TemplateError(f"template: {name}:1: {error}") from None
