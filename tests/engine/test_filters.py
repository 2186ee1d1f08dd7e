"""Filters: what each way of asking lets through."""

from __future__ import annotations

import pytest

from trine.engine.filters import Filters
from trine.kit.errors import InvalidArgumentError

LABELS = {"a": "1", "b": ""}


@pytest.mark.parametrize(
    ("asked", "there", "refused"),
    [
        ([], True, False),
        (["label=a"], True, False),
        (["label=a=1"], True, False),
        (["label=a=2"], False, False),
        (["label=c"], False, False),
        (["label=b="], True, False),
        (["label=a", "label=c"], False, False),
        (["label!=a"], True, True),
        (["label!=a=1"], True, True),
        (["label!=a=2"], True, False),
        (["label!=c", "label!=b"], True, True),
    ],
)
def test_labels(asked: list[str], there: bool, refused: bool) -> None:
    # "label!=a" arrives as the key "label!".
    filters = Filters(asked, ["label", "label!"])
    assert filters.match_labels(LABELS) is there
    assert filters.refuse_labels(LABELS) is refused


def test_what_was_not_asked_lets_everything_through() -> None:
    filters = Filters(["id=x"], None)
    assert filters.fuzzy("name", "web") and filters.exact("status", "running")
    assert filters.boolean("dangling") is None
    assert "id" in filters and "name" not in filters


def test_texts_are_found_by_their_beginning_or_an_expression() -> None:
    filters = Filters(["name=we", "name=d.$"], None)
    found = [name for name in ("web", "odd12", "add", "x") if filters.fuzzy("name", name)]
    assert found == ["web", "add"]
    assert Filters(["name="], None).fuzzy("name", "any")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("0", False), ("False", False)])
def test_booleans(text: str, value: bool) -> None:
    assert Filters([f"dangling={text}"], None).boolean("dangling") is value


@pytest.mark.parametrize("asked", [["dangling=x"], ["dangling=true", "dangling=false"]])
def test_what_is_no_boolean_is_refused(asked: list[str]) -> None:
    with pytest.raises(InvalidArgumentError, match="Invalid filter 'dangling="):
        Filters(asked, None).boolean("dangling")
