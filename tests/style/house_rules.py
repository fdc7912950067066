"""Rules of the house that no linter knows. Each takes the tree and its files, and returns complaints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

MAX_LINES = 400
MAX_COLUMNS = 120  # of C and shell; ruff holds Python to fewer
CODE = (".py", ".pyi", ".c", ".h", ".cdef", ".sh", ".S", ".ld")
FORBIDDEN_WORDS = {"util", "utils", "common", "manager", "managers", "helper", "helpers", "misc"}
# Spelt so that this file has none of them.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

# The top level is fixed (DESIGN §9).
TOP_LEVEL = {
    *("vmm_main", "device_procs", "ipc", "seccomp_profiles", "tests", "tools", "docs"),
    *("pyproject.toml", "setup.py", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    *(".ci", ".gitignore"),
}


def too_long(root: Path, files: Iterable[PurePosixPath]) -> Iterator[str]:
    """Files of code with too many lines, and lines with too many columns."""
    for path in files:
        if path.suffix in CODE:
            lines = (root / path).read_text(encoding="utf-8").splitlines()
            if len(lines) > MAX_LINES:
                yield f"{path} has {len(lines)} lines; a file holds one idea and at most {MAX_LINES}"
            for number, line in enumerate(lines, 1):
                if len(line) > MAX_COLUMNS:
                    yield f"{path}:{number} has {len(line)} columns; {MAX_COLUMNS} are allowed"


def names_that_say_nothing(files: Iterable[PurePosixPath]) -> Iterator[str]:
    """Files and folders with a name that could hold anything."""
    for path in files:
        words = {word for part in path.parts for word in re.split(r"[^a-z0-9]+", part.lower())}
        for word in sorted(words & FORBIDDEN_WORDS):
            yield f"{path}: {word!r} says nothing of what is in it"


def strangers_at_the_top(files: Iterable[PurePosixPath]) -> Iterator[str]:
    """What the top level holds beyond the design's layout."""
    for name in sorted({path.parts[0] for path in files} - TOP_LEVEL):
        yield f"{name} doesn't belong at the top level"


def unfinished(root: Path, files: Iterable[PurePosixPath]) -> Iterator[str]:
    """Marks of work that isn't done."""
    for path in files:
        if path.suffix in (*CODE, ".md", ".toml"):
            for number, line in enumerate((root / path).read_text(encoding="utf-8").splitlines(), 1):
                if UNFINISHED.search(line):
                    yield f"{path}:{number}: {line.strip()}"


def sleeps(root: Path, files: Iterable[PurePosixPath], reviewed: Mapping[str, str]) -> Iterator[str]:
    """Sleeps where something should be waited for.

    Args:
        root: The tree.
        files: Its files.
        reviewed: "file:function" -> why nothing can be waited for there. One that isn't needed is told too.
    """
    unused = set(reviewed)
    for path, tree in _python(root, files):
        for function, node in _with_function(tree):
            if isinstance(node, ast.Call) and _last_name(node.func) in ("sleep", "usleep", "nanosleep"):
                where = f"{path}:{function}"
                unused.discard(where)
                if where not in reviewed:
                    yield f"{path}:{node.lineno} sleeps in {function}: wait for what is to happen instead"
    for where in sorted(unused):
        yield f"{where} is listed as sleeping, but doesn't"


def swallowed(root: Path, files: Iterable[PurePosixPath]) -> Iterator[str]:
    """Handlers of every exception that neither raise nor look at what they caught."""
    for path, tree in _python(root, files):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _catches_everything(node.type):
                inside = [inner for statement in node.body for inner in ast.walk(statement)]
                used = any(isinstance(inner, ast.Name) and inner.id == node.name for inner in inside)
                if not used and not any(isinstance(inner, ast.Raise) for inner in inside):
                    yield f"{path}:{node.lineno} swallows every exception"
            elif isinstance(node, ast.Call) and _suppresses_everything(node):
                yield f"{path}:{node.lineno} suppresses every exception"


def _python(root: Path, files: Iterable[PurePosixPath]) -> Iterator[tuple[PurePosixPath, ast.Module]]:
    for path in files:
        if path.suffix == ".py":
            yield path, ast.parse((root / path).read_text(encoding="utf-8"))


def _with_function(node: ast.AST, function: str = "<module>") -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield inner, child
        yield from _with_function(child, inner)


def _last_name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _suppresses_everything(node: ast.Call) -> bool:
    return _last_name(node.func) == "suppress" and any(map(_catches_everything, node.args))


def _catches_everything(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_catches_everything(element) for element in node.elts)
    return node is None or _last_name(node) in ("Exception", "BaseException")
