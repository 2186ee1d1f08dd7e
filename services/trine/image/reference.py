"""Docker's image references: grammar, normalisation and the short names people type.

The grammar is the one of the distribution project ("reference", https://distribution.github.io/distribution/):
``[domain/]path[:tag][@digest]``; a first component without dot, colon or "localhost" belongs to Docker Hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from trine.kit.errors import InvalidArgumentError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAXIMUM_NAME = 255

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_PATH_PART}(?:/{_PATH_PART})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"({_DOMAIN})/({_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?")
_SHA256 = re.compile(r"sha256:[a-f0-9]{64}")
_HEX64 = re.compile(r"[a-f0-9]{64}")
_HEX = re.compile(r"[a-f0-9]{1,64}")
_TAG_ONLY = re.compile(_TAG)


@dataclass(frozen=True)
class Reference:
    """A normalised reference; ``tag`` and ``digest`` are empty when not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The canonical repository, "docker.io/library/httpd"."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: "httpd", "localhost:5000/x"."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(_OFFICIAL)
        return rest if rest != self.path and "/" not in rest else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as people write it: "httpd:latest", "httpd@sha256:…"."""
        return self.familiar_name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()

    def with_default_tag(self) -> Reference:
        """Return this reference with ":latest" when it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def with_tag(self, tag: str) -> Reference:
        """Return the same repository with this tag and no digest."""
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """Return the same repository with this digest and no tag."""
        return replace(self, tag="", digest=digest)


def _invalid(message: str = "invalid reference format") -> InvalidArgumentError:
    return InvalidArgumentError(message, reason="INVALID_REFERENCE")


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash or ("." not in first and ":" not in first and first != "localhost"):
        domain, rest = DEFAULT_DOMAIN, text
    else:
        domain = DEFAULT_DOMAIN if first == _LEGACY_DOMAIN else first
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return domain, rest


def parse(text: str) -> Reference:
    """Return the normalised reference of what a person typed.

    Raises InvalidArgumentError (INVALID_REFERENCE) with Docker's wording.
    """
    if _HEX64.fullmatch(text):
        raise _invalid(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split_domain(text)
    path = re.split("[:@]", rest, maxsplit=1)[0]
    if path != path.lower():
        raise _invalid("invalid reference format: repository name must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if match is None:
        raise _invalid()
    if len(match[2]) + len(match[1]) + 1 > _MAXIMUM_NAME:
        raise _invalid("repository name must not be more than 255 characters")
    digest = match[4] or ""
    if digest and not _SHA256.fullmatch(digest):
        raise _invalid(
            "invalid checksum digest format"
            if digest.startswith("sha256:")
            else "unsupported digest algorithm"
        )
    return Reference(match[1], match[2], match[3] or "", digest)


def parse_tagged(text: str) -> Reference:
    """Return the reference of a name to give: tag defaults to latest, a digest is refused."""
    found = parse(text)
    if found.digest:
        raise _invalid("refusing to create a tag with a digest reference")
    if found.familiar.partition(":")[0] == "sha256":
        raise _invalid("refusing to create an ambiguous tag using digest algorithm as name")
    return found.with_default_tag()


def parse_canonical(text: str) -> Reference:
    """Return the reference of a name this store wrote itself ("docker.io/library/httpd:latest")."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise _invalid()
    return Reference(match[1], match[2], match[3] or "", match[4] or "")


def is_digest(text: str) -> bool:
    """Whether it is "sha256:<64 hex>"."""
    return bool(_SHA256.fullmatch(text))


def is_hex_prefix(text: str) -> bool:
    """Whether it can be the start of an id (1 to 64 lower-case hex digits)."""
    return bool(_HEX.fullmatch(text))


def is_tag(text: str) -> bool:
    """Whether it can be a tag."""
    return bool(_TAG_ONLY.fullmatch(text))


def id_prefix_matches(image_id: str, prefix: str) -> bool:
    """Whether what was typed is the start of an image id, with or without "sha256:"."""
    return image_id.startswith(prefix) or image_id.partition(":")[2].startswith(prefix)


def short_id(digest: str) -> str:
    """Return the first 12 hex digits people see."""
    return digest.rpartition(":")[2][:12]


def _glob(pattern: str) -> re.Pattern[str]:
    """Translate a pattern of Go's path.Match: "*" and "?" stop at a slash. Raises InvalidArgumentError."""
    out, i = "", 0
    while i < len(pattern):
        char = pattern[i]
        i += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            end = pattern.find("]", i + 1)
            if end < 0:
                raise InvalidArgumentError(f"syntax error in pattern: {pattern}")
            body = pattern[i:end].replace("\\", "\\\\").replace("[", "\\[")
            out += f"[{body}]"
            i = end + 1
        elif char == "\\" and i < len(pattern):
            out += re.escape(pattern[i])
            i += 1
        else:
            out += re.escape(char)
    try:
        return re.compile(out, re.DOTALL)
    except re.error:
        raise InvalidArgumentError(f"syntax error in pattern: {pattern}") from None


def matches(pattern: str, found: Reference) -> bool:
    """Whether a reference filter's pattern fits the familiar reference or its repository."""
    glob = _glob(pattern)
    return bool(glob.fullmatch(found.familiar) or glob.fullmatch(found.familiar_name))
