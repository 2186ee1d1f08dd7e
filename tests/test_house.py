"""The rules of the house: who may import whom, and that the seams stay where they are."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from trine.v1.schema import MESSAGES, METHODS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {p: p.relative_to(base) for base in (ROOT / "services", ROOT / "cli") for p in base.rglob("*.py")}
ALLOWED = {
    "linux": {"linux"},
    "kit": {"kit", "v1"},
    "image": {"image", "kit", "linux", "v1"},
    "network": {"network", "kit", "linux", "v1"},
    "runtime": {"runtime", "kit", "linux", "v1"},
    "engine": {"engine", "kit", "v1"},
    "supervisor": {"supervisor", "engine", "kit", "linux", "v1"},
    "cli": {"cli", "v1"},
}
# What runs in a process that forks or must be small: no packages, no threads, no grpc. So is all it imports.
LEAN_PROGRAMS = {
    "trine/runtime/zygote.py",  # its forks are shims, inits, execs
    "trine/runtime/archive_worker.py",
    "trine/network/holder.py",
    "trine/image/layers/worker.py",
}
HEAVY = {"grpc", "google", "structlog", "pyroute2", "iptc"}
# Decisions: neither grpc nor system calls.
PURE = {
    "trine/image/reference.py",
    "trine/image/spec.py",
    "trine/image/build/dockerfile.py",
    "trine/image/build/ignore.py",
    "trine/network/ipam.py",
    "trine/network/plan.py",
    "trine/runtime/spec.py",
    "trine/engine/states.py",
}


def imports(path: Path, *, for_types: bool = True) -> set[str]:
    """Return the dotted names of all modules a file imports; those only types need can be left out."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(), str(path))]
    while todo:
        node = todo.pop()
        if not for_types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{path}: relative import; write the whole name")
    return found


def modules() -> dict[str, Path]:
    """Return the files of all modules by their dotted names."""
    return {".".join(relative.with_suffix("").parts): path for path, relative in SOURCES.items()}


def reached_from(programs: set[str]) -> set[Path]:
    """Return the files of programs and of all they import, whenever they do."""
    known = modules()
    todo = [path for path, relative in SOURCES.items() if str(relative) in programs]
    reached: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in reached:
            reached.add(path)
            todo += [known[name] for name in imports(path, for_types=False) if name in known]
    return reached


LEAN = reached_from(LEAN_PROGRAMS)


def test_there_are_lean_programs() -> None:
    assert {str(SOURCES[path]) for path in LEAN} > LEAN_PROGRAMS


@pytest.mark.parametrize("path", sorted(SOURCES), ids=lambda p: str(SOURCES[p]))
def test_imports_only_what_its_room_may(path: Path) -> None:
    room = SOURCES[path].parts[1]
    for name in imports(path):
        if name.startswith("trine."):
            other = name.split(".")[1]
            assert other in ALLOWED[room], f"{SOURCES[path]} ({room}) imports {name}"


@pytest.mark.parametrize("path", sorted(SOURCES), ids=lambda p: str(SOURCES[p]))
def test_no_room_has_a_hidden_dependency(path: Path) -> None:
    relative = str(SOURCES[path])
    names = imports(path, for_types=False)
    if relative.startswith("trine/linux/") or path in LEAN:
        forbidden = [n for n in names if n.split(".")[0] in HEAVY or n.startswith(("trine.v1", "trine.kit"))]
        assert not forbidden, f"{relative} must stay lean: {forbidden}"
    if relative in PURE:
        forbidden = [n for n in names if n.split(".")[0] in {"grpc", "ctypes"} or n.startswith("trine.linux")]
        assert not forbidden, f"{relative} decides only: {forbidden}"


def test_trine_is_a_namespace_package() -> None:
    for base in ("protos", "services", "cli"):
        assert not (ROOT / base / "trine" / "__init__.py").exists()


def test_every_function_is_used() -> None:
    """A name that stands in the sources once is called by nobody; RPCs are called from outside."""
    everything = [*SOURCES, *(ROOT / "tools").glob("*.py"), ROOT / "pyproject.toml"]
    words = Counter(word for path in everything for word in re.findall(r"\w+", path.read_text()))
    protos = "".join(path.read_text() for path in (ROOT / "protos").rglob("*.proto"))
    called_by_others = {
        *re.findall(r"rpc (\w+)", protos),
        *("intercept_service", "readinto"),  # grpc.aio.ServerInterceptor, io.RawIOBase
        "wait_empty",  # tests of cgroups
    }
    unused = [
        f"{SOURCES[path]}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and words[node.name] == 1
        and node.name not in called_by_others
        and not node.name.startswith("__")
    ]
    assert not unused, f"used nowhere: {unused}"


def test_every_rpc_is_served_and_every_field_used() -> None:
    words = {word for path in SOURCES for word in re.findall(r"\w+", path.read_text())}
    unserved = [name for name in METHODS if name.split(".")[1] not in words]
    unused = [f"{name}.{row[1]}" for name, rows in MESSAGES.items() for row in rows if row[1] not in words]
    assert not unserved + unused, "serve it, use it, or take it away and reserve its number"


def test_pages_name_files_that_are_there() -> None:
    """A page that tells of a file that has gone misleads; so does a link to nowhere."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    sources = [str(p.relative_to(ROOT)) for top in ("services", "cli", "tools", "tests", "bench")
               for p in (ROOT / top).rglob("*.py")]  # fmt: skip
    wrong: list[str] = []
    for page in pages:
        text = page.read_text()
        links = [word for word in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in word]
        wrong += [f"{page.name}: {word}" for word in links if not (page.parent / word).exists()]
        if page.name == "extending.md":  # it tells of files that you write
            continue
        for word in re.findall(r"`[\w./]+\.py`", text):
            name = word.strip("`").removeprefix("../")
            if not any(path == name or path.endswith(f"/{name}") for path in sources):
                wrong.append(f"{page.name}: {name}")
    assert not wrong, wrong


def test_no_module_imports_itself_by_a_roundabout_way() -> None:
    known = modules()
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        # Only what runs at import: what types need, and late imports, stand deeper.
        top = ast.Module(
            [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        names = {alias.name for n in top.body if isinstance(n, ast.Import) for alias in n.names}
        for node in top.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[module] = {name for name in names if name in known}
    # Take away what imports nothing that is left, until nothing goes: the rest is circles.
    while leaves := [module for module, needs in graph.items() if not needs]:
        for module in leaves:
            del graph[module]
        for needs in graph.values():
            needs.difference_update(leaves)
    assert not graph, f"circles: {graph}"
