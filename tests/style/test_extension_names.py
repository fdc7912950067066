"""Every C name that Python uses is in the extension: to type checkers `lib` is Any."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from device_procs.data_plane import _data_plane
from tests.style.source_tree import CHECKOUT, project_files
from vmm_main.kvm import _kvm

EXTENSIONS = {"vmm_main.kvm._kvm": _kvm, "device_procs.data_plane._data_plane": _data_plane}


def used_names(source: str) -> Iterator[tuple[str, str, int, str]]:
    """Every attribute that a module takes of an extension: extension, `lib` or `ffi`, line, name."""
    if not any(extension in source for extension in EXTENSIONS):
        return  # most modules: not worth a syntax tree
    nodes = list(ast.walk(ast.parse(source)))
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module in EXTENSIONS
        for alias in node.names
    }
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
            extension, of = imported[node.value.id]
            yield extension, of, node.lineno, node.attr


def missing_names(path: PurePosixPath, source: str) -> list[str]:
    return [
        f"{path}:{line}: {of}.{name}"
        for extension, of, line, name in used_names(source)
        if not hasattr(getattr(EXTENSIONS[extension], of), name)
    ]


def test_every_name_that_is_used_is_there() -> None:
    uses = dict.fromkeys(EXTENSIONS, 0)
    missing = []
    for path in project_files():
        if path.suffix == ".py":
            source = (CHECKOUT / path).read_text(encoding="utf-8")
            for extension, of, _, _ in used_names(source):
                uses[extension] += of == "lib"
            missing += missing_names(path, source)
    assert missing == []
    assert all(uses.values())


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_stub_promises_nothing_that_is_not_there(extension: str) -> None:
    path = CHECKOUT / f"{extension.replace('.', '/')}.pyi"
    stub = ast.parse(path.read_text(encoding="utf-8"))
    ffi = next(node for node in stub.body if isinstance(node, ast.ClassDef))
    promised = {node.name for node in ffi.body if isinstance(node, ast.FunctionDef)} | {
        node.target.id
        for node in ffi.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert "new" in promised
    assert [name for name in sorted(promised) if not hasattr(EXTENSIONS[extension].ffi, name)] == []


def test_a_misspelt_name_is_found() -> None:
    source = "from vmm_main.kvm._kvm import lib as c\nc.KVM_CREATE_VM\nc.KVM_CREATE_WM\n"
    assert missing_names(PurePosixPath("planted.py"), source) == ["planted.py:3: lib.KVM_CREATE_WM"]
    source = "from device_procs.data_plane._data_plane import lib\nlib.worker_init\nlib.worker_exit\n"
    assert missing_names(PurePosixPath("planted.py"), source) == ["planted.py:3: lib.worker_exit"]
