"""Functions of templates, and how Go prints and judges values."""

from __future__ import annotations

import json

from trine.cli.text.values import NO_VALUE, GoMap, NilList, TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def truth(value: Any) -> bool:
    """Tell whether Go's {{if}} takes a value as true."""
    if value is NO_VALUE or value is None:
        return False
    return bool(value) if isinstance(value, bool | int | float | str | list | tuple | dict) else True


def shown(value: Any) -> str:
    """Return a value as Go's fmt prints it with %v."""
    if value is NO_VALUE:
        return "<no value>"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + " ".join(shown(item) for item in value) + "]"
    if isinstance(value, GoMap):
        return "map[" + " ".join(f"{key}:{shown(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, dict):
        return "{" + " ".join(shown(item) for item in value.values()) + "}"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    if hasattr(value, "json"):
        return shown(value.json())
    return str(value)


def to_json(value: Any) -> str:
    """Return a value as Go's encoding/json writes it (no blanks, <, > and & escaped by Docker's not)."""
    row = False
    if hasattr(value, "json"):
        row = getattr(value, "is_row", False)
        value = value.json()
    if value is NO_VALUE:
        value = None
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if row:  # Go's json.Marshal escapes for HTML, which Docker leaves on for rows of listings
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return text


def _zero_like(values: dict[Any, Any]) -> Any:
    """Return what Go's index gives for a missing key: the zero value of what a map holds."""
    sample = next(iter(values.values()), "")
    if isinstance(sample, dict):
        return None  # pointers to structs
    return NilList() if isinstance(sample, list) else ""


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value[key] if key in value else _zero_like(value)
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int):
                raise TemplateError(
                    f"error calling index: cannot index slice/array with type {type(key).__name__}"
                )
            if not 0 <= key < len(value):
                raise TemplateError(f"error calling index: index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise TemplateError("error calling index: index of untyped nil")
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    if len(value) < (end if end is not None else start):
        raise TemplateError(f"error calling slice: index out of range: {end if end is not None else start}")
    return value[start:end]


def _printf(form: str, *values: Any) -> str:
    out: list[str] = []
    rest = list(values)
    at = 0
    while at < len(form):
        if form[at] != "%":
            out.append(form[at])
            at += 1
            continue
        end = at + 1
        while end < len(form) and form[end] in "+-# 0123456789.":
            end += 1
        verb = form[end : end + 1]
        flags = form[at + 1 : end]
        at = end + 1
        if verb == "%":
            out.append("%")
        elif not rest:
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_verb(verb, flags, rest.pop(0)))
    if rest:
        extra = ", ".join(f"{_kind(value)}={shown(value)}" for value in rest)
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _kind(value: Any) -> str:
    return {str: "string", bool: "bool", int: "int", float: "float64"}.get(type(value), "value")


def _verb(verb: str, flags: str, value: Any) -> str:
    if verb in ("s", "v"):
        return f"%{flags}s" % shown(value)
    if verb == "q":
        return f"%{flags}s" % json.dumps(shown(value), ensure_ascii=False)
    if verb == "t":
        return shown(value)
    if verb == "T":
        return _kind(value)
    if verb in "dxXoefgEGc" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"%{flags}{verb}" % value
    if verb in "xX" and isinstance(value, str):
        text = value.encode().hex()
        return text.upper() if verb == "X" else text
    return f"%!{verb}({_kind(value)}={shown(value)})"


def _compared(value: Any) -> Any:
    return value.value if hasattr(value, "value") else value


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("error calling eq: missing argument for comparison")
    return any(_compared(first) == _compared(other) for other in others)


def _order(first: Any, second: Any) -> int:
    try:
        return int(first > second) - int(first < second)
    except TypeError:
        raise TemplateError("error calling lt: incompatible types for comparison") from None


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else ""


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _title(text: str) -> str:
    out = [
        c.upper() if i == 0 or not (text[i - 1].isalnum() or text[i - 1] in "_'") else c
        for i, c in enumerate(text)
    ]
    return "".join(out)


_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JAVASCRIPT = {
    "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026",
    "=": "\\u003D", "\n": "\\u000A", "\t": "\\u0009", "\r": "\\u000D",
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "join": lambda items, separator: separator.join(shown(item) for item in items or []),
    "split": _split,
    "title": _title,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": lambda text, size: text[:size],
    "println": lambda *values: " ".join(shown(value) for value in values) + "\n",
    "print": lambda *values: _print(values),
    "printf": _printf,
    "len": lambda value: 0 if value is None else len(value),
    "index": _index,
    "slice": _slice,
    "eq": _equal,
    "ne": lambda first, second: _compared(first) != _compared(second),
    "lt": lambda first, second: _order(first, second) < 0,
    "le": lambda first, second: _order(first, second) <= 0,
    "gt": lambda first, second: _order(first, second) > 0,
    "ge": lambda first, second: _order(first, second) >= 0,
    "not": lambda value: not truth(value),
    "html": lambda *values: _escaped(_print(values), _HTML),
    "js": lambda *values: _escaped(_print(values), _JAVASCRIPT),
    "urlquery": lambda *values: _url_query(_print(values)),
    "call": lambda function, *values: _called(function),
}


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(letter, letter) for letter in text)


def _url_query(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text, safe="~")


def _called(function: Any) -> Any:
    raise TemplateError(f"error calling call: non-function of type {_kind(function)}")


def _print(values: tuple[Any, ...]) -> str:
    """Join as Go's Sprint: a blank only between two that are no strings."""
    out = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            out += " "
        out += shown(value)
    return out


def known(name: str) -> bool:
    """Tell whether there is a function of that name."""
    return name in _FUNCTIONS or name in ("and", "or")


def call(name: str, arguments: list[Any]) -> Any:
    """Call a function by name; raises TemplateError when there is none or the arguments do not fit."""
    function = _FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f'function "{name}" not defined')
    try:
        return function(*arguments)
    except (TypeError, AttributeError) as error:
        raise TemplateError(f"error calling {name}: {error}") from None
