"""Shell words, Go's text, ignore patterns and build args: tables, and properties where they pay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.image.build import gotext
from trine.image.build.build_args import BuildArgs
from trine.image.build.ignore import Matcher, read_patterns
from trine.image.build.shell_words import ExpansionError, expand, expand_words

VARIABLES = {"p": "cli", "q": "q1", "e": "", "s": "80 81/tcp"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", ""),
        ("a", "a"),
        ("$p", "cli"),
        ("${p}", "cli"),
        ("$p$q", "cliq1"),
        ("x${p}y", "xcliy"),
        ("$nope.", "."),
        ("${nope:-d}", "d"),
        ("${e:-d}", "d"),
        ("${p:-d}", "cli"),
        ("${p:+plus}", "plus"),
        ("${e:+plus}", ""),
        ("${nope:-$q}", "q1"),
        ("${nope:-'q q'}", "q q"),
        ("'$p'", "$p"),
        ('"$p"', "cli"),
        ("\\$p", "$p"),
        ('"a\\"b"', 'a"b'),
        ('"a\\nb"', "a\\nb"),
        ("a\\ b", "a b"),
        ("$", "$"),
        ("a\\", "a"),
        ("$1x", "x"),
        ("a$@b", "ab"),
        ("$#x$$y$?", "xy"),
        ("${?}", ""),
        ("$ x", "$ x"),
        ('"it\'s"', "it's"),
    ],
)
def test_expansion(word: str, expected: str) -> None:
    assert expand(word, VARIABLES) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("${x", "missing ':' in substitution"),
        ("${x?m}", "x: m"),
        ("${x:?}", "x: is not allowed to be unset"),
        ("${x-d}", "missing ':' in substitution"),
        ("${x:?err}", "x: err"),
        ("${x:?}", "x: is not allowed to be unset"),
        ("${x:=err}", "unsupported modifier (=) in substitution"),
        ("${}", "syntax error: bad substitution"),
        ("${", "syntax error: missing '}'"),
        ("${x:-a", "syntax error: missing '}'"),
        ('"x', "unexpected end of statement while looking for matching double-quote"),
        ("'x", "unexpected end of statement while looking for matching single-quote"),
    ],
)
def test_bad_expansion(word: str, message: str) -> None:
    with pytest.raises(ExpansionError) as caught:
        expand(word, VARIABLES)
    assert str(caught.value) == f"failed to process {gotext.quote(word)}: {message}"


def test_words_split_after_expansion_unless_quoted() -> None:
    assert expand_words("$s", VARIABLES) == ["80", "81/tcp"]
    assert expand_words('"$s"', VARIABLES) == ["80 81/tcp"]
    assert expand_words('"$nope"', VARIABLES) == []
    assert expand("a`$p", VARIABLES, "`") == "a$p"


@given(st.text(alphabet="abc$p{}:-+?'\"\\ ", max_size=20))
def test_expansion_ends(word: str) -> None:
    try:
        expand(word, VARIABLES)
    except ExpansionError as error:
        assert str(error).startswith("failed to process ")


@given(st.text(alphabet=st.characters(exclude_characters="'", exclude_categories=["Cs"]), max_size=20))
def test_single_quotes_keep_all(text: str) -> None:
    assert expand(f"'{text}'", VARIABLES) == text


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("5s", 5_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5s", 1_500_000_000),
        ("-2ms", -2_000_000),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert gotext.parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("xx", 'time: invalid duration "xx"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5q", 'time: unknown unit "q" in duration "5q"'),
    ],
)
def test_bad_durations(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        gotext.parse_duration(text)
    assert str(caught.value) == message


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_durations_round_trip(value: int) -> None:
    assert gotext.parse_duration(gotext.duration_text(value)) == value


@pytest.mark.parametrize(
    ("path", "clean"),
    [("", "."), ("/", "/"), ("a//b/../c", "a/c"), ("/../a", "/a"), ("../a/", "../a"), ("./", ".")],
)
def test_clean_path(path: str, clean: str) -> None:
    assert gotext.clean_path(path) == clean


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "a", True),
        ("*", "a/b", False),
        ("a*c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[]a]", "]", None),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("[", "a", None),
        ("[a", "a", None),
        ("[-]", "-", None),
        ("d/*", "d/e", True),
        ("", "", True),
    ],
)
def test_globs(pattern: str, name: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(gotext.BadPatternError):
            gotext.match(pattern, name)
    else:
        assert gotext.match(pattern, name) is expected


@pytest.mark.parametrize(
    ("lines", "path", "excluded"),
    [
        ("x", "x", True),
        ("x", "x/y", True),
        ("x", "a/x", False),
        ("/x", "x", True),
        ("./x/", "x", True),
        ("# x", "x", False),
        ("*.md\n!README.md", "README.md", False),
        ("*.md\n!README.md", "A.md", True),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
        ("*/temp*", "a/temp1", True),
        ("*/temp*", "a/b/temp1", False),
        ("**/temp", "a/b/temp", True),
        ("**/temp", "temp", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("**", "anything/at/all", True),
        ("**/*.go", "a/b.go", True),
        ("a?", "ab", True),
        ("[ab]x", "bx", True),
        ("d\n!d/keep", "d/keep", False),
        ("d\n!d/keep", "d/other", True),
        ("\ufeffx", "x", True),
        ("  x  ", "x", True),
    ],
)
def test_ignore_patterns(lines: str, path: str, excluded: bool) -> None:
    assert Matcher(read_patterns(lines.encode())).excludes(path) is excluded


def test_a_lone_exclamation_mark_is_refused() -> None:
    with pytest.raises(ValueError, match='illegal exclusion pattern: "!"'):
        Matcher(["!"])


def test_build_args() -> None:
    args = BuildArgs({"U": "given", "X": "x", "HTTP_PROXY": "proxy", "unused": "1"})
    args.declare_global("U", "default")
    args.declare_global("B", "base")
    assert args.for_from() == {"U": "given", "B": "base", "HTTP_PROXY": "proxy"}
    args.begin_stage()
    assert args.beside(["PATH=/bin"]) == ["HTTP_PROXY=proxy"]
    assert not args.is_recorded("HTTP_PROXY=proxy")
    args.declare("B", None)
    args.declare("X", "d")
    args.declare("N", None)
    assert args.beside(["X=env"]) == ["B=base", "HTTP_PROXY=proxy"]
    assert args.unused() == ["unused"]
    args.declare("HTTP_PROXY", None)
    assert args.is_recorded("HTTP_PROXY=proxy")
