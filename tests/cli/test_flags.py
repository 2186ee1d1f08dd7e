"""The flag parser: what pflag takes, and what it says when it does not."""

from __future__ import annotations

import pytest

from trine.cli.failure import Failure
from trine.cli.flags import HelpWanted, Spec, Values, parse

SPEC = Spec(
    "Do",
    "[OPTIONS] THING",
    (
        ("a", "all", "", "All"),
        ("n", "last", "int", "Last (default -1)"),
        ("", "pull", "string", 'Pull (default "missing")'),
        ("", "proxy", "", "Proxy (default true)"),
        ("e", "env", "list", "Env", "env:check_env"),
        ("m", "memory", "bytes", "Memory"),
        ("", "net", "list", "=env"),
        ("", "old", "int", "!last"),
        ("c", "port", "uint16", "Port"),
    ),
    minimum=1,
)


def got(*words: str) -> Values:
    return parse(SPEC, "do", words)


def test_defaults_come_from_the_usage() -> None:
    values = got("x")
    assert values["last"] == -1
    assert values["pull"] == "missing"
    assert values["proxy"] is True
    assert values["all"] is False
    assert values["env"] == []
    assert not values.changed("last")


@pytest.mark.parametrize(
    "words",
    [
        ("-an5", "x"),
        ("-a", "-n", "5", "x"),
        ("-an=5", "x"),
        ("x", "--all", "--last=5"),
        ("--last", "5", "-a", "x"),
    ],
)
def test_forms(words: tuple[str, ...]) -> None:
    values = got(*words)
    assert values["all"] is True
    assert values["last"] == 5
    assert values.arguments == ["x"]


def test_lists_aliases_and_the_end_of_flags() -> None:
    values = got("-e", "A=1", "--net", "B=2", "--", "-x", "y")
    assert values["env"] == ["A=1", "B=2"]
    assert values.arguments == ["-x", "y"]


def test_deprecated_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert got("--old", "3", "x")["last"] == 3
    assert capsys.readouterr().out == "Flag --old has been deprecated, use --last instead\n"


def test_arguments_end_flags_when_not_interspersed() -> None:
    spec = Spec("Run", "IMAGE", SPEC.flags, minimum=1, interspersed=False)
    values = parse(spec, "run", ["-a", "image", "ls", "-a", "--what"])
    assert values.arguments == ["image", "ls", "-a", "--what"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--foo",), "unknown flag: --foo"),
        (("-x",), "unknown shorthand flag: 'x' in -x"),
        (("-axy",), "unknown shorthand flag: 'x' in -xy"),
        (("--last",), "flag needs an argument: --last"),
        (("-n",), "flag needs an argument: 'n' in -n"),
        (
            ("-n", "x"),
            'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ("--all=maybe",),
            'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": '
            "invalid syntax",
        ),
        (
            ("-c", "70000"),
            'invalid argument "70000" for "-c, --port" flag: strconv.ParseUint: parsing "70000": '
            "value out of range",
        ),
        (("-e", "=a"), 'invalid argument "=a" for "-e, --env" flag: invalid environment variable: =a'),
        (("-m", "foo"), 'invalid argument "foo" for "-m, --memory" flag: invalid size: \'foo\''),
        (("--=x",), "bad flag syntax: --=x"),
    ],
)
def test_refuses(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Failure) as caught:
        got(*words)
    assert str(caught.value) == (
        f"{message}\n\nUsage:  trine do [OPTIONS] THING\n\nRun 'trine do --help' for more information"
    )
    assert caught.value.status == 125


@pytest.mark.parametrize(
    ("least", "most", "words", "text"),
    [
        (1, None, (), "requires at least 1 argument"),
        (2, None, ("a",), "requires at least 2 arguments"),
        (0, 0, ("a",), "accepts no arguments"),
        (1, 1, (), "requires 1 argument"),
        (2, 2, ("a",), "requires 2 arguments"),
        (0, 1, ("a", "b"), "requires at most 1 argument"),
        (1, 2, (), "requires at least 1 and at most 2 arguments"),
    ],
)
def test_number_of_arguments(least: int, most: int | None, words: tuple[str, ...], text: str) -> None:
    spec = Spec("Do", "THING", minimum=least, maximum=most)
    with pytest.raises(Failure, match=f"^trine: 'trine do' {text}\n\nUsage:  trine do THING\n\n") as caught:
        parse(spec, "do", words)
    assert caught.value.status == 1


@pytest.mark.parametrize("words", [("--help",), ("-a", "--help", "x"), ("-h",)])
def test_help(words: tuple[str, ...]) -> None:
    with pytest.raises(HelpWanted):
        got(*words)
