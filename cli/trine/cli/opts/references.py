"""Names of images, as far as the client must know them (distribution/reference)."""

from __future__ import annotations

HUB = "https://index.docker.io/v1/"
_HEX = set("0123456789abcdef")


def split(name: str) -> tuple[str, str, str]:
    """Return repository, tag and digest of a reference; the two latter may be empty."""
    name, _, digest = name.partition("@")
    head, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        return head, tag, digest
    return name, "", digest


def registry(name: str) -> str:
    """Return the key of the registry of an image in config.json: its host, or Docker Hub's index."""
    first, slash, _ = split(name)[0].partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return HUB if first in ("docker.io", "index.docker.io") else first
    return HUB


def familiar(name: str) -> str:
    """Return a reference with its tag, "latest" when it has neither tag nor digest."""
    repository, tag, digest = split(name)
    repository = repository.removeprefix("docker.io/").removeprefix("library/")
    if digest:
        return f"{repository}:{tag}@{digest}" if tag else f"{repository}@{digest}"
    return f"{repository}:{tag or 'latest'}"


def valid(name: str) -> str:
    """Return "" for a well-formed reference, else what is wrong in Docker's words."""
    repository, tag, digest = split(name)
    if not name or not repository:
        return "invalid reference format"
    first, slash, rest = repository.partition("/")
    hosted = slash and ("." in first or ":" in first or first == "localhost")
    if hosted and not _host(first):
        return "invalid reference format"
    path = rest if hosted else repository
    if path != path.lower():
        shown = path if path != repository or "/" in path else f"library/{path}"
        return f"invalid reference format: repository name ({shown}) must be lowercase"
    for part in path.split("/"):
        if not _component(part):
            return "invalid reference format"
    if tag and not (len(tag) <= 128 and _word(tag[0]) and all(_word(c) or c in ".-" for c in tag)):
        return "invalid reference format"
    if (":" in name.rpartition("/")[2].partition("@")[0] and not tag) or ("@" in name and not digest):
        return "invalid reference format"
    if digest:
        algorithm, _, code = digest.partition(":")
        if algorithm == "sha256" and (len(code) != 64 or set(code) - _HEX):
            return "invalid reference format"
    if not digest and len(repository) == 64 and not set(repository) - _HEX:
        return f"invalid repository name ({repository}), cannot specify 64-byte hexadecimal strings"
    return ""


def _host(text: str) -> bool:
    """Tell whether text is a host with an optional port."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = host or port
    elif not port.isdigit():
        return False
    if host.startswith("[") and host.endswith("]"):
        return not set(host[1:-1].lower()) - (_HEX | {":"})
    parts = host.split(".")
    return all(
        p and p.isascii() and p[0] != "-" and p[-1] != "-" and p.replace("-", "").isalnum() for p in parts
    )


def _word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _component(part: str) -> bool:
    """Tell whether a path component is lower case letters and digits, separated by . _ __ or dashes."""
    if not part or not part.isascii() or not part[0].isalnum() or not part[-1].isalnum():
        return False
    run = ""
    for character in part:
        if character.isalnum():
            if run and run not in (".", "_", "__") and run.strip("-"):
                return False
            run = ""
        elif character in "._-":
            run += character
        else:
            return False
    return True


def check_tag(text: str) -> str:
    """Return a name for --tag; raises ValueError."""
    wrong = valid(text)
    if wrong:
        raise ValueError(wrong)
    return text


def full(name: str) -> str:
    """Return a reference with registry and tag, "docker.io/library/httpd:latest"."""
    shown = familiar(name)
    if registry(name) != HUB:
        return shown
    path = shown.removeprefix("index.docker.io/").removeprefix("docker.io/")
    return "docker.io/" + (path if "/" in path.partition("@")[0] else f"library/{path}")


def is_id(text: str) -> bool:
    """Tell whether a name is a whole id, with or without its algorithm."""
    code = text.removeprefix("sha256:")
    return len(code) == 64 and not set(code) - _HEX
