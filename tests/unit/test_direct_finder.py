"""The finder that a start uses for vmm_main's modules: what it takes, and what it leaves to Python's."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import _cffi_backend
import pytest

from ipc.lean_start.direct_finder import DirectFinder

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = Path(_cffi_backend.__file__).parent


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package named vmm_main, compiled."""
    package = tmp_path / "vmm_main"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("where = 'package'\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "leaf.py").write_text("def who():\n    return __name__\n")
    (package / "long.py").write_text("".join(f"name_{n} = 'value {n}'\n" for n in range(4000)))
    for source in package.rglob("*.py"):
        py_compile.compile(str(source), doraise=True)
    return package


@pytest.fixture
def finder(package: Path) -> DirectFinder:
    return DirectFinder(str(package.parent), str(PACKAGES))


def test_modules_and_packages_load_as_python_loads_them(finder: DirectFinder, package: Path) -> None:
    for name, path, file in (
        ("vmm_main", None, package / "__init__.py"),
        ("vmm_main.inner", [str(package)], package / "inner" / "__init__.py"),
        ("vmm_main.inner.leaf", [str(package / "inner")], package / "inner" / "leaf.py"),
        ("vmm_main.long", [str(package)], package / "long.py"),
    ):
        spec = finder.find_spec(name, path)
        assert spec is not None
        submodules = [str(file.parent)] if file.name == "__init__.py" else None
        usual = importlib.util.spec_from_file_location(name, file, submodule_search_locations=submodules)
        assert usual is not None
        for attribute in ("name", "origin", "cached", "parent", "submodule_search_locations", "has_location"):
            assert getattr(spec, attribute) == getattr(usual, attribute), attribute
        assert usual.loader is not None
        assert spec.loader is not None
        module, expected = importlib.util.module_from_spec(spec), importlib.util.module_from_spec(usual)
        spec.loader.exec_module(module)
        usual.loader.exec_module(expected)
        assert set(vars(module)) == set(vars(expected))
        assert module.__file__ == expected.__file__ == str(file)


def test_a_module_can_be_loaded_again(finder: DirectFinder, package: Path) -> None:
    spec = finder.find_spec("vmm_main.inner.leaf", [str(package / "inner")])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (package / "inner" / "leaf.py").write_text("def who():\n    return 'another one'\n")
    spec.loader.exec_module(module)
    assert module.who() == "another one"


@pytest.mark.parametrize("change", ["size", "time", "no pyc", "short pyc", "unchecked pyc"])
def test_what_is_not_plainly_up_to_date_is_left_to_python(
    finder: DirectFinder, package: Path, change: str
) -> None:
    source = package / "long.py"
    cached = Path(importlib.util.cache_from_source(str(source)))
    if change == "size":
        times = source.stat()
        source.write_text("x = 1\n")
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "time":
        os.utime(source, (1, 1))
    elif change == "no pyc":
        cached.unlink()
    elif change == "short pyc":
        cached.write_bytes(cached.read_bytes()[:12])
    else:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), invalidation_mode=mode)
    assert finder.find_spec("vmm_main.long", [str(package)]) is None


def test_other_packages_and_what_is_not_there_are_left_to_python(finder: DirectFinder, package: Path) -> None:
    (package.parent / "other").mkdir()
    assert finder.find_spec("other", None) is None
    assert finder.find_spec("vmm_mainly", None) is None
    assert finder.find_spec("other.vmm_main", [str(package)]) is None
    assert finder.find_spec("vmm_main.missing", [str(package)]) is None


def test_the_extensions_are_found_where_they_are_built(finder: DirectFinder, package: Path) -> None:
    ours = DirectFinder(str(CHECKOUT), str(PACKAGES))
    for name, path in (("vmm_main.kvm._kvm", [str(CHECKOUT / "vmm_main" / "kvm")]), ("_cffi_backend", None)):
        spec = ours.find_spec(name, path)
        usual = importlib.util.find_spec(name)
        assert spec is not None
        assert usual is not None
        assert (spec.origin, spec.has_location, spec.parent) == (usual.origin, True, usual.parent)
        assert type(spec.loader) is type(usual.loader)
    assert finder.find_spec("vmm_main.kvm._kvm", [str(package / "kvm")]) is None
    assert DirectFinder(str(CHECKOUT), "/nowhere").find_spec("_cffi_backend", None) is None


@pytest.mark.parametrize(
    ("flags", "found"), [([], True), (["-O"], False), (["-Xpycache_prefix=/nowhere"], False)]
)
def test_it_stands_aside_where_pyc_files_are_other_ones(flags: list[str], found: bool) -> None:
    script = (
        f"import sys; sys.dont_write_bytecode = True; sys.path.append({str(CHECKOUT)!r}); "
        "from ipc.lean_start.direct_finder import DirectFinder, install; install(['/x', '/y', '/z']); "
        "print(any(isinstance(finder, DirectFinder) for finder in sys.meta_path))"
    )
    ran = subprocess.run([sys.executable, *flags, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{found}\n"
