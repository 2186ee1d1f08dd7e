"""The rules of the house: who may import whom, and that the seams stay where they are."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

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
# Modules that run in the zygote, a shim, a worker or an init: no packages, no threads, no grpc.
LEAN = {
    "trine/runtime/zygote.py",
    "trine/runtime/shim.py",
    "trine/runtime/init.py",
    "trine/runtime/enter.py",
    "trine/runtime/archive_tree.py",
    "trine/runtime/archive_worker.py",
    "trine/runtime/cgroup_mounts.py",
    "trine/runtime/copy_up.py",
    "trine/runtime/execution.py",
    "trine/runtime/failure.py",
    "trine/runtime/import_guard.py",
    "trine/runtime/json_log.py",
    "trine/runtime/packets.py",
    "trine/runtime/pid1.py",
    "trine/runtime/reactor.py",
    "trine/runtime/rehearsal.py",
    "trine/runtime/rootfs.py",
    "trine/runtime/shim_create.py",
    "trine/runtime/shim_peer.py",
    "trine/runtime/shim_process.py",
    "trine/runtime/shim_requests.py",
    "trine/runtime/stdio.py",
    "trine/runtime/users.py",
}
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


def imports(path: Path) -> set[str]:
    """Return the dotted names of all modules a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{path}: relative import; write the whole name")
    return found


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _runtime_imports(path: Path, modules: dict[str, Path]) -> set[Path]:
    """Return our files that a file imports when it runs, in functions too, but not for types alone."""
    found: set[Path] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(), str(path))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                # "from trine.engine import health" names a file, "from trine.engine.start import x" too.
                target = modules.get(f"{node.module}.{alias.name}") or modules.get(node.module)
                if target is not None:
                    found.add(target)
        elif isinstance(node, ast.Import):
            found.update(modules[alias.name] for alias in node.names if alias.name in modules)
        if not _is_for_types_only(node):
            waiting.extend(ast.iter_child_nodes(node))
    return found - {path}


def test_no_imports_run_in_a_circle() -> None:
    """Of two files one knows the other: who reads one can stop there. An import in a function counts."""
    modules = {".".join(name.with_suffix("").parts): path for path, name in SOURCES.items()}
    knows = {path: _runtime_imports(path, modules) for path in SOURCES}
    done: set[Path] = set()
    way: list[Path] = []

    def follow(path: Path) -> None:
        if path in way:
            circle = [str(SOURCES[p]) for p in way[way.index(path) :]]
            pytest.fail(f"imports in a circle: {' -> '.join(circle)}")
        if path in done:
            return
        way.append(path)
        for other in sorted(knows[path]):
            follow(other)
        done.add(way.pop())

    for path in sorted(SOURCES):
        follow(path)


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
    names = imports(path)
    if relative.startswith("trine/linux/") or relative in LEAN:
        forbidden = [
            n for n in names if n.split(".")[0] in {"grpc", "google", "structlog", "pyroute2", "iptc"}
        ] + [n for n in names if n.startswith(("trine.v1", "trine.kit"))]
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
