from __future__ import annotations

import pytest

from trine.image import reference
from trine.kit.errors import InvalidArgumentError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("httpd", "docker.io/library/httpd", "httpd"),
        ("httpd:2.4", "docker.io/library/httpd:2.4", "httpd:2.4"),
        ("bitnami/nginx", "docker.io/bitnami/nginx", "bitnami/nginx"),
        ("docker.io/httpd", "docker.io/library/httpd", "httpd"),
        ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/a/b__c-d.e", "127.0.0.1:5000/a/b__c-d.e", "127.0.0.1:5000/a/b__c-d.e"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:t@{DIGEST}", f"docker.io/library/x:t@{DIGEST}", f"x:t@{DIGEST}"),
        ("a--b", "docker.io/library/a--b", "a--b"),
    ],
)
def test_names_people_type(text: str, canonical: str, familiar: str) -> None:
    found = reference.parse(text)
    assert (str(found), found.familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("HTTPD", "invalid reference format: repository name must be lowercase"),
        ("FOO/bar", "invalid reference format: repository name must be lowercase"),
        ("a b", "invalid reference format"),
        ("x\n", "invalid reference format"),
        ("x:", "invalid reference format"),
        ("-x", "invalid reference format"),
        ("x/../y", "invalid reference format"),
        ("../x", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("a" * 256, "repository name must not be more than 255 characters"),
        ("x@sha256:" + "a" * 40, "invalid checksum digest format"),
        ("x@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_names_nobody_should_type(text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        reference.parse(text)
    assert caught.value.message == message


def test_a_long_wrong_name_does_not_take_for_ever() -> None:
    # A grammar written carelessly backtracks exponentially here and the test never ends.
    with pytest.raises(InvalidArgumentError):
        reference.parse("a-" * 60 + "!")


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("httpd", "httpd:2", True),
        ("httpd:2*", "httpd:2.4", True),
        ("ht*", "httpd:2.4", True),
        ("*", "a/b:1", False),
        ("*/b", "a/b:1", True),
        ("b", "a/b:1", False),
        ("h[st]tpd", "httpd:1", True),
    ],
)
def test_reference_filter_patterns(pattern: str, name: str, fits: bool) -> None:
    assert reference.matches(pattern, reference.parse(name)) is fits


def test_a_tag_may_not_look_like_a_digest() -> None:
    assert reference.parse_tagged("x").familiar == "x:latest"
    for text, message in ((f"x@{DIGEST}", "with a digest reference"), ("sha256:x", "using digest algorithm")):
        with pytest.raises(InvalidArgumentError, match=f"refusing to create .* {message}"):
            reference.parse_tagged(text)


@pytest.mark.parametrize("text", ["httpd", f"x:t@{DIGEST}", "localhost:5000/a/b:c"])
def test_names_this_store_wrote_are_read_back(text: str) -> None:
    canonical = str(reference.parse(text))
    assert reference.parse_canonical(canonical) == reference.parse(text)


def test_id_prefixes() -> None:
    image_id = "sha256:" + "ab" * 32
    assert reference.id_prefix_matches(image_id, "abab")
    assert reference.id_prefix_matches(image_id, "sha256:abab")
    assert not reference.id_prefix_matches(image_id, "ba")
    assert reference.short_id(image_id) == "abababababab"
