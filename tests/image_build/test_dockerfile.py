"""The parser and the typed instructions, by tables recorded from dockerd 20.10.24."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.image.build import instructions as ins
from trine.image.build.dockerfile import Dockerfile, DockerfileError, parse


def nodes(text: str) -> list[tuple[str, list[str], list[str], bool]]:
    return [(n.name, n.flags, n.arguments, n.is_json) for n in parse(text.encode()).nodes]


def program(text: str) -> ins.Program:
    return ins.read_program(parse(text.encode()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a", ("from", [], ["a"], False)),
        ("  from\ta  AS\tb ", ("from", [], ["a", "AS", "b"], False)),
        ("RUN echo  a   b", ("run", [], ["echo  a   b"], False)),
        ('RUN ["a", "b c"]', ("run", [], ["a", "b c"], True)),
        ("RUN ['a']", ("run", [], ["['a']"], False)),
        ('CMD ["a"] b', ("cmd", [], ["a"], True)),
        ("CMD []", ("cmd", [], [], True)),
        ("CMD", ("cmd", [], [], False)),
        ("CMD [NaN]", ("cmd", [], ["[NaN]"], False)),
        ("COPY --from=x --chown=1:2 a b", ("copy", ["--from=x", "--chown=1:2"], ["a", "b"], False)),
        ('COPY ["a b", "c"]', ("copy", [], ["a b", "c"], True)),
        ("COPY --chown='a b' x y", ("copy", ["--chown=a b"], ["x", "y"], False)),
        ("RUN -- --x", ("run", [], ["--x"], False)),
        ("ENV a b  c", ("env", [], ["a", "b  c"], False)),
        ('ENV a=b c="d e" f=g\\ h', ("env", [], ["a", "b", "c", '"d e"', "f", "g\\ h"], False)),
        ("LABEL 'x y'=z", ("label", [], ["'x y'", "z"], False)),
        ("ARG a b=c", ("arg", [], ["a", "b=c"], False)),
        ("EXPOSE 80  90/udp", ("expose", [], ["80", "90/udp"], False)),
        ("VOLUME /a /b", ("volume", [], ["/a", "/b"], False)),
        ("WORKDIR /a b", ("workdir", [], ["/a b"], False)),
        ("HEALTHCHECK --interval=5s CMD x y", ("healthcheck", ["--interval=5s"], ["CMD", "x y"], False)),
        ('HEALTHCHECK CMD ["x"]', ("healthcheck", [], ["CMD", "x"], True)),
        ("ONBUILD RUN x", ("onbuild", [], ["run", "x"], False)),
        ("FOO x", ("foo", [], [], False)),
        ("\ufeffFROM a", ("from", [], ["a"], False)),
        ("FROM a\r\n", ("from", [], ["a"], False)),
    ],
)
def test_one_instruction(text: str, expected: tuple[str, list[str], list[str], bool]) -> None:
    assert nodes(text) == [expected]


@pytest.mark.parametrize(
    ("text", "original"),
    [
        ("RUN a \\\n  b", "RUN a   b"),
        ("RUN a \\ \t\n  b", "RUN a   b"),
        ("RUN a \\\n# note\n  # more\n  b", "RUN a   b"),
        ("# escape=`\nRUN a `\n b", "RUN a  b"),
        ("# syntax=x\n# escape=`\nRUN a `\n b", "RUN a  b"),
        ("# ESCAPE = `\nRUN a `\n b", "RUN a  b"),
        ("RUN a \\\n", "RUN a "),
    ],
)
def test_continuation(text: str, original: str) -> None:
    assert [n.original for n in parse(text.encode()).nodes] == [original]


def test_a_doubled_backslash_continues_nothing() -> None:
    assert [n.name for n in parse(b"RUN a\\\\\n b").nodes] == ["run", "b"]


def test_an_unknown_directive_ends_the_directives() -> None:
    parsed = parse(b"# foo=bar\n# escape=`\nRUN a `\n b")
    assert parsed.escape == "\\"
    assert [n.name for n in parsed.nodes] == ["run", "b"]


def test_empty_continuation_lines_warn() -> None:
    parsed = parse(b"FROM a\nRUN x && \\\n\n  y")
    assert parsed.warnings == [
        "[WARNING]: Empty continuation line found in:\n    RUN x &&   y",
        "[WARNING]: Empty continuation lines will become errors in a future release.",
    ]


def test_lines_are_where_instructions_begin() -> None:
    assert [n.line for n in parse(b"# c\nFROM a\n\nRUN b \\\n c\nCMD d").nodes] == [2, 4, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# only", "file with no instructions"),
        ("ENV a", "ENV must have two arguments"),
        ("LABEL a", "LABEL must have two arguments"),
        ("ENV a=b c", 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
        ('CMD ["a", 1]', "when using JSON array syntax, arrays must be comprised of strings only"),
        ("CMD [[]]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"),
        ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used"),
        ("RUN " + "x" * 70000, "dockerfile line greater than maximum allowed size of 65535"),
    ],
)
def test_what_is_no_dockerfile(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("FOO a", "unknown instruction: FOO"),
        ("FROM b foo", "FROM requires either one or three arguments"),
        (
            "FROM b AS 1a",
            'invalid name for build stage: "1a", name can\'t start with a number or contain symbols',
        ),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("SHELL foo", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        (
            "ADD a.txt",
            "ADD requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
        ),
        ("COPY --foo=1 a b", "Unknown flag: foo"),
        ("COPY --from a b", "Missing a value on flag: from"),
        ("COPY --from=a --from=b a b", "Duplicate flag specified: from"),
        ("ADD --from=x a b", "Unknown flag: from"),
        ("CMD --x foo", "Unknown flag: x"),
        ("RUN --network=none x", "Unknown flag: network"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("HEALTHCHECK foo", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --start-period=0 CMD x", 'Interval "start-period" cannot be less than 1ms'),
        ("HEALTHCHECK --interval=xx CMD x", 'time: invalid duration "xx"'),
        ("HEALTHCHECK --retries=0 CMD x", "--retries must be at least 1 (not 0)"),
        ("HEALTHCHECK --retries=x CMD x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("LABEL =x", "LABEL names can not be blank"),
        ("ARG =x", "ARG names can not be blank"),
        ("ARG", "ARG requires at least one argument"),
    ],
)
def test_wrong_instructions(line: str, message: str) -> None:
    with pytest.raises(ins.InstructionError) as caught:
        program(f"FROM a\n{line}")
    assert str(caught.value) == f"dockerfile parse error line 2: {message}"


def test_an_instruction_needs_a_stage() -> None:
    with pytest.raises(ins.InstructionError, match=r"^no build stage in current context$"):
        program("RUN x")


def test_stages_targets_and_steps() -> None:
    found = program("ARG V=1\nFROM a AS One\nRUN x\nFROM one\nCMD y")
    assert [s.name for s in found.stages] == ["one", ""]
    assert found.steps() == 5
    assert len(found.up_to("ONE").stages) == 1
    for target in ("0", "nope"):
        with pytest.raises(ins.InstructionError) as caught:
            found.up_to(target)
        assert str(caught.value) == f"failed to reach build target {target} in Dockerfile"


def test_health_checks_print_as_go_prints_them() -> None:
    step = program("FROM a\nHEALTHCHECK --interval=5s --retries=3 CMD true").stages[0].instructions[0]
    assert isinstance(step, ins.HealthCheck)
    assert step.settings.go_text() == '&{["CMD-SHELL" "true"] "5s" "0s" "0s" \'\\x03\'}'


def test_onbuild_keeps_the_line() -> None:
    step = program("FROM a\nonbuild   copy a.txt /q").stages[0].instructions[0]
    assert isinstance(step, ins.OnBuild)
    assert step.expression == "copy a.txt /q"


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        found = parse(data)
    except DockerfileError as error:
        assert str(error)
        return
    assert isinstance(found, Dockerfile)
    assert found.nodes
    try:
        ins.read_program(found)
    except ins.InstructionError as error:
        assert str(error)


@given(
    st.lists(
        st.sampled_from(
            ["FROM a", "RUN b \\", "", "# c", "ENV x=y", 'CMD ["d"]', "ARG z", "COPY --from=0 e f", "  g"]
        ),
        max_size=8,
    )
)
def test_lines_never_get_lost_or_doubled(lines: list[str]) -> None:
    try:
        found = parse("\n".join(lines).encode())
    except DockerfileError:
        assert not any(line.strip() and not line.startswith("#") for line in lines)
        return
    starts = [node.line for node in found.nodes]
    assert starts == sorted(set(starts))
    assert all(lines[start - 1].strip() for start in starts)
