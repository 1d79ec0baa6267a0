"""Imports point downwards only, and who may touch what: read off the syntax trees of all modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STOREYS = ("cassette", "addons", "proxy_cli")
"""From the bottom up: a module imports from its own storey and those below."""
ALLOWED_IN = {"mitmproxy": "addons", "click": "proxy_cli"}
"""Libraries that one storey alone may know."""
IO_MODULES = {
    "backlog", "files", "ledger", "priority", "recording", "recovery", "retention",
    "scribe", "scribe_process", "segment_reader", "segments", "session_files", "settled", "store", "times_file",
    "twin",
}  # fmt: skip
"""The modules of cassette that touch files and processes; all others are pure."""
IO_LIBRARIES = {
    "fcntl", "glob", "mmap", "multiprocessing", "select", "selectors", "shutil", "signal", "socket", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
"""Nothing pure needs these, reading a clock included."""
IO_METHODS = {
    "chmod", "exists", "glob", "hardlink_to", "is_dir", "is_file", "is_symlink", "iterdir", "lstat", "mkdir", "open",
    "read_bytes", "read_text", "readlink", "rename", "resolve", "rglob", "rmdir", "stat", "symlink_to", "touch",
    "unlink", "write_bytes", "write_text",
}  # fmt: skip
"""Methods of pathlib.Path, by name: a pure module calls none, whatever it calls them on."""

MODULES = [path for storey in STOREYS for path in sorted((ROOT / storey).rglob("*.py"))]
PURE = [
    path
    for path in sorted((ROOT / "cassette").rglob("*.py"))
    if path.relative_to(ROOT / "cassette").with_suffix("").as_posix() not in IO_MODULES
]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


def imports(module: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of what is imported, wherever in the module; `from a import b` is a.b."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the storey"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def io_of(module: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, what) of everything in a module that reads or writes something outside of it."""
    for line, name in imports(module):
        if any(is_within(name, library) for library in IO_LIBRARIES) or is_within(name, "os"):
            yield line, f"imports {name}"
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in {"open", "input", "print"}:
            yield node.lineno, f"calls {called.id}"
        elif isinstance(called, ast.Attribute) and called.attr in IO_METHODS:
            yield node.lineno, f"calls .{called.attr}"


def test_there_is_something_to_look_at() -> None:
    assert {named(path).split("/")[0] for path in MODULES} == set(STOREYS)
    assert {path.stem for path in (ROOT / "cassette").glob("*.py")} >= IO_MODULES


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_downwards(path: Path) -> None:
    storey = named(path).split("/")[0]
    above = STOREYS[STOREYS.index(storey) + 1 :]

    assert [found for found in imports(tree(path)) if any(is_within(found[1], one) for one in above)] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_library_is_known_to_its_storey_alone(path: Path) -> None:
    storey = named(path).split("/")[0]
    foreign = [library for library, home in ALLOWED_IN.items() if home != storey]
    if storey == "cassette":
        foreign.append("asyncio")

    assert [found for found in imports(tree(path)) if any(is_within(found[1], one) for one in foreign)] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_module_imports_the_tests(path: Path) -> None:
    assert [found for found in imports(tree(path)) if is_within(found[1], "tests")] == []


@pytest.mark.parametrize("path", PURE, ids=named)
def test_a_pure_module_does_no_io(path: Path) -> None:
    assert list(io_of(tree(path))) == []


@pytest.mark.parametrize("path", PURE, ids=named)
def test_a_pure_module_imports_no_module_that_does_io(path: Path) -> None:
    if named(path) == "cassette/__init__.py":
        return  # its names come from where they are, when they are asked for
    touching = [
        found
        for found in imports(tree(path))
        if any(is_within(found[1], f"cassette.{module}") for module in IO_MODULES)
    ]

    assert touching == []


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import os.path",
        "from os import read",
        "def f():\n    import socket",
        "open('x')",
        "path.read_bytes()",
        "Path('x').write_text('y')",
        "from time import monotonic",
        "import urllib.request",
        "print('x')",
    ],
)
def test_io_is_seen(code: str) -> None:
    assert list(io_of(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["from pathlib import Path", "import urllib.parse", "body.join(read)", "import re"]
)
def test_what_is_no_io_is_not_taken_for_it(code: str) -> None:
    assert not list(io_of(ast.parse(code)))
