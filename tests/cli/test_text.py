"""What people read: sizes, durations, tables, templates, terminals."""

from __future__ import annotations

from typing import Any

import pytest

from trine.cli import progress, terminal
from trine.cli.text import columns, functions, table, templates, times, units
from trine.cli.text.values import GoMap, TemplateError
from trine.cli.views import rows
from trine.cli.wire import Message


@pytest.mark.parametrize(
    ("size", "digits", "text"),
    [(0, 3, "0B"), (999, 3, "999B"), (1984238, 3, "1.98MB"), (195_300_000, 3, "195MB"), (2048, 4, "2.048kB"),
     (999_999, 3, "1e+03kB"), (10**12, 4, "1TB")],
)  # fmt: skip
def test_human_size(size: int, digits: int, text: str) -> None:
    assert units.human_size(size, digits) == text


def test_binary_size() -> None:
    assert units.binary_size(25276514304) == "23.54GiB"
    assert units.binary_size(217088) == "212KiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),  # noqa: E501
     (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"),  # noqa: E501
     (48 * 3600, "2 days"), (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (59 * 86400, "8 weeks"),
     (60 * 86400, "2 months"), (729 * 86400, "24 months"), (730 * 86400, "2 years")],
)  # fmt: skip
def test_human_duration(seconds: float, text: str) -> None:
    assert units.human_duration(seconds) == text


def test_times() -> None:
    assert times.rfc3339_nano(0) == "0001-01-01T00:00:00Z"
    assert times.rfc3339_nano(1_500_000_000) == "1970-01-01T00:00:01.5Z"


def test_table_is_aligned_as_tabwriter() -> None:
    assert columns.aligned([["A", "B"], ["a much longer cell", "b"]]) == (
        "A                    B\na much longer cell   b\n"
    )
    assert columns.aligned([["ID", "X"], ["1", "y"]]) == "ID        X\n1         y\n"


def state(status: str, **more: Any) -> Message:
    return Message("ContainerState", {"status": f"CONTAINER_STATUS_{status}", **more})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (state("RUNNING", started_at_unix_nanos=48 * 10**9), "Up 52 seconds"),
        (state("PAUSED", started_at_unix_nanos=30 * 10**9), "Up About a minute (Paused)"),
        (
            state("RUNNING", started_at_unix_nanos=48 * 10**9, health_status="starting"),
            "Up 52 seconds (health: starting)",
        ),
        (state("EXITED", exit_code=130, finished_at_unix_nanos=93 * 10**9), "Exited (130) 7 seconds ago"),
        (state("RESTARTING", exit_code=1, finished_at_unix_nanos=99 * 10**9), "Restarting (1) 1 second ago"),
        (state("CREATED"), "Created"),
        (state("DEAD"), "Dead"),
        (state("REMOVING"), "Removal In Progress"),
    ],
)
def test_status(given: Message, text: str) -> None:
    assert rows.status_text(given, 100 * 10**9) == text


def port(container: int, host: int = 0, address: str = "0.0.0.0", protocol: str = "tcp") -> Message:
    return Message(
        "PortMapping",
        {"container_port": container, "host_port": host, "host_ip": address, "protocol": protocol},
    )


@pytest.mark.parametrize(
    ("published", "exposed", "text"),
    [
        ([port(80, 80), port(80, 80, "::")], [], "0.0.0.0:80->80/tcp, [::]:80->80/tcp"),
        ([port(80, 8080)], ["80/tcp", "443/tcp"], "443/tcp, 0.0.0.0:8080->80/tcp"),
        ([port(n, n) for n in (80, 81, 82)], [], "0.0.0.0:80-82->80-82/tcp"),
        ([], ["80/tcp", "81/tcp", "90/udp"], "80-81/tcp, 90/udp"),
        ([port(80, 80), port(82, 82)], [], "0.0.0.0:80->80/tcp, 0.0.0.0:82->82/tcp"),
    ],
)
def test_ports(published: list[Message], exposed: list[str], text: str) -> None:
    row = Message("ContainerSummary", {"ports": published, "exposed_ports": exposed})
    assert rows.ports_text(row) == text


DATA: dict[str, Any] = {
    "Id": "abc",
    "Name": "/box",
    "State": {"Running": True, "Pid": 7},
    "Config": {"Labels": GoMap({"b": "two", "a": "1"}), "Env": ["K=v", "P=q"], "Cmd": None},
    "Args": ["-c", "x y"],
    "Networks": GoMap({"n2": {"IP": "2"}, "n1": {"IP": "1"}}),
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Name}} {{.ID}} {{ .State.Pid }}", "/box abc 7"),
        ("{{json .Config.Labels}}", '{"b":"two","a":"1"}'),
        ("{{range .Config.Env}}{{println .}}{{end}}", "K=v\nP=q\n"),
        ("{{range $k, $v := .Networks}}{{$k}}={{$v.IP}} {{end}}", "n1=1 n2=2 "),
        ("{{if .State.Running}}yes{{else}}no{{end}}", "yes"),
        ("{{if and .State.Running (eq .State.Pid 7)}}y{{else if .X}}{{end}}", "y"),
        ('{{len .Args}} {{index .Config.Labels "b"}} {{index .Args 1}}', "2 two x y"),
        ('{{upper .Name}} {{join .Args "|"}} {{title "ab cd"}}', "/BOX -c|x y Ab Cd"),
        ("{{.Config.Labels.nothing}}", "<no value>"),
        ("{{.Config.Cmd}} {{.Args}} {{.Config.Labels}}", "<nil> [-c x y] map[a:1 b:two]"),
        ("{{with .State}}{{.Pid}}{{end}}{{with .Config.Cmd}}x{{else}}none{{end}}", "7none"),
        ("a {{- /* note */ -}} b", "ab"),
        ("{{- .Name -}}  x", "/boxx"),
        ('{{$x := .Name}}{{$x | printf "%q-%s" "l"}}', '"l"-/box'),
        ('{{printf "%5.1f|%d|%v" 2.25 3 true}}', "  2.2|3|true"),
        ('{{range $i, $e := split "a,b,c" ","}}{{if $i}};{{end}}{{$e}}{{end}}', "a;b;c"),
        ("{{range .Nothing2}}{{else}}empty{{end}}", None),
        ('{{not true}} {{ne 1 2}} {{lt 1 2}} {{ge 1 2}} {{or "" "x"}}', "false true true false x"),
        ("{{`raw {{}}`}}", "raw {{}}"),
        ('{{range .Args}}{{if eq . "x y"}}{{break}}{{end}}{{.}}{{end}}', "-c"),
    ],
)
def test_templates(source: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(TemplateError):
            templates.parse(source).render(DATA)
    else:
        assert templates.parse(source).render(DATA) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Name", "template: :1: unclosed action"),
        ("{{foo .Name}}", 'template: :1: function "foo" not defined'),
        ("{{if .Name}}", "template: :1: unexpected EOF"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{.Name | }}", "template: :1: missing value for command"),
    ],
)
def test_templates_that_cannot_be_parsed(source: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        templates.parse(source)


def test_missing_field_is_told_as_go_does() -> None:
    with pytest.raises(TemplateError) as caught:
        templates.parse("{{.NoSuchField}}").render(DATA)
    assert str(caught.value) == (
        'template: :1:2: executing "" at <.NoSuchField>: map has no entry for key "NoSuchField"'
    )


COLUMNS: columns.Columns = {
    "Name": ("NAME", lambda row: row["n"]),
    "Label": ("", lambda row: lambda name: row["l"].get(name, "")),
}
ROWS = [{"n": "<none>", "l": {"k": "v"}}, {"n": "b", "l": {}}]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("", "NAME\n<none>\nb\n"),
        ('table {{.Name}}\\t{{.Label "k"}}', "NAME      k\n<none>    v\nb         \n"),
        ('{{.Name}}:{{.Label "k"}}', "<none>:v\nb:\n"),
        ("{{json .Name}}", '"<none>"\n"b"\n'),
        ("json", '{"Name":"\\u003cnone\\u003e"}\n{"Name":"b"}\n'),
    ],
)
def test_listings(form: str, text: str) -> None:
    assert table.listing(form, COLUMNS, ["Name"], ROWS) == text


def test_values_are_printed_as_go_does() -> None:
    assert functions.shown({"a": 1, "b": [True, None]}) == "{1 [true <nil>]}"


@pytest.mark.parametrize(
    ("typed", "passed", "left"),
    [
        ([b"ab"], b"ab", False),
        ([b"\x10\x11"], b"", True),
        ([b"a\x10", b"\x11"], b"a", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"\x10", b"\x10", b"y"], b"\x10\x10y", False),
    ],
)
def test_detach_keys(typed: list[bytes], passed: bytes, left: bool) -> None:
    proxy = terminal.EscapeProxy(terminal.parse_keys("ctrl-p,ctrl-q"))
    out, detached = b"", False
    for data in typed:
        part, detached = proxy.feed(data)
        out += part
    assert (out, detached) == (passed, left)


def test_keys() -> None:
    assert terminal.parse_keys("a,ctrl-@,ctrl-_") == b"a\x00\x1f"
    with pytest.raises(ValueError, match="Unknown character: 'foo'"):
        terminal.parse_keys("foo")


def test_bars() -> None:
    assert progress.bar(0, 0, 120) == ""
    assert progress.bar(25, 50, 120) == f"[{'=' * 25}>{' ' * 25}]      25B/50B"
    assert progress.bar(25_000_000, 50_000_000, 80) == "    25MB/50MB"
    assert progress.bar(60, 50, 80) == "     60B"
