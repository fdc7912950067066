"""Every C name that Python uses is in the extension: to type checkers `lib` is Any."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.style.source_tree import CHECKOUT, project_files
from vmm_main.kvm import _kvm

STUB = CHECKOUT / "vmm_main" / "kvm" / "_kvm.pyi"


def used_names(source: str, of: str) -> Iterator[tuple[int, str]]:
    """Line and name of every attribute that a module takes of the extension's `lib` or `ffi`."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "vmm_main.kvm._kvm"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if imported.get(node.value.id) == of:
            yield node.lineno, node.attr


def missing_names(path: PurePosixPath, source: str) -> list[str]:
    return [
        f"{path}:{line}: {of}.{name}"
        for of in ("lib", "ffi")
        for line, name in used_names(source, of)
        if not hasattr(getattr(_kvm, of), name)
    ]


def test_every_name_that_is_used_is_there() -> None:
    uses = 0
    missing = []
    for path in project_files():
        if path.suffix == ".py":
            source = (CHECKOUT / path).read_text(encoding="utf-8")
            uses += sum(1 for _ in used_names(source, "lib"))
            missing += missing_names(path, source)
    assert missing == []
    assert uses > 0


def test_the_stub_promises_nothing_that_is_not_there() -> None:
    stub = ast.parse(STUB.read_text(encoding="utf-8"))
    ffi = next(node for node in stub.body if isinstance(node, ast.ClassDef))
    promised = {node.name for node in ffi.body if isinstance(node, ast.FunctionDef)} | {
        node.target.id
        for node in ffi.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert "new" in promised
    assert [name for name in sorted(promised) if not hasattr(_kvm.ffi, name)] == []


def test_a_misspelt_name_is_found() -> None:
    source = "from vmm_main.kvm._kvm import lib as c\nc.KVM_CREATE_VM\nc.KVM_CREATE_WM\n"
    assert missing_names(PurePosixPath("planted.py"), source) == ["planted.py:3: lib.KVM_CREATE_WM"]
